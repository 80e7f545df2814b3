"""Backups by the real restic, of volumes with files."""

import json
import os
import resource
import shutil
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Bed, eventually, tree, wrapped_restic, write

FULL_BYTES = 60_000
PHASES = ["redis", "monitoring", "configuration", "archive", "retention", "record"]


def test_a_backup_tells_its_phases_and_its_result(bed: Bed) -> None:
    documents = bed.run("backup", "--time", "2024-01-31T03:00:00Z")
    told = [(document["phase"], document["status"]) for document in documents if "phase" in document]
    assert list(dict.fromkeys(phase for phase, _ in told)) == PHASES
    assert ("configuration", "skipped") in told
    assert ("archive", "progress") in told or ("archive", "done") in told
    result = documents[-1]["result"]
    assert result["name"] == "orfeas_backup_20240131_030000"
    assert result["missing"] == {}
    assert result["files"] >= 10
    assert result["bytes"] > 200_000
    assert result["addedBytes"] > 200_000
    assert result["seconds"] > 0
    record = bed.redis.record()
    assert record["last_attempt_succeeded"] == 1
    assert record["last_success_size_bytes"] == result["bytes"]
    assert record["last_success_duration_seconds"] == result["seconds"]
    assert record["last_success_timestamp_seconds"] == datetime(2024, 1, 31, 3, tzinfo=UTC).timestamp() + result["seconds"]
    assert "progress_ratio" not in record


def test_a_claim_that_is_being_restored_is_not_backed_up(bed: Bed) -> None:
    state = write(bed.volumes / "outputs/.restore/state.json", json.dumps({"id": "20240131_030000", "step": "commit"}))
    assert "outputs: a restore has not come to its end" in bed.failed("backup")["error"]
    state.write_text(json.dumps({"id": "20240131_030000", "step": "staged"}))
    bed.backup()


def test_what_is_no_data_is_not_in_it(bed: Bed) -> None:
    bed.backup()
    names = subprocess.run(["restic", "ls", "latest"], env=bed.environment, capture_output=True, text=True).stdout
    assert "hub/blobs/weights" in names
    for name in (".backup_", "lost+found", ".part", "/wal"):
        assert name not in names


def test_a_second_backup_adds_almost_nothing(bed: Bed) -> None:
    first = bed.backup("--time", "2024-01-30T03:00:00Z")
    second = bed.backup("--time", "2024-01-31T03:00:00Z")
    assert second["addedBytes"] < first["addedBytes"] / 5
    assert bed.names() == [second["name"], first["name"]]


def test_models_can_be_left_out(bed: Bed) -> None:
    bed.backup("--skip-models")
    (snapshot,) = bed.run("list")[0]["snapshots"]
    assert snapshot["parts"] == ["outputs", "logs", "monitoring", "redis"]


def test_before_the_backend_ever_ran_its_parts_are_empty(bare_bed: Bed) -> None:
    result = bare_bed.backup(BACKUP_PARTS="outputs,logs,models,redis")
    manifest = bare_bed.run("inspect", "latest")[0]["manifest"]
    assert manifest["parts"]["outputs"] == {"paths": {}, "files": 0, "bytes": 0}
    assert result["missing"] == {}


def test_the_first_backup_makes_a_repository_that_the_group_can_read(bare_bed: Bed) -> None:
    bare_bed.backup(BACKUP_PARTS="outputs,redis")
    paths = list(bare_bed.repository.rglob("*"))
    assert all(path.stat().st_mode & 0o040 for path in [bare_bed.repository, *paths])
    # So are those that later backups add.
    bare_bed.backup(BACKUP_PARTS="outputs,redis")
    assert all(path.stat().st_mode & 0o040 for path in bare_bed.repository.rglob("*"))


def test_monitoring_that_cannot_be_had_does_not_fail_a_backup(bed: Bed) -> None:
    write(bed.scratch / "metrics-snapshot", '{"error": "Prometheus made no snapshot: admin APIs disabled"}')
    documents = bed.run("backup")
    missing = documents[-1]["result"]["missing"]
    assert missing == {"monitoring": "Prometheus made no snapshot: admin APIs disabled"}
    assert any(document.get("status") == "warning" for document in documents)
    (snapshot,) = bed.run("list")[0]["snapshots"]
    assert snapshot["missing"] == missing
    # Grafana's database was there.
    assert "monitoring" in snapshot["parts"]


OF_CLONES = {"BACKUP_READ_FROM": "clones"}


