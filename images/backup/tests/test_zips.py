"""Backups that leave as plain zips and come back, and those of the Compose deployment."""

import http.client
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Bed, eventually, tree, write

from orfeas_backup import serve

NAME = "orfeas_backup_20240101_030000"
COMPOSE = "orfeas_backup_20251017_120000"
CREATED = "2025-10-17T12:00:00Z"
TOKEN = "a token"
CLAIMS = ("outputs", "huggingface-cache", "hy3dgen-cache")


class Serving:
    """The server, as the command reaches it by a forwarded port."""

    def __init__(self, bed: Bed) -> None:
        self.process = bed.start("serve", SERVE_TOKEN=TOKEN, SERVE_PORT="0")
        self.port = json.loads(self.process.stdout.readline())["listening"]

    def ask(self, method: str, path: str, body: Any = None, token: str = TOKEN, **options: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {"Authorization": f"Bearer {token}"}, **options)
        return connection.getresponse()

    def export(self, wanted: str = "latest") -> zipfile.ZipFile:
        answer = self.ask("GET", f"/export/{wanted}")
        assert answer.status == 200, answer.read()
        return zipfile.ZipFile(io.BytesIO(answer.read()))

    def announce(self, archive: zipfile.ZipFile, name: str = COMPOSE, created: str = CREATED) -> tuple[int, Any]:
        manifest = json.loads(archive.read("manifest.json")) if "manifest.json" in archive.namelist() else None
        entries = {
            info.filename: [info.file_size, info.CRC]
            for info in archive.infolist()
            if not info.is_dir() and info.filename != "manifest.json"
        }
        if manifest:
            name, created = manifest["name"], manifest["created"]
        body = {"name": name, "created": created, "manifest": manifest, "entries": entries}
        answer = self.ask("POST", "/import", json.dumps(body))
        return answer.status, json.loads(answer.read())

    def send(self, archive: zipfile.ZipFile) -> Any:
        return self.ask("PUT", "/import", chunks(tar_of(archive)), encode_chunked=True)

    def ended(self, code: int = 0) -> dict[str, Any]:
        """The last document."""
        output, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == code, output
        return json.loads(output.splitlines()[-1])

    def take(self, archive: zipfile.ZipFile, **options: Any) -> dict[str, Any]:
        """The result of an import."""
        assert self.announce(archive, **options) == (201, {"send": True})
        assert self.send(archive).status == 202
        return self.ended()["result"]


def tar_of(archive: zipfile.ZipFile) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for entry in archive.infolist():
            info = tarfile.TarInfo(entry.filename.rstrip("/"))
            mode = entry.external_attr >> 16
            content = archive.read(entry)
            info.mode = mode & 0o7777 or 0o644
            info.size = len(content)
            if entry.is_dir():
                info.type, info.size = tarfile.DIRTYPE, 0
            elif stat.S_ISLNK(mode):
                info.type, info.size, info.linkname = tarfile.SYMTYPE, 0, content.decode()
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return target.getvalue()


def chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 10_000):
        yield content[start : start + 10_000]


def zip_of(files: dict[str, bytes | str]) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED)
    for name, content in files.items():
        archive.writestr(name, content)
    return archive


@pytest.fixture
def serving(backed_up: Bed) -> Iterator[Serving]:
    server = Serving(backed_up)
    yield server
    server.process.kill()
    server.process.wait()


def contents(bed: Bed) -> dict[str, dict[str, str]]:
    return {
        claim: {name: found for name, (found, _) in tree(bed.volumes / claim).items() if not name.startswith("lost+")}
        for claim in CLAIMS
    }


def lose(bed: Bed) -> None:
    for claim in (*CLAIMS, "prometheus-data", "grafana-data", "redis-data"):
        shutil.rmtree(bed.volumes / claim, ignore_errors=True)
        (bed.volumes / claim).mkdir(parents=True)


