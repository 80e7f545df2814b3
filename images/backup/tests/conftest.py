"""A studio's volumes, a repository of the real restic and a real Redis, in folders of their own."""

import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.poly1305 import Poly1305

PACKAGE = Path(__file__).parents[1]
PASSWORD = "of the repository"
REDIS_PASSWORD = "pass/word with:odd@characters"
PARTS = "outputs,logs,models,monitoring,redis"
T = TypeVar("T")
Tree = dict[str, tuple[str, int]]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def eventually(look: Callable[[], T], seconds: float = 30) -> T:
    """The first true answer of `look`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
    return found


def tree(folder: Path) -> Tree:
    """Sum and time of change of each file below a folder, what a link points to, without what is no data of a claim."""
    found: Tree = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if relative.parts[0].startswith((".backup_", ".restore")):
            continue
        if path.is_symlink():
            found[str(relative)] = (f"→ {path.readlink()}", 0)
        elif path.is_dir():
            found[f"{relative}/"] = (oct(path.stat().st_mode), 0)
        else:
            found[str(relative)] = (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
    return found


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class RedisServer:
    """A Redis that keeps its data over a restart, as the studio's does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        options = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--requirepass",
            REDIS_PASSWORD,
            "--dir",
            str(folder),
        ]
        options += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--repl-diskless-sync-delay", "0"]
        self.process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        eventually(lambda: self("ping") == "PONG")

    def __call__(self, *command: object, input: str | None = None) -> str:
        result = subprocess.run(
            ["redis-cli", "-p", str(self.port), "--no-auth-warning", *map(str, command)],
            env={**os.environ, "REDISCLI_AUTH": REDIS_PASSWORD},
            capture_output=True,
            text=True,
            input=input,
        )
        return result.stdout.strip()

    def record(self) -> dict[str, float]:
        """What the metrics read."""
        fields = self("hgetall", "orfeas:backup").split()
        return {name: float(value) for name, value in zip(fields[::2], fields[1::2], strict=True)}

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class Bed:
    """The environment of the backup's pods."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self.folder = folder
        self.redis = redis
        self.volumes = folder / "volumes"
        self.scratch = folder / "scratch"
        self.repository = folder / "repository"
        for path in (self.volumes, self.scratch):
            path.mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PACKAGE),
            "VOLUMES": str(self.volumes),
            "SCRATCH": str(self.scratch),
            "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_PASSWORD_FILE": str(write(folder / "password", PASSWORD)),
            "RESTIC_CACHE_DIR": str(self.scratch / "cache"),
            "NAMESPACE": "orfeas",
            "ENVIRONMENT": "local",
            "STUDIO_VERSION": "0.1.0",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(redis.port),
            "REDIS_DB": "0",
            "REDIS_PASSWORD_FILE": str(write(folder / "redis-password", f"{REDIS_PASSWORD}\n")),
            "BACKUP_PARTS": PARTS,
            "BACKUP_RETENTION_DAYS": "30",
            "VERIFY_PERCENT": "100",
            "RESTORE_ACTION": "restore",
            "RESTORE_SNAPSHOT": "latest",
            "RESTORE_PARTS": PARTS,
            "RESTORE_ID": "20240101_120000",
        }

    def start(self, *arguments: str, limits: Callable[[], None] | None = None, **environment: str) -> Any:
        """A command, in a process group of its own, as in a container."""
        return subprocess.Popen(
            [sys.executable, "-m", "orfeas_backup", *arguments],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=(self.folder / "stderr").open("a"),
            text=True,
            start_new_session=True,
            preexec_fn=limits,
        )

    def run(self, *arguments: str, code: int = 0, **options: Any) -> list[dict[str, Any]]:
        """The documents that a command printed."""
        process = self.start(*arguments, **options)
        output, _ = process.communicate()
        assert process.returncode == code, output + (self.folder / "stderr").read_text()
        return [json.loads(line) for line in output.splitlines()]

    def backup(self, *arguments: str, **options: Any) -> dict[str, Any]:
        """The result."""
        return self.run("backup", *arguments, **options)[-1]["result"]

    def failed(self, *arguments: str, **options: Any) -> dict[str, Any]:
        """The last document of a command that fails, which has what users need."""
        answer = self.run(*arguments, code=1, **options)[-1]
        assert answer["error"] and answer["remedy"]
        assert PASSWORD not in answer["error"]
        assert "Traceback" not in (self.folder / "stderr").read_text()
        return answer

    def names(self) -> list[str]:
        """The backups, newest first."""
        return [snapshot["name"] for snapshot in self.run("list")[0]["snapshots"]]

    def killed_at(self, phase: str, status: str, *arguments: str, **options: Any) -> bool:
        """SIGKILL for a command and what it started once it tells of a phase. False when it did not come to that."""
        process = self.start(*arguments, **options)
        for line in process.stdout:
            document = json.loads(line)
            if (document.get("phase"), document.get("status")) == (phase, status):
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return True
        process.wait()
        return False

    def fill(self) -> None:
        """Some of everything that a studio has."""
        outputs, models = self.volumes / "outputs", self.volumes / "huggingface-cache"
        for number in range(3):
            write(outputs / f"outputs/model-{number}.glb", os.urandom(20_000))
        write(outputs / "uploads/picture.png", os.urandom(3000))
        write(outputs / "logs/backend-1/api.log", '{"message": "ready"}\n')
        write(models / "hub/blobs/weights", os.urandom(100_000))
        (models / "hub/snapshots").mkdir()
        (models / "hub/snapshots/model.safetensors").symlink_to("../blobs/weights")
        write(self.volumes / "hy3dgen-cache/turbo/weights", os.urandom(50_000))
        # Not data.
        write(models / ".backup_20250101_000000/old", "old")
        write(models / "lost+found/lost", "lost")
        write(outputs / "outputs/.model-4.glb.part", "half")
        self.fill_monitoring()
        (self.volumes / "redis-data").mkdir()

    def fill_monitoring(self) -> None:
        """Data of Prometheus and Grafana, and a snapshot of the first as the pod's other container makes it."""
        data = self.volumes / "prometheus-data"
        write(data / "01BLOCK/meta.json", '{"ulid": "01BLOCK"}')
        write(data / "01BLOCK/chunks/000001", os.urandom(30_000))
        write(data / "wal/00000001", os.urandom(1000))
        shutil.copytree(data / "01BLOCK", data / "snapshots/orfeas/01BLOCK", copy_function=os.link)
        write(self.scratch / "metrics-snapshot", '{"ok": true}')
        (self.volumes / "grafana-data").mkdir()
        with contextlib.closing(sqlite3.connect(self.volumes / "grafana-data/grafana.db")) as database:
            database.execute("create table dashboard (title text)")
            database.execute("insert into dashboard values ('Studio')")
            database.commit()


