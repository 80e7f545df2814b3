"""Verifications, which find what is not as it was."""

import os

from conftest import Bed, wrapped_restic, write


def test_a_good_backup_is_verified(backed_up: Bed) -> None:
    documents = backed_up.run("verify")
    phases = [document["phase"] for document in documents if document.get("status") == "done"]
    assert phases == ["check", "restore", "compare", "record"]
    result = documents[-1]["result"]
    assert result["name"] == "orfeas_backup_20240101_030000"
    assert result["compared"] == 4
    assert backed_up.redis.record()["last_verification_succeeded"] == 1
    assert not (backed_up.scratch / "verify").exists()


def test_what_changed_since_is_not_compared(backed_up: Bed) -> None:
    write(backed_up.volumes / "outputs/outputs/model-0.glb", "changed")
    (backed_up.volumes / "outputs/outputs/model-1.glb").unlink()
    assert backed_up.run("verify")[-1]["result"]["compared"] == 2


def test_a_file_that_rotted_is_named(backed_up: Bed) -> None:
    file = backed_up.volumes / "outputs/outputs/model-2.glb"
    times = file.stat()
    write(file, bytes(times.st_size))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    answer = backed_up.failed("verify")
    assert answer["phase"] == "compare"
    assert str(file) in answer["error"]
    assert backed_up.redis.record()["last_verification_succeeded"] == 0


def test_what_killed_backups_left_is_forgotten_after_a_day(backed_up: Bed) -> None:
    untagged = wrapped_restic(backed_up, "case $* in *' tag '*) kill -9 0;; esac")
    for day in ("2024-02-01", "2024-02-04"):
        backed_up.start("backup", "--time", f"{day}T03:00:00Z", PATH=untagged).communicate()
    snapshots = backed_up.repository / "snapshots"
    assert len(list(snapshots.iterdir())) == 3
    backed_up.run("verify")
    assert len(list(snapshots.iterdir())) == 2
    assert backed_up.names() == ["orfeas_backup_20240101_030000"]


def test_before_the_first_backup_there_is_nothing_to_verify(bed: Bed) -> None:
    assert bed.failed("verify")["code"] == "snapshot-missing"