def compose(bed: Bed) -> dict[str, bytes | str]:
    """What backup.ps1 makes."""
    return {
        "outputs/model.glb": b"glTF" * 1000,
        "outputs/2025/chair.stl": "solid chair",
        "logs/backend.log": "ready\n",
        "models/huggingface-cache/hub/weights": b"weights",
        "models/hy3dgen/turbo": b"turbo",
        "monitoring/prometheus/01BLOCK/meta.json": "{}",
        "monitoring/prometheus/wal/00000000": b"wal",
        "monitoring/grafana/grafana.db": (bed.volumes / "grafana-data/grafana.db").read_bytes(),
        "monitoring/grafana/plugins/plugin.json": "{}",
        "config/.env.production": "SECRET_KEY=of-the-compose-deployment",
        "config/nginx/nginx.conf": "events {}",
    }


def test_a_zip_has_the_layout_of_the_compose_deployment_with_a_manifest(serving: Serving) -> None:
    archive = serving.export()
    assert archive.testzip() is None
    names = archive.namelist()
    assert names[0] == "manifest.json"
    assert {name.split("/")[0] for name in names[1:]} == {"outputs", "uploads", "logs", "models", "monitoring", "redis"}
    assert {"outputs/model-0.glb", "uploads/picture.png", "logs/backend-1/api.log", "redis/dump.rdb"} < set(names)
    assert {"models/huggingface/hub/blobs/weights", "models/hy3dgen/turbo/weights"} < set(names)
    assert {"monitoring/prometheus/01BLOCK/meta.json", "monitoring/grafana/grafana.db"} < set(names)
    manifest = json.loads(archive.read("manifest.json"))
    assert manifest["name"] == NAME
    assert manifest["parts"]["outputs"]["paths"] == {"outputs": "outputs", "uploads": "uploads"}
    for part in manifest["parts"].values():
        inside = [
            info
            for info in archive.infolist()
            if stat.S_ISREG(info.external_attr >> 16)
            and any(f"{info.filename}/".startswith(f"{path}/") for path in part["paths"].values())
        ]
        assert (part["files"], part["bytes"]) == (len(inside), sum(info.file_size for info in inside))


def test_a_zip_is_the_same_by_name_and_as_the_latest(serving: Serving) -> None:
    by_name, latest = serving.export(NAME), serving.export()
    assert [(info.filename, info.CRC) for info in by_name.infolist()] == [
        (info.filename, info.CRC) for info in latest.infolist()
    ]


def test_what_left_as_a_zip_is_restored_in_another_studio_byte_for_byte(
    serving: Serving, backed_up: Bed, bare_bed_of_another: Bed
) -> None:
    before, archive = contents(backed_up), serving.export()
    other = bare_bed_of_another
    result = Serving(other).take(archive)
    assert result == {"name": NAME, "leftOut": []}
    assert other.names() == [NAME]
    (inspected,) = other.run("inspect", NAME)
    manifest = inspected["manifest"]
    assert (manifest["created"], manifest["namespace"]) == ("2024-01-01T03:00:00Z", "orfeas")
    assert set(manifest["parts"]) == {"outputs", "logs", "models", "monitoring", "redis"}
    lose(other)
    other.run("stage", RESTORE_SNAPSHOT=NAME)
    other.run("commit", RESTORE_SNAPSHOT=NAME)
    before["outputs"].pop("outputs/.model-4.glb.part")
    assert contents(other) == before
    assert (other.volumes / "prometheus-data/01BLOCK/chunks/000001").read_bytes()
    assert (other.volumes / "redis-data/appendonlydir/appendonly.aof.1.base.rdb").read_bytes().startswith(b"REDIS")
    again = Serving(other)
    assert {info.filename: info.CRC for info in again.export().infolist() if info.filename != "manifest.json"} == {
        info.filename: info.CRC for info in archive.infolist() if info.filename != "manifest.json"
    }
    again.process.kill()


@pytest.fixture
def bare_bed_of_another(tmp_path: Path, kept: Bed) -> Bed:
    """Another studio, which has no repository yet."""
    folder = tmp_path / "another"
    folder.mkdir()
    return Bed(folder, kept.redis)


