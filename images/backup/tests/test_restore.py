"""Restores: what they bring back, what they keep, and that they can be killed anywhere."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Bed, Tree, tree, write

from orfeas_backup import restore, settings

ID = "20240101_120000"
ENDLESS = 1000
STEPS = {"os.rename", "subprocess.Popen"}
CHANGES = {*STEPS, "os.remove", "os.rmdir", "os.mkdir", "os.link"}
"""Events of Python's audit, before which a process is killed."""
CLAIMS = ("outputs", "huggingface-cache", "hy3dgen-cache", "prometheus-data", "grafana-data", "redis-data")


def restored(bed: Bed, **environment: str) -> None:
    bed.run("stage", **environment)
    bed.run("commit", **environment)


def spoil(bed: Bed) -> None:
    """The studio went on after its backup."""
    outputs = bed.volumes / "outputs"
    write(outputs / "outputs/model-0.glb", "changed")
    (outputs / "outputs/model-1.glb").unlink()
    write(outputs / "outputs/made-since.glb", "since")
    write(outputs / "logs/backend-2/api.log", "since")
    write(bed.volumes / "huggingface-cache/hub/blobs/weights", "other")
    write(bed.volumes / "prometheus-data/02BLOCK/meta.json", "{}")
    write(bed.volumes / "grafana-data/grafana.db", "broken")
    write(bed.volumes / "grafana-data/plugins/plugin.json", "{}")
    write(bed.volumes / "redis-data/appendonlydir/appendonly.aof.manifest", "old")


def everything(bed: Bed) -> dict[str, Tree]:
    return {name: tree(bed.volumes / name) for name in CLAIMS}


def contents(bed: Bed) -> dict[str, dict[str, str]]:
    """Without times: dumps of databases are written anew."""
    return {claim: {name: found for name, (found, _) in files.items()} for claim, files in everything(bed).items()}


def test_lost_volumes_come_back_byte_for_byte_with_their_times(backed_up: Bed) -> None:
    before = everything(backed_up)
    for claim in CLAIMS:
        shutil.rmtree(backed_up.volumes / claim)
        (backed_up.volumes / claim).mkdir()
    restored(backed_up)
    after = everything(backed_up)
    (before["outputs"]).pop("outputs/.model-4.glb.part")
    # Neither data nor in the snapshot.
    assert before["huggingface-cache"].pop("lost+found/lost")
    assert before["huggingface-cache"].pop("lost+found/")
    assert after["outputs"] == before["outputs"]
    assert after["huggingface-cache"] == before["huggingface-cache"]
    assert after["hy3dgen-cache"] == before["hy3dgen-cache"]
    blocks = {name: found for name, found in before["prometheus-data"].items() if name.startswith("01BLOCK")}
    assert after["prometheus-data"] == blocks
    assert after["grafana-data"].keys() == before["grafana-data"].keys()
    assert set(after["redis-data"]) == {
        "appendonlydir/",
        "appendonlydir/appendonly.aof.1.base.rdb",
        "appendonlydir/appendonly.aof.1.incr.aof",
        "appendonlydir/appendonly.aof.manifest",
    }


def test_what_it_replaces_is_in_a_safety_copy(backed_up: Bed) -> None:
    before = everything(backed_up)
    spoil(backed_up)
    restored(backed_up)
    volumes = backed_up.volumes
    copy = volumes / f"outputs/.backup_{ID}"
    assert (copy / "outputs/made-since.glb").read_text() == "since"
    assert (copy / "outputs/model-0.glb").read_text() == "changed"
    assert tree(volumes / "outputs/outputs").keys() == {"model-0.glb", "model-1.glb", "model-2.glb"}
    assert not (volumes / "prometheus-data/02BLOCK").exists()
    assert (volumes / "grafana-data/plugins/plugin.json").exists()
    assert before["hy3dgen-cache"] == tree(volumes / "hy3dgen-cache")
    assert not list(volumes.glob("*/.restore"))
    # That of an earlier restore is gone.
    assert not (volumes / "huggingface-cache/.backup_20250101_000000").exists()
    assert (volumes / "huggingface-cache/lost+found/lost").exists()


def test_unchanged_files_are_linked_and_take_no_space(backed_up: Bed) -> None:
    spoil(backed_up)
    weights = backed_up.volumes / "hy3dgen-cache/turbo/weights"
    node = weights.stat().st_ino
    documents = backed_up.run("stage")
    done = {document["claim"]: document for document in documents if document["status"] == "done"}
    assert done["hy3dgen-cache"]["linkedFiles"] == 1
    assert done["hy3dgen-cache"]["bytes"] == 0
    assert done["huggingface-cache"]["linkedFiles"] == 0
    backed_up.run("commit")
    assert weights.stat().st_ino == node
    assert weights.stat().st_nlink == 2


