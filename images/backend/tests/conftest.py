"""Real processes of the backend, with a real Redis, on free ports."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis
import requests
from PIL import Image, ImageDraw
from prometheus_client.parser import text_string_to_metric_families

# Before a test imports the metrics, which open files there.
METRICS = tempfile.TemporaryDirectory()
os.environ["PROMETHEUS_MULTIPROC_DIR"] = METRICS.name

HERE = Path(__file__).parent
GUNICORN_CONFIG = HERE.parents[2] / "files/gunicorn.conf.py"
SECRET_KEY = "a-key-for-tests-of-more-than-32-characters"
PASSWORD = "pass/word with:odd@characters"
T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def eventually(look: Callable[[], T], seconds: float = 60) -> T:
    """The first true answer of `look`; while it is not, connections may fail."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(requests.RequestException, redis.RedisError):
            if found := look():
                return found
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


class RedisServer:
    """A Redis that keeps its data over a restart, as the studio's does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.start()

    def start(self) -> None:
        options = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--requirepass",
            PASSWORD,
            "--dir",
            str(self.folder),
        ]
        options += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        self.process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        self.client = redis.Redis(port=self.port, password=PASSWORD, decode_responses=True)
        eventually(self.client.ping)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class Studio:
    """The backend's processes. Each `start` begins one more, with the settings of the studio and further ones."""

    def __init__(self, folder: Path, queue: RedisServer, **settings: object) -> None:
        self.folder = folder
        self.queue = queue
        self.logs = folder / "logs/pod-1"
        for name in ("outputs", "uploads", "logs", "probe"):
            (folder / name).mkdir(parents=True)
        self.ports = {"api": free_port(), "realtime": free_port(), "worker": free_port()}
        (folder / "SECRET_KEY").write_text(SECRET_KEY)
        (folder / "redis-password").write_text(f"{PASSWORD}\n")
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": HERE.parent,
            "PROBE": folder / "probe",
            "SECRET_KEY_FILE": folder / "SECRET_KEY",
            "MODEL_ENGINE": "relief",
            "DEVICE": "cpu",
            "OUTPUT_DIR": folder / "outputs",
            "UPLOAD_DIR": folder / "uploads",
            "LOG_DIR": folder / "logs",
            "PROMETHEUS_MULTIPROC_DIR": folder / "run/metrics",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": queue.port,
            "REDIS_PASSWORD_FILE": folder / "redis-password",
            "POD_NAME": "pod-1",
            "CORS_ORIGINS": "https://studio.example.org",
            "RATE_LIMIT_ENABLED": 0,
            "GUNICORN_WORKERS": 2,
            **{f"{name.upper()}_PORT": port for name, port in self.ports.items()},
            **settings,
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.url = f"http://127.0.0.1:{self.ports['api']}"

    def start(self, name: str, **settings: object) -> subprocess.Popen[bytes]:
        worker = [str(HERE / "hooks/probe_worker.py")] if "ENGINE" in settings else ["-m", "orfeas.worker"]
        command = {
            "api": [sys.executable, "-m", "gunicorn", "--config", str(GUNICORN_CONFIG), "orfeas.api:app"],
            "worker": [sys.executable, *worker],
            "realtime": [sys.executable, "-m", "orfeas.realtime"],
            "outlast": [sys.executable, "-m", "orfeas.outlast", "0"],
        }[name]
        environment = {key: str(value) for key, value in {**self.environment, **settings}.items()}
        with (self.folder / "logs" / f"{name}.err").open("ab") as errors:
            process = subprocess.Popen(command, env=environment, stderr=errors, stdout=errors, cwd=self.folder)
        self.processes.append(process)
        return process

    def start_all(self, **worker_settings: object) -> "Studio":
        self.start("api")
        self.start("realtime")
        self.start("worker", **worker_settings)
        eventually(lambda: self.get("/ready").status_code == 200)
        return self

    def stop(self) -> None:
        self.let_go()
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=20, **options)

    def submit(self, picture: bytes, name: str = "picture.png", **fields: object) -> requests.Response:
        return requests.post(f"{self.url}/api/generate-3d", files={"image": (name, picture)}, data=fields, timeout=20)

    def submitted(self, picture: bytes | None = None, **fields: object) -> str:
        """The id of a job that was accepted."""
        response = self.submit(png() if picture is None else picture, **fields)
        assert response.status_code == 202, response.text
        return response.json()["job_id"]

    def state(self, job_id: str) -> dict[str, Any]:
        response = self.get(f"/api/job-status/{job_id}")
        response.raise_for_status()
        return response.json()

    def ended(self, job_id: str, seconds: float = 60) -> dict[str, Any]:
        """The state of a job once it has ended."""
        return eventually(
            lambda: state if (state := self.state(job_id))["status"] in ("completed", "failed") else None, seconds
        )

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """All samples of /metrics."""
        families = text_string_to_metric_families(self.get("/metrics").text)
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """A sample, or the sum of those with these labels."""
        wanted = set(labels.items())
        return sum(value for (found, of), value in self.samples().items() if found == name and wanted <= set(of))

    def probe(self) -> list[str]:
        """What the engine of `hooks` noted: `begin`, `end` or `overlap`, each with the width of the picture."""
        log = self.folder / "probe/log"
        return log.read_text().splitlines() if log.exists() else []

    def let_go(self) -> None:
        """Let the engine of `hooks` finish its jobs."""
        (self.folder / "probe/go").touch()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Studio]:
    """One studio for all tests that leave it as it is."""
    studio = Studio(tmp_path_factory.mktemp("studio"), redis_server).start_all()
    yield studio
    studio.stop()


@pytest.fixture
def private_redis(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis")
    yield server
    server.stop()


@pytest.fixture
def make_studio(tmp_path: Path, private_redis: RedisServer) -> Iterator[Callable[..., Studio]]:
    """Makes a studio of the test's own, which may break it. Nothing is started."""
    made: list[Studio] = []

    def make(**settings: object) -> Studio:
        made.append(Studio(tmp_path / f"studio-{len(made)}", private_redis, **settings))
        return made[-1]

    yield make
    for studio in made:
        studio.stop()


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def disc(side: int = 64, mode: str = "RGBA") -> Image.Image:
    """A coloured disc, on nothing or on white."""
    image = Image.new(mode, (side, side), (0, 0, 0, 0) if mode == "RGBA" else (255, 255, 255))
    ImageDraw.Draw(image).ellipse((side // 8, side // 8, side - side // 8, side - side // 8), fill=(220, 60, 30))
    return image


def png(side: int = 64) -> bytes:
    return encoded(disc(side))


def error_of(response: requests.Response) -> str:
    """The code of an answer that is an error, whose shape is checked."""
    body = response.json()
    assert set(body) == {"error"}, body
    assert set(body["error"]) == {"code", "message"}
    assert len(body["error"]["message"]) > 20
    return body["error"]["code"]


def log_records(studio: Studio, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (studio.logs / f"{name}.log").read_text().splitlines()]