def test_a_zip_of_the_compose_deployment_is_restored(serving: Serving, backed_up: Bed) -> None:
    archive = zip_of(compose(backed_up))
    result = serving.take(archive)
    assert result == {"name": COMPOSE, "leftOut": ["monitoring/grafana/plugins/plugin.json"]}
    (inspected,) = backed_up.run("inspect", COMPOSE)
    manifest = inspected["manifest"]
    assert manifest["created"] == CREATED
    assert manifest["namespace"] == "a Compose deployment"
    assert {part: set(of["paths"]) for part, of in manifest["parts"].items()} == {
        "outputs": {"outputs"},
        "logs": {"logs"},
        "models": {"huggingface", "hy3dgen"},
        "monitoring": {"prometheus", "grafana"},
        "configuration": {"files"},
    }
    lose(backed_up)
    environment = {"RESTORE_SNAPSHOT": COMPOSE, "RESTORE_PARTS": "outputs,logs,models,monitoring"}
    backed_up.run("stage", **environment)
    backed_up.run("commit", **environment)
    for place, name in {
        "outputs/outputs/model.glb": "outputs/model.glb",
        "outputs/outputs/2025/chair.stl": "outputs/2025/chair.stl",
        "outputs/logs/backend.log": "logs/backend.log",
        "huggingface-cache/hub/weights": "models/huggingface-cache/hub/weights",
        "hy3dgen-cache/turbo": "models/hy3dgen/turbo",
        "prometheus-data/wal/00000000": "monitoring/prometheus/wal/00000000",
        "grafana-data/grafana.db": "monitoring/grafana/grafana.db",
    }.items():
        assert (backed_up.volumes / place).read_bytes() == archive.read(name)
    assert not list(backed_up.volumes.rglob(".env*"))


def test_settings_of_the_compose_deployment_are_kept_and_not_given_out(serving: Serving, backed_up: Bed) -> None:
    serving.take(zip_of(compose(backed_up)))
    answer = backed_up.failed("objects", COMPOSE)
    assert "has no configuration" in answer["error"]
    again = Serving(backed_up)
    archive = again.export(COMPOSE)
    again.process.kill()
    assert not [name for name in archive.namelist() if name.startswith("config")]
    assert b"of-the-compose-deployment" not in archive.fp.getvalue()


def test_secrets_in_a_backup_are_not_given_out(bed: Bed) -> None:
    manifest = {
        "format": 1,
        "name": NAME,
        "created": "2024-01-01T03:00:00Z",
        "namespace": "orfeas",
        "environment": "local",
        "version": "0.1.0",
        "missing": {},
        "parts": {
            "configuration": {
                "paths": {
                    "objects": str(write(bed.scratch / "objects.json", "[]")),
                    "secrets": str(write(bed.scratch / "secrets.json", "of-the-secret")),
                },
                "files": 2,
                "bytes": 15,
            }
        },
    }
    keep(bed, manifest)
    server = Serving(bed)
    archive = server.export()
    server.process.kill()
    assert archive.namelist() == ["manifest.json", "config/objects.json"]
    assert json.loads(archive.read("manifest.json"))["parts"] == {
        "configuration": {"paths": {"objects": "config/objects.json"}, "files": 1, "bytes": 2}
    }
    assert b"of-the-secret" not in archive.fp.getvalue()


def keep(bed: Bed, manifest: dict[str, Any]) -> None:
    file = write(bed.scratch / "manifest.json", json.dumps(manifest))
    paths = [path for part in manifest["parts"].values() for path in part["paths"].values()]
    subprocess.run(
        ["restic", "backup", "--quiet", "--host", "orfeas", "--tag", f"orfeas,{manifest['name']}", str(file), *paths],
        env=bed.environment,
        check=True,
    )


def test_a_zip_that_is_there_already_is_not_sent_again(serving: Serving, backed_up: Bed) -> None:
    archive = serving.export()
    assert serving.announce(archive) == (200, {"send": False})
    assert serving.ended()["result"] == {"name": NAME, "leftOut": []}
    assert backed_up.names() == [NAME]


def test_a_compose_zip_that_is_there_already_is_not_sent_again(serving: Serving, backed_up: Bed) -> None:
    archive = zip_of(compose(backed_up))
    serving.take(archive)
    again = Serving(backed_up)
    assert again.announce(archive) == (200, {"send": False})
    assert again.ended()["result"]["name"] == COMPOSE


