"""Dumps of a real Redis."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REDIS_PASSWORD, Bed, RedisServer, eventually, thread, write

from orfeas_backup import redis
from orfeas_backup.failure import Failure


@pytest.fixture
def server(redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    redis_server("flushall")
    for name, value in {"HOST": "127.0.0.1", "PORT": str(redis_server.port), "DB": "0"}.items():
        monkeypatch.setenv(f"REDIS_{name}", value)
    monkeypatch.setenv("REDIS_PASSWORD_FILE", str(write(tmp_path / "redis-password", REDIS_PASSWORD)))
    return redis_server


@pytest.fixture
def writing(redis_server: RedisServer) -> Iterator[None]:
    """Numbers are put into the queue, one after the other, all the while."""
    ended = threading.Event()

    def write() -> None:
        first = 1
        while not ended.is_set():
            redis_server(input="\n".join(f"rpush queue {number}" for number in range(first, first + 200)))
            first += 200

    redis_server("flushall")
    writer = thread(write)
    eventually(lambda: int(redis_server("llen", "queue")) > 1000)
    yield
    ended.set()
    writer.join()


def test_a_queue_that_is_dumped_under_writes_comes_back_in_a_redis_with_a_log(
    bare_bed: Bed, empty_repository: Path, writing: None
) -> None:
    bed = bare_bed
    before = int(bed.redis("llen", "queue"))
    bed.backup(BACKUP_PARTS="redis")
    folder = bed.volumes / "redis-data"
    folder.mkdir()
    bed.run("stage", RESTORE_PARTS="redis")
    bed.run("commit", RESTORE_PARTS="redis")
    restored = RedisServer(folder)
    try:
        queue = restored("lrange", "queue", "0", "-1").split()
        assert len(queue) >= before
        assert queue == [str(number) for number in range(1, len(queue) + 1)]
        # Its log goes on, over a restart too.
        restored("rpush", "queue", "more")
        restored.stop()
        restored = RedisServer(folder)
        assert restored("lindex", "queue", "-1") == "more"
        assert restored("llen", "queue") == str(len(queue) + 1)
        assert "progress_ratio" not in restored.record()
    finally:
        restored.stop()


def test_a_restored_redis_tells_of_the_newest_backup(bare_bed: Bed, empty_repository: Path) -> None:
    bed = bare_bed
    old = bed.backup("--time", "2024-01-01T03:00:00Z", BACKUP_PARTS="redis")["name"]
    bed.backup("--time", "2024-01-02T03:00:00Z", BACKUP_PARTS="redis")
    told = bed.redis.record()
    folder = bed.volumes / "redis-data"
    folder.mkdir()
    bed.run("stage", RESTORE_PARTS="redis", RESTORE_SNAPSHOT=old)
    bed.run("commit", RESTORE_PARTS="redis")
    restored = RedisServer(folder)
    try:
        record = restored.record()
    finally:
        restored.stop()
    # The program counts its own time in, too.
    assert record == {name: pytest.approx(value, abs=30 if name.endswith("_seconds") else 0) for name, value in told.items()}


def test_a_dump_that_is_cut_off_or_changed_is_damaged(server: RedisServer, tmp_path: Path) -> None:
    server("set", "key", "value" * 1000)
    dump = tmp_path / "dump.rdb"
    redis.dump(dump)
    whole = dump.read_bytes()
    for content in (b"", whole[:-20], b"XXXXX" + whole[5:], whole[:50] + b"XXXX" + whole[54:]):
        dump.write_bytes(content)
        with pytest.raises(Failure, match="dump of Redis") as raised:
            redis.check(dump)
        assert raised.value.code == "damaged"


def test_the_dump_of_a_newer_redis_is_taken(server: RedisServer, tmp_path: Path) -> None:
    dump = tmp_path / "dump.rdb"
    redis.dump(dump)
    dump.write_bytes(b"REDIS0099" + dump.read_bytes()[9:])
    redis.check(dump)


def test_what_is_recorded_can_be_read_and_removed(server: RedisServer) -> None:
    redis.record(last_attempt_succeeded=1, progress_ratio=0.5)
    assert server.record() == {"last_attempt_succeeded": 1, "progress_ratio": 0.5}
    redis.remove("progress_ratio")
    assert server.record() == {"last_attempt_succeeded": 1}


def test_an_error_of_redis_is_told(server: RedisServer) -> None:
    server("set", redis.KEY, "no hash")
    with pytest.raises(Failure, match="WRONGTYPE"):
        redis.record(last_attempt_succeeded=1)


def test_the_password_is_no_argument_of_a_process(server: RedisServer, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    wrapper = tmp_path / "redis-cli"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >>{seen}\n')
    wrapper.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    code = "from orfeas_backup import redis; redis.record(a=1)"
    subprocess.run(["python3", "-c", code], env=environment, check=True)
    assert "hset" in seen.read_text()
    assert REDIS_PASSWORD not in seen.read_text()