def with_quick_key(repository: Path) -> None:
    """restic makes keys that take half a second to derive, in each of its commands; tests have no such time."""
    (file,) = (repository / "keys").iterdir()
    key = json.loads(file.read_text())
    master = _opened(_derived(key), base64.b64decode(key["data"]))
    key |= {"N": 2, "r": 1, "p": 1}
    key["data"] = base64.b64encode(_sealed(_derived(key), master)).decode()
    content = json.dumps(key).encode()
    file.unlink()
    (repository / "keys" / hashlib.sha256(content).hexdigest()).write_bytes(content)


def _derived(key: dict[str, Any]) -> bytes:
    salt = base64.b64decode(key["salt"])
    return Scrypt(salt=salt, length=64, n=key["N"], r=key["r"], p=key["p"]).derive(PASSWORD.encode())


def _encryption(derived: bytes, nonce: bytes) -> Any:
    return Cipher(algorithms.AES(derived[:32]), modes.CTR(nonce))


def _opened(derived: bytes, data: bytes) -> bytes:
    decryptor = _encryption(derived, data[:16]).decryptor()
    return decryptor.update(data[16:-16]) + decryptor.finalize()


def _sealed(derived: bytes, text: bytes) -> bytes:
    nonce = os.urandom(16)
    encryptor = _encryption(derived, nonce).encryptor()
    sealed = encryptor.update(text) + encryptor.finalize()
    block = Cipher(algorithms.AES(derived[32:48]), modes.ECB()).encryptor()
    return nonce + sealed + Poly1305.generate_tag(derived[48:] + block.update(nonce) + block.finalize(), sealed)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty") / "repository"
    subprocess.run(
        ["restic", "init", "--quiet", "--repo", str(folder)],
        env={**os.environ, "RESTIC_PASSWORD": PASSWORD},
        check=True,
    )
    with_quick_key(folder)
    return folder


@pytest.fixture
def bare_bed(tmp_path: Path, redis_server: RedisServer) -> Iterator[Bed]:
    """Neither data nor a repository."""
    redis_server("flushall")
    yield Bed(tmp_path, redis_server)


@pytest.fixture
def bed(bare_bed: Bed, empty_repository: Path) -> Bed:
    """A studio with data, and an empty repository."""
    bare_bed.fill()
    shutil.copytree(empty_repository, bare_bed.repository)
    return bare_bed


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, empty_repository: Path) -> Bed:
    """A studio with one backup, which tests copy."""
    bed = Bed(tmp_path_factory.mktemp("kept"), redis_server)
    bed.fill()
    shutil.copytree(empty_repository, bed.repository)
    redis_server("flushall")
    redis_server("rpush", "queue", "first", "second")
    bed.backup("--time", "2024-01-01T03:00:00Z")
    return bed


@pytest.fixture
def backed_up(tmp_path: Path, kept: Bed) -> Bed:
    """A studio and its one backup, of 2024-01-01."""
    copy = Bed(tmp_path, kept.redis)
    for name in ("volumes", "repository"):
        # The paths in the backup are those of the other bed, as in one that another cluster made.
        shutil.copytree(kept.folder / name, tmp_path / name, symlinks=True, dirs_exist_ok=True)
    return copy


def thread(target: Callable[[], None]) -> threading.Thread:
    started = threading.Thread(target=target, daemon=True)
    started.start()
    return started


def wrapped_restic(bed: Bed, script: str) -> str:
    """A PATH whose restic runs a line of shell first; `$*` are its arguments."""
    real = shutil.which("restic")
    wrapper = write(bed.folder / "bin/restic", f'#!/bin/sh\n{script}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    return f"{wrapper.parent}:{os.environ['PATH']}"