@pytest.mark.parametrize("change", ["another", "one more", "one less"])
def test_another_zip_of_the_name_of_a_backup_is_refused(serving: Serving, backed_up: Bed, change: str) -> None:
    files = compose(backed_up)
    serving.take(zip_of(files))
    if change == "another":
        files["outputs/model.glb"] = b"glTX" * 1000
    elif change == "one more":
        files["outputs/more.glb"] = b"more"
    else:
        del files["config/.env.production"]
    again = Serving(backed_up)
    assert again.announce(zip_of(files)) == (200, {"send": False})
    answer = again.ended(code=1)
    expected = {"another": "outputs/model.glb", "one more": "outputs/more.glb", "one less": "config/.env.production"}
    assert expected[change] in answer["error"]
    assert backed_up.names() == [COMPOSE, NAME]


def test_a_transfer_that_is_cut_off_leaves_no_backup_and_can_be_repeated(serving: Serving, backed_up: Bed) -> None:
    archive = zip_of(compose(backed_up))
    assert serving.announce(archive)[0] == 201
    connection = http.client.HTTPConnection("127.0.0.1", serving.port)
    connection.putrequest("PUT", "/import")
    connection.putheader("Authorization", f"Bearer {TOKEN}")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    connection.send(b"2000\r\n" + tar_of(archive)[:0x1800])
    eventually(lambda: (backed_up.scratch / "import").exists())
    connection.close()
    assert serving.send(archive).status == 202
    assert serving.ended()["result"]["name"] == COMPOSE
    assert not (backed_up.scratch / "import").exists()


def test_files_that_come_as_something_else_are_refused(serving: Serving, backed_up: Bed) -> None:
    assert serving.announce(zip_of(compose(backed_up)))[0] == 201
    answer = serving.send(zip_of({**compose(backed_up), "logs/backend.log": "Ready\n"}))
    assert answer.status == 409
    assert "logs/backend.log" in json.loads(answer.read())["error"]
    assert backed_up.names() == [NAME]


def test_a_zip_of_something_else_is_refused(serving: Serving) -> None:
    status, answer = serving.announce(zip_of({"holidays/beach.jpg": "sand"}))
    assert (status, answer["error"]) == (409, f"{COMPOSE} has nothing of a studio")


def test_a_zip_of_a_newer_format_is_refused(serving: Serving) -> None:
    manifest = {"format": 2, "name": COMPOSE, "created": CREATED, "version": "9.0.0"}
    status, answer = serving.announce(zip_of({"manifest.json": json.dumps(manifest), "outputs/a": "a"}))
    assert (status, answer["code"]) == (409, "newer-format")


def test_a_zip_for_which_there_is_no_room_is_refused_before_it_is_sent(serving: Serving) -> None:
    body = {"name": COMPOSE, "created": CREATED, "manifest": None, "entries": {"outputs/a": [2**60, 1]}}
    answer = serving.ask("POST", "/import", json.dumps(body))
    assert answer.status == 409
    assert "there is room for" in json.loads(answer.read())["error"]


def test_a_damaged_database_is_refused(serving: Serving, backed_up: Bed) -> None:
    archive = zip_of({**compose(backed_up), "monitoring/grafana/grafana.db": os.urandom(5000)})
    assert serving.announce(archive)[0] == 201
    assert serving.send(archive).status == 202
    assert serving.ended(code=1)["code"] == "damaged"
    assert backed_up.names() == [NAME]


def test_nothing_is_given_without_the_token(serving: Serving) -> None:
    for method, path in (("GET", "/export/latest"), ("POST", "/import"), ("PUT", "/import")):
        assert serving.ask(method, path, "", token="another").status == 401


def test_a_backup_that_is_not_there_is_told(serving: Serving) -> None:
    answer = serving.ask("GET", "/export/orfeas_backup_20200101_000000")
    assert (answer.status, json.loads(answer.read())["code"]) == (409, "snapshot-missing")


def test_damage_breaks_the_answer_off_and_is_told(serving: Serving, backed_up: Bed) -> None:
    for pack in (backed_up.repository / "data").rglob("*"):
        if pack.is_file() and pack.stat().st_size > 20_000:
            pack.chmod(0o600)
            pack.write_bytes(bytes(pack.stat().st_size))
    answer = serving.ask("GET", "/export/latest")
    if answer.status == 200:
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
    assert json.loads(serving.process.stdout.readline())["code"] == "damaged"


def test_the_server_ends_when_nobody_asks(backed_up: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve.Server, "timeout", 0.1)
    monkeypatch.setenv("SERVE_TOKEN", TOKEN)
    monkeypatch.setenv("SERVE_PORT", "0")
    serve.serve()
