"""What bench/fuzz.py makes of the backend: a short form of its run."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
from conftest import HERE, Studio, eventually

FUZZ = HERE.parents[2] / "bench/fuzz.py"
GROWTH = 32 * 2**20
"""Bytes that a process may grow by, which has served nothing before."""


def memory(studio: Studio) -> dict[int, int]:
    """Resident bytes of each process of the studio, Gunicorn's workers included."""
    roots = [psutil.Process(process.pid) for process in studio.processes]
    return {process.pid: process.memory_info().rss for root in roots for process in (root, *root.children())}


def files(folder: Path) -> set[str]:
    """What is below a folder, but for what the studio writes by design."""
    own = ("outputs", "uploads", "logs", "run")
    return {str(path) for path in folder.rglob("*") if path.relative_to(folder).parts[0] not in own}


def test_malformed_requests_and_pictures_break_nothing(make_studio: Callable[..., Studio]) -> None:
    studio = make_studio(RATE_LIMIT_ENABLED=1, GUNICORN_WORKERS=2).start_all()
    before, files_before = memory(studio), files(studio.folder)
    command = [sys.executable, str(FUZZ), "--url", studio.url, "--requests", "400", "--pictures", "150"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert result.returncode == 0, result.stdout + result.stderr
    pictures = json.loads(result.stdout)["pictures"]
    assert {"202", "422 image_damaged", "415 unsupported_image"} <= set(pictures), "each kind of answer was seen"
    assert sum(pictures.values()) == 150
    # An accepted picture is made into a mesh, or its job says why not.
    eventually(lambda: not studio.queue.client.llen("orfeas:queue") and not studio.queue.client.zcard("orfeas:running"))
    after = memory(studio)
    assert set(after) == set(before), "no process ended"
    assert {pid: after[pid] - before[pid] for pid in after if after[pid] - before[pid] > GROWTH} == {}
    assert files(studio.folder) == files_before
    assert {path.name for path in (studio.folder / "uploads").iterdir()} == set()
    assert studio.get("/ready").status_code == 200
    assert studio.metric("orfeas_http_exceptions_total") == 0
