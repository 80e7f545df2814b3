"""What list, inspect and objects tell of a repository, good or not."""

import http.server
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Bed, free_port, thread, write

NAME = "orfeas_backup_20240101_030000"
COMMANDS = [["list"], ["inspect", "latest"], ["objects", "latest"]]
commands = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])


def test_a_list_tells_of_each_backup(backed_up: Bed) -> None:
    (listed,) = backed_up.run("list")
    (snapshot,) = listed["snapshots"]
    assert len(snapshot.pop("id")) == 64
    assert snapshot.pop("bytes") > 200_000
    assert snapshot.pop("files") >= 10
    assert snapshot == {
        "name": NAME,
        "created": "2024-01-01T03:00:00Z",
        "parts": ["outputs", "logs", "models", "monitoring", "redis"],
        "missing": {},
        "version": "0.1.0",
    }


def test_an_empty_repository_has_an_empty_list(bed: Bed) -> None:
    assert bed.run("list") == [{"snapshots": []}]


def test_backups_of_another_namespace_are_not_told_of(backed_up: Bed) -> None:
    assert backed_up.run("list", NAMESPACE="other") == [{"snapshots": []}]


@pytest.mark.parametrize("name", ["latest", NAME])
def test_a_good_backup_is_inspected(backed_up: Bed, name: str) -> None:
    (inspected,) = backed_up.run("inspect", name)
    manifest = inspected["manifest"]
    assert manifest["name"] == NAME
    assert manifest["created"] == "2024-01-01T03:00:00Z"
    assert manifest["parts"]["outputs"]["files"] == 4
    assert set(manifest["parts"]["outputs"]["paths"]) == {"outputs", "uploads"}
    assert set(manifest["parts"]["monitoring"]["paths"]) == {"prometheus", "grafana"}


@commands
def test_a_repository_that_is_not_there_is_told(bare_bed: Bed, command: list[str]) -> None:
    answer = bare_bed.failed(*command)
    assert answer["code"] == "repository-missing"
    assert str(bare_bed.repository) in answer["error"]
    assert not bare_bed.repository.exists()


@commands
def test_a_wrong_password_is_told(backed_up: Bed, command: list[str]) -> None:
    answer = backed_up.failed(*command, RESTIC_PASSWORD_FILE=str(write(backed_up.folder / "wrong", "wrong")))
    assert answer["code"] == "wrong-password"


def test_a_wrong_password_stops_a_backup_and_makes_no_repository(backed_up: Bed) -> None:
    wrong = str(write(backed_up.folder / "wrong", "wrong"))
    answer = backed_up.failed("backup", RESTIC_PASSWORD_FILE=wrong)
    assert (answer["phase"], answer["code"]) == ("archive", "wrong-password")
    assert backed_up.names() == [NAME]


def test_a_backup_that_is_not_there_is_told_with_those_that_are(backed_up: Bed) -> None:
    answer = backed_up.failed("inspect", "orfeas_backup_20250101_030000")
    assert answer["code"] == "snapshot-missing"
    assert NAME in answer["remedy"]


def test_before_the_first_backup_there_is_no_latest(bed: Bed) -> None:
    answer = bed.failed("inspect", "latest")
    assert (answer["code"], answer["error"]) == ("snapshot-missing", "there is no backup yet")


def test_a_newer_format_is_refused(bed: Bed) -> None:
    manifest = {"format": 2, "name": NAME, "version": "9.0.0", "parts": {}, "missing": {}}
    file = write(bed.scratch / "manifest.json", json.dumps(manifest))
    subprocess.run(
        ["restic", "backup", "--quiet", "--host", "orfeas", "--tag", f"orfeas,{NAME}", str(file)],
        env=bed.environment,
        check=True,
    )
    for command in (["inspect", "latest"], ["objects", NAME], ["verify"], ["stage"]):
        answer = bed.failed(*command)
        assert answer["code"] == "newer-format"
        assert "9.0.0" in answer["remedy"]
    assert not list(bed.volumes.glob("*/.restore"))


def largest(bed: Bed, folder: str) -> Path:
    """The largest file in a folder of the repository, which may be written to."""
    found = max((path for path in (bed.repository / folder).rglob("*") if path.is_file()), key=os.path.getsize)
    found.chmod(0o600)
    return found


def test_a_pack_that_is_gone_is_damage(backed_up: Bed) -> None:
    largest(backed_up, "data").unlink()
    assert backed_up.failed("inspect", "latest")["code"] == "damaged"


@pytest.mark.parametrize("command", [["inspect", "latest"], ["stage"]], ids=lambda command: command[0])
def test_an_index_that_cannot_be_read_is_damage(backed_up: Bed, command: list[str]) -> None:
    with largest(backed_up, "index").open("r+b") as index:
        index.write(b"nothing")
    assert backed_up.failed(*command)["code"] == "damaged"


def test_data_that_changed_is_found_by_verify(backed_up: Bed) -> None:
    with largest(backed_up, "data").open("r+b") as pack:
        pack.seek(1000)
        pack.write(bytes(16))
    answer = backed_up.failed("verify")
    assert (answer["phase"], answer["code"]) == ("check", "damaged")
    assert backed_up.redis.record()["last_verification_succeeded"] == 0


@pytest.mark.parametrize("address", ["rest:http://127.0.0.1:{}/", "sftp://nobody@127.0.0.1:{}//backups"])
def test_a_server_that_is_away_is_told_in_seconds(bare_bed: Bed, address: str) -> None:
    answer = bare_bed.failed("list", RESTIC_REPOSITORY=address.format(free_port()))
    assert answer["code"] == "unreachable"
    assert "refused" in answer["error"]


@pytest.fixture
def forbidding() -> Iterator[str]:
    """The address of a server that knows nobody."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(401)
            self.end_headers()

        do_GET = do_HEAD

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread(server.serve_forever)
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_that_refuses_the_credentials_is_told_without_them(bare_bed: Bed, forbidding: str) -> None:
    credentials = bare_bed.folder / "credentials"
    write(credentials / "RESTIC_REST_USERNAME", "studio")
    write(credentials / "RESTIC_REST_PASSWORD", "of-the-server")
    answer = bare_bed.failed(
        "list",
        RESTIC_REPOSITORY=f"rest:http://{forbidding}/",
        REPOSITORY_CREDENTIALS=str(credentials),
    )
    assert answer["code"] == "unreachable"
    assert "401" in answer["error"]
    assert "of-the-server" not in json.dumps(answer) + (bare_bed.folder / "stderr").read_text()


def test_help_has_examples(bare_bed: Bed) -> None:
    process = bare_bed.start("--help")
    assert "inspect latest" in process.communicate()[0]
    assert process.returncode == 0


def test_a_variable_that_is_not_set_is_named(backed_up: Bed) -> None:
    assert "NAMESPACE" in backed_up.failed("list", NAMESPACE="")["error"]