def test_what_is_written_after_a_restore_leaves_the_safety_copy_as_it_was(backed_up: Bed) -> None:
    volumes, copy = backed_up.volumes, backed_up.volumes / f"outputs/.backup_{ID}"
    restored(backed_up)
    before = tree(copy)
    # As the backend does: a new file takes the place of the old one, and logs go on.
    write(volumes / "outputs/outputs/.new.part", "new").replace(volumes / "outputs/outputs/model-0.glb")
    with (volumes / "outputs/logs/backend-1/api.log").open("a") as log:
        log.write("more\n")
    # And as restic does.
    restored(backed_up, RESTORE_ID="20240101_130000")
    newer = backed_up.volumes / "outputs/.backup_20240101_130000"
    assert (newer / "outputs/model-0.glb").read_text() == "new"
    assert (newer / "logs/backend-1/api.log").read_text().endswith("more\n")
    after = tree(volumes / "outputs")
    assert {name: found for name, found in after.items() if not name.endswith("/")} == {
        name: found
        for name, found in before.items()
        if not name.endswith("/") and name not in (".state.json", "outputs/.model-4.glb.part")
    }
    assert not copy.exists()


def test_only_chosen_parts_are_touched(backed_up: Bed) -> None:
    spoil(backed_up)
    before = everything(backed_up)
    restored(backed_up, RESTORE_PARTS="logs,monitoring")
    after = everything(backed_up)
    for claim in ("huggingface-cache", "hy3dgen-cache", "redis-data"):
        assert after[claim] == before[claim]
    assert (backed_up.volumes / "outputs/outputs/made-since.glb").exists()
    assert not (backed_up.volumes / "outputs/logs/backend-2").exists()


def test_a_part_that_the_backup_does_not_have_stays_as_it_is(bed: Bed) -> None:
    bed.backup("--skip-models")
    before = everything(bed)
    told = bed.run("stage", RESTORE_PARTS="models")
    assert [(document["part"], document["status"]) for document in told] == [("models", "skipped")]
    bed.run("commit", RESTORE_PARTS="models")
    assert everything(bed) == before


def test_undoing_a_restore_brings_back_what_was_there(backed_up: Bed) -> None:
    spoil(backed_up)
    before = everything(backed_up)
    restored(backed_up)
    # The studio ran meanwhile.
    write(backed_up.volumes / "prometheus-data/wal/00000000", "new")
    write(backed_up.volumes / "outputs/outputs/made-meanwhile.glb", "meanwhile")
    for _ in range(2):
        restored(backed_up, RESTORE_ACTION="rollback")
        assert everything(backed_up) == before
    # What users made meanwhile is not lost.
    undone = backed_up.volumes / f"outputs/.backup_{ID}_undone/outputs/made-meanwhile.glb"
    assert undone.read_text() == "meanwhile"


def test_safety_copies_can_be_discarded(backed_up: Bed) -> None:
    restored(backed_up)
    before = everything(backed_up)
    restored(backed_up, RESTORE_ACTION="discard")
    assert not list(backed_up.volumes.glob("*/.backup_*"))
    assert everything(backed_up) == before


def test_an_action_that_does_not_exist_is_refused(backed_up: Bed) -> None:
    assert "RESTORE_ACTION=undo" in backed_up.failed("commit", RESTORE_ACTION="undo")["error"]
    assert "no part everything" in backed_up.failed("stage", RESTORE_PARTS="everything")["error"]


def test_a_commit_without_a_stage_does_nothing(backed_up: Bed) -> None:
    before = everything(backed_up)
    backed_up.run("commit")
    assert everything(backed_up) == before


def test_a_missing_snapshot_touches_nothing(backed_up: Bed) -> None:
    before = everything(backed_up)
    assert backed_up.failed("stage", RESTORE_SNAPSHOT="orfeas_backup_20200101_000000")["code"] == "snapshot-missing"
    assert everything(backed_up) == before
    assert not list(backed_up.volumes.glob("*/.restore"))


def test_data_that_cannot_be_read_from_the_repository_touches_nothing(backed_up: Bed) -> None:
    spoil(backed_up)
    before = everything(backed_up)
    for pack in (path for path in (backed_up.repository / "data").rglob("*") if path.is_file()):
        pack.chmod(0o600)
        with pack.open("r+b") as file:
            file.seek(1000)
            file.write(bytes(60_000))
    backed_up.failed("stage")
    assert everything(backed_up) == before
    assert not list(backed_up.volumes.glob("*/.restore"))


@pytest.fixture
def here(backed_up: Bed, monkeypatch: pytest.MonkeyPatch) -> Bed:
    """A bed whose commands can run in this process."""
    for name, value in backed_up.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(settings, "VOLUMES", backed_up.volumes)
    monkeypatch.setattr(settings, "SCRATCH", backed_up.scratch)
    return backed_up