def test_of_clones_prometheus_is_taken_whole_without_a_snapshot(bed: Bed) -> None:
    (bed.scratch / "metrics-snapshot").unlink()
    data = bed.volumes / "prometheus-data"
    write(data / "chunks_head/000001", os.urandom(1000))
    passing = ["lock", "queries.active", "02BLOCK.tmp-for-creation/index", "wal/checkpoint.00000001.tmp/00000000"]
    for name in passing:
        write(data / name, "passing")
    assert bed.backup(**OF_CLONES)["missing"] == {}
    manifest = bed.run("inspect", "latest")[0]["manifest"]
    assert manifest["parts"]["monitoring"]["paths"]["prometheus"] == str(data)
    assert bed.run("verify")[-1]["result"]["name"] == manifest["name"]

    for name in [*passing, "snapshots/orfeas/01BLOCK/meta.json", "snapshots/orfeas/01BLOCK/chunks/000001"]:
        (data / name).unlink()
    kept = {name: found for name, found in tree(data).items() if not name.endswith("/")}
    shutil.rmtree(data)
    data.mkdir()
    bed.run("stage", RESTORE_PARTS="monitoring")
    bed.run("commit", RESTORE_PARTS="monitoring")
    assert {name: found for name, found in tree(data).items() if not name.endswith("/")} == kept
    assert {"01BLOCK/meta.json", "wal/00000001", "chunks_head/000001"} <= kept.keys()


def test_an_empty_volume_in_place_of_a_clone_is_refused(bed: Bed) -> None:
    shutil.rmtree(bed.volumes / "outputs")
    (bed.volumes / "outputs").mkdir()
    bed.backup("--skip-models", BACKUP_PARTS="outputs,redis")
    before = bed.names()
    answer = bed.failed("backup", **OF_CLONES)
    assert "its storage class does not clone volumes" in answer["error"]
    assert "set backup.readFrom back to 'volumes'" in answer["remedy"]
    assert answer["phase"] == "archive"
    assert bed.names() == before
    assert bed.redis.record()["last_attempt_succeeded"] == 0


def test_what_is_no_clone_of_monitoring_is_missing(bed: Bed) -> None:
    for claim in ("prometheus-data", "grafana-data"):
        shutil.rmtree(bed.volumes / claim)
        (bed.volumes / claim).mkdir()
    missing = bed.backup(**OF_CLONES)["missing"]
    assert missing.keys() == {"monitoring"}
    assert "the clone of prometheus-data has no wal" in missing["monitoring"]
    assert "the clone of grafana-data has no grafana.db" in missing["monitoring"]


@pytest.mark.parametrize(("port", "password"), [("1", "any"), (None, "wrong")])
def test_without_redis_there_is_no_backup(bed: Bed, port: str | None, password: str) -> None:
    file = write(bed.folder / "redis-password", password)
    answer = bed.failed("backup", REDIS_PORT=port or str(bed.redis.port), REDIS_PASSWORD_FILE=str(file))
    assert (answer["phase"], answer["status"]) == ("redis", "failed")
    assert "Redis at 127.0.0.1" in answer["error"]
    assert bed.names() == []


def test_forty_days_of_daily_backups_leave_thirty_days(bed: Bed) -> None:
    first = datetime(2024, 1, 1, 3, tzinfo=UTC)
    days = [first + timedelta(days=day) for day in range(40)]
    made = [bed.backup("--time", day.isoformat(), BACKUP_PARTS="outputs")["name"] for day in days]
    assert bed.names() == made[:-31:-1]
    # Those that fail remove nothing, however much later.
    for _ in range(2):
        bed.failed("backup", "--time", "2025-01-01T03:00:00Z", REDIS_PORT="1")
    assert bed.names() == made[:-31:-1]
    # The last that is good stays until there is a newer one.
    last = bed.backup("--time", "2025-02-01T03:00:00Z", BACKUP_PARTS="outputs")["name"]
    assert bed.names() == [last]


def failing_to_read(bed: Bed, file: Path, reason: str) -> str:
    """A PATH whose restic cannot read a file."""
    error = {"message_type": "error", "error": {"message": f"open {file}: {reason}"}, "during": "archival"}
    line = json.dumps({**error, "item": str(file)})
    restic = shutil.which("restic")
    return wrapped_restic(bed, f"case $* in *' backup '*) {restic} \"$@\"; echo '{line}' >&2; exit 3;; esac")


def test_a_file_that_vanishes_while_it_is_read_does_not_fail_a_backup(bed: Bed) -> None:
    gone = bed.volumes / "outputs/outputs/gone"
    bed.backup(PATH=failing_to_read(bed, gone, "no such file or directory"))
    assert len(bed.names()) == 1


