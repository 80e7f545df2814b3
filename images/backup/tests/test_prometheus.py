"""The pod's other container, beside a stand-in for Prometheus' admin API."""

import http.server
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Bed, eventually, free_port, thread, tree, write


class Prometheus(http.server.ThreadingHTTPServer):
    def __init__(self, data: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data = data
        self.disabled = False
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Prometheus

    def do_POST(self) -> None:
        if self.path != "/api/v1/admin/tsdb/snapshot" or self.server.disabled:
            return self.answer(503, {"status": "error", "error": "admin APIs disabled"})
        block = self.server.data / "snapshots/20240131T030000Z-1/01BLOCK"
        block.mkdir(parents=True)
        os.link(self.server.data / "01BLOCK/meta.json", block / "meta.json")
        return self.answer(200, {"status": "success", "data": {"name": block.parent.name}})

    def answer(self, code: int, content: Any) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())


@pytest.fixture
def prometheus(bare_bed: Bed) -> Iterator[Prometheus]:
    data = bare_bed.volumes / "prometheus-data"
    write(data / "01BLOCK/meta.json", "{}")
    with Prometheus(data) as server:
        thread(server.serve_forever)
        yield server
        server.shutdown()


def held(bed: Bed, url: str) -> tuple[Any, dict[str, Any]]:
    """The process, and what it told the backup."""
    process = bed.start("metrics-snapshot", PROMETHEUS_URL=url)
    answer = bed.scratch / "metrics-snapshot"
    return process, json.loads(eventually(lambda: answer.exists() and answer.read_text()))


def test_a_snapshot_is_held_until_the_backup_has_ended(bare_bed: Bed, prometheus: Prometheus) -> None:
    write(prometheus.data / "snapshots/left-over/meta.json", "{}")
    before = tree(prometheus.data / "01BLOCK")
    process, answer = held(bare_bed, prometheus.url)
    assert answer == {"ok": True}
    assert [path.name for path in (prometheus.data / "snapshots").iterdir()] == ["orfeas"]
    assert tree(prometheus.data / "snapshots/orfeas/01BLOCK") == before
    assert process.poll() is None
    process.terminate()
    assert process.wait() == 143
    assert list((prometheus.data / "snapshots").iterdir()) == []


def test_why_there_is_none_is_told_and_it_stays(bare_bed: Bed, prometheus: Prometheus) -> None:
    prometheus.disabled = True
    process, answer = held(bare_bed, prometheus.url)
    assert answer == {"error": "Prometheus made no snapshot: admin APIs disabled"}
    assert process.poll() is None
    process.terminate()
    assert process.wait() == 143


def test_prometheus_that_is_away_is_told(bare_bed: Bed) -> None:
    process, answer = held(bare_bed, f"http://127.0.0.1:{free_port()}")
    assert "refused" in answer["error"]
    process.terminate()
    process.wait()