def test_what_does_not_fit_touches_nothing(here: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(here)
    before = everything(here)
    real = os.statvfs

    def nearly_full(path: Any) -> Any:
        found = list(real(path))
        found[4] = (restore.MARGIN_BYTES + 1000) // found[1]
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "statvfs", nearly_full)
    with pytest.raises(restore.Failure, match="bytes free"):
        restore.stage()
    assert everything(here) == before
    assert not list(here.volumes.glob("*/.restore"))


def killed(action: Callable[[], None], at: int, before: set[str] = CHANGES) -> bool:
    """Run an action in a process that is killed before such an event, number `at`; False when there are not so many."""
    child = os.fork()
    if child == 0:
        left = at

        def count(event: str, _: Any) -> None:
            nonlocal left
            if event in before:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            action()
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def each_kill(here: Bed, action: Callable[[], None], before: set[str] = CHANGES) -> Iterator[int]:
    """For each such event of an action: the volumes as they were, and the action killed there."""
    saved = here.folder / "saved"
    shutil.copytree(here.volumes, saved, symlinks=True)
    for at in range(ENDLESS):
        shutil.rmtree(here.volumes)
        shutil.copytree(saved, here.volumes, symlinks=True)
        if not killed(action, at, before):
            assert at >= 10
            return
        yield at


def copied(here: Bed) -> Tree:
    return {
        name: found for name, found in tree(here.volumes / f"outputs/.backup_{ID}").items() if name != ".state.json"
    }


def again(action: Callable[[], None]) -> None:
    assert not killed(action, ENDLESS)


def test_a_stage_killed_anywhere_touches_nothing_and_completes_when_run_again(here: Bed) -> None:
    spoil(here)
    old = everything(here)
    for _ in each_kill(here, restore.stage, STEPS):
        assert everything(here) == old
    again(restore.stage)
    again(restore.commit)
    assert (here.volumes / "outputs/outputs/model-1.glb").exists()
    assert copied(here) == old["outputs"]


def test_a_commit_killed_anywhere_completes_when_run_again(here: Bed) -> None:
    spoil(here)
    old = everything(here)
    again(restore.stage)
    new: dict[str, dict[str, str]] = {}
    for at in each_kill(here, restore.commit):
        if at % 8 == 0:
            # As a pod does that takes the place of the first.
            again(restore.stage)
        again(restore.commit)
        assert not list(here.volumes.glob("*/.restore"))
        new = new or contents(here)
        assert contents(here) == new
        assert copied(here) == old["outputs"]
    assert new["outputs"] != {name: found for name, (found, _) in old["outputs"].items()}


def test_a_commit_killed_anywhere_can_be_undone(here: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(here)
    old = everything(here)
    again(restore.stage)
    monkeypatch.setenv("RESTORE_ACTION", "restore")
    for _ in each_kill(here, restore.commit):
        monkeypatch.setenv("RESTORE_ACTION", "rollback")
        again(restore.commit)
        assert everything(here) == old
        monkeypatch.setenv("RESTORE_ACTION", "restore")


def test_an_undoing_killed_anywhere_completes_when_run_again(here: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(here)
    old = everything(here)
    again(restore.stage)
    again(restore.commit)
    monkeypatch.setenv("RESTORE_ACTION", "rollback")
    for _ in each_kill(here, restore.commit):
        again(restore.commit)
        assert everything(here) == old
        assert not list(here.volumes.glob(f"*/.backup_{ID}"))


def test_a_restore_after_one_that_never_ended_keeps_what_was_there_before_both(
    here: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(here)
    old = everything(here)
    again(restore.stage)
    assert killed(restore.commit, 5)
    monkeypatch.setenv("RESTORE_ID", "20240101_130000")
    again(restore.stage)
    again(restore.commit)
    copy = tree(here.volumes / "outputs/.backup_20240101_130000")
    copy.pop(".state.json", None)
    assert copy == old["outputs"]
    assert (
        json.loads((here.volumes / "outputs/.backup_20240101_130000/.state.json").read_text())["id"]
        == "20240101_130000"
    )
    assert len(list((here.volumes / "outputs").glob(".backup_*"))) == 1


def test_undoing_a_restore_undoes_a_later_one_that_never_ended_first(
    here: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(here)
    old = everything(here)
    again(restore.stage)
    again(restore.commit)
    monkeypatch.setenv("RESTORE_ID", "20240101_130000")
    again(restore.stage)
    assert killed(restore.commit, 5)
    monkeypatch.setenv("RESTORE_ID", ID)
    monkeypatch.setenv("RESTORE_ACTION", "rollback")
    again(restore.commit)
    assert everything(here) == old


def test_discarding_completes_a_commit_that_never_ended(here: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(here)
    again(restore.stage)
    assert killed(restore.commit, 5)
    monkeypatch.setenv("RESTORE_ACTION", "discard")
    again(restore.commit)
    assert tree(here.volumes / "outputs/outputs").keys() == {"model-0.glb", "model-1.glb", "model-2.glb"}
    assert not list(here.volumes.glob("outputs/.backup_*"))