def test_a_file_that_cannot_be_read_fails_a_backup_by_its_name(bed: Bed) -> None:
    mine = bed.volumes / "outputs/outputs/mine"
    answer = bed.failed("backup", PATH=failing_to_read(bed, mine, "permission denied"))
    assert str(mine) in answer["error"]
    assert bed.names() == []
    name = bed.backup()["name"]
    assert bed.names() == [name]


@pytest.mark.parametrize(
    ("phase", "status", "shows"),
    [
        ("redis", "started", False),
        ("monitoring", "started", False),
        ("archive", "started", False),
        ("archive", "done", True),
        ("retention", "started", True),
        ("record", "started", True),
    ],
)
def test_killed_in_a_phase_it_leaves_old_or_new(bed: Bed, phase: str, status: str, shows: bool) -> None:
    old = bed.backup("--time", "2024-01-30T03:00:00Z")["name"]
    assert bed.killed_at(phase, status, "backup", "--time", "2024-01-31T03:00:00Z")
    new = ["orfeas_backup_20240131_030000"] if shows else []
    assert bed.names() == [*new, old]
    again = bed.backup("--time", "2024-01-31T04:00:00Z")["name"]
    assert bed.names() == [again, *new, old]
    assert bed.run("inspect", "latest")[0]["manifest"]["name"] == again


@pytest.mark.parametrize("command", ["unlock", "backup", "tag", "forget"])
def test_killed_as_restic_is_started_it_leaves_old_or_new(bed: Bed, command: str) -> None:
    old = bed.backup("--time", "2024-01-30T03:00:00Z")["name"]
    path = wrapped_restic(bed, f"case $* in *' {command} '*|*' {command}') kill -9 0;; esac")
    process = bed.start("backup", "--time", "2024-01-31T03:00:00Z", PATH=path)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    new = ["orfeas_backup_20240131_030000"] if command == "forget" else []
    assert bed.names() == [*new, old]
    again = bed.backup("--time", "2024-01-31T04:00:00Z")["name"]
    assert bed.names() == [again, *new, old]


def test_asked_to_end_it_ends_restic_and_shows_nothing(bed: Bed) -> None:
    status = json.dumps({"message_type": "status", "bytes_done": 1, "files_done": 1})
    started = bed.folder / "started"
    path = wrapped_restic(bed, f"case $* in *' backup '*) echo $$ >{started}; echo '{status}'; exec sleep 60;; esac")
    process = bed.start("backup", PATH=path)
    # It reads what restic says.
    told = next(line for line in process.stdout if json.loads(line)["status"] == "progress")
    assert json.loads(told)["phase"] == "archive"
    eventually(lambda: "progress_ratio" in bed.redis.record())
    process.terminate()
    rest, _ = process.communicate()
    assert process.returncode == 143
    assert '"result"' not in rest
    assert not Path(f"/proc/{started.read_text().strip()}").exists()
    assert bed.names() == []
    assert "progress_ratio" not in bed.redis.record()


def test_a_full_repository_fails_a_backup_and_keeps_the_others(bed: Bed) -> None:
    old = bed.backup("--time", "2024-01-30T03:00:00Z")["name"]
    write(bed.volumes / "outputs/outputs/large.glb", os.urandom(5_000_000))

    def no_larger_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    answer = bed.failed("backup", "--skip-models", limits=no_larger_files)
    assert answer["phase"] == "archive"
    assert "no space left" in answer["error"]
    assert bed.names() == [old]
    assert bed.redis.record()["last_attempt_succeeded"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_full_volume_fails_a_backup_and_keeps_the_others(bed: Bed) -> None:
    moved = bed.repository.rename(bed.folder / "moved")
    bed.repository.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(bed.repository)], check=True)
    try:
        shutil.copytree(moved, bed.repository, dirs_exist_ok=True)
        old = bed.backup("--time", "2024-01-30T03:00:00Z")["name"]
        write(bed.volumes / "outputs/outputs/large.glb", os.urandom(5_000_000))
        answer = bed.failed("backup")
        assert "no space left" in answer["error"]
        assert bed.names() == [old]
        bed.run("inspect", old)
    finally:
        subprocess.run(["umount", str(bed.repository)], check=True)


@pytest.mark.parametrize("command", ["backup", "tag", "forget"])
def test_a_lock_that_a_killed_restic_left_does_not_stop_the_next_backup(bed: Bed, command: str) -> None:
    at_work = f'{shutil.which("restic")} "$@" & sleep 0.1; kill -9 0'
    path = wrapped_restic(bed, f"case $* in *' {command} '*) {at_work};; esac")
    bed.start("backup", "--time", "2024-01-30T03:00:00Z", PATH=path).communicate()
    made = bed.backup("--time", "2024-01-31T03:00:00Z")["name"]
    assert bed.names()[0] == made
    bed.run("inspect", "latest")
