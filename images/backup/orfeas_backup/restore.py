"""
Restores a backup onto the claims of one owner, in two steps, while nothing else writes there.

`stage` puts the new content into <claim>/.restore/new. `commit` moves what it replaces to <claim>/.backup_<id>, the
safety copy, and the new content to its place. Both can be killed anywhere and run again.

<claim>/.restore/state.json tells how far it is: {"id", "step": "staged" or "commit", "whole", "names"}, and from
`commit` on {"away", "place"}. At the end it moves into the safety copy, which tells that this one is complete.
"""

import json
import os
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orfeas_backup import events, manifest, parts, redis, restic, settings
from orfeas_backup.failure import Failure
from orfeas_backup.parts import OWNERS, PARTS, Source

MARGIN_BYTES = 16 << 20
"""Stays free on a volume, for folders and the journal."""
APPEND_ONLY_BASE, APPEND_ONLY_LOG = "appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof"


@dataclass
class Staging:
    """What one key of a part brings to its claim. Sizes in bytes."""

    part: str
    key: str
    source: Source
    path: str
    folder: dict[str, Any] | None = None
    linked: list[tuple[Path, Path]] = field(default_factory=list)
    linked_bytes: int = 0
    missing: int = 0
    missing_bytes: int = 0

    @property
    def target(self) -> Path:
        return _Claim(self.source.claim).new.joinpath(*self.source.names[:1])


class _Claim:
    """The places on a claim."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = settings.VOLUMES / name
        self.work = self.root / ".restore"
        self.new = self.work / "new"
        self.state_file = self.work / "state.json"

    def copy(self, id: str) -> Path:
        """The safety copy of a restore."""
        return self.root / f".backup_{id}"

    def undone(self, id: str) -> Path:
        """What undoing it took away. Like a safety copy, it stays until the next restore."""
        return self.root / f".backup_{id}_undone"

    def copied_state(self, id: str) -> Path:
        return self.copy(id) / ".state.json"

    def state(self) -> dict[str, Any]:
        """Empty when nothing is staged."""
        try:
            return json.loads(self.state_file.read_text())
        except FileNotFoundError:
            return {}

    def write_state(self, state: dict[str, Any]) -> None:
        part = self.state_file.with_suffix(".part")
        with part.open("w") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        rename(part, self.state_file)

    def present(self) -> list[str]:
        """Names at its root that are data."""
        return sorted(path.name for path in self.root.iterdir() if parts.is_data(path.name))


def stage() -> None:
    """Raises Failure; then nothing is replaced."""
    action = settings.get("RESTORE_ACTION")
    if action != "restore":
        events.tell("stage", "skipped", reason=f"the action is {action}")
        return
    id = settings.get("RESTORE_ID")
    claims = []
    for claim in _claims():
        state = claim.state()
        if claim.copied_state(id).exists() or (state.get("id") == id and state["step"] == "commit"):
            events.tell("stage", "skipped", owner=OWNERS[claim.name], claim=claim.name, reason="the commit has begun")
            continue
        # That of another restore, which nobody brought to its end: what was there before it is what this one replaces.
        if state.get("step") == "commit":
            roll_back(claim, state["id"])
        _clean(claim)
        claims.append(claim)
    wanted = settings.names("RESTORE_PARTS")
    if not any(_sources(part, claims) for part in wanted):
        return
    restic.open_repository()
    snapshot = manifest.find(settings.get("RESTORE_SNAPSHOT"))
    content = manifest.read(snapshot)
    try:
        stagings = []
        for part in wanted:
            paths = content["parts"].get(part, {"paths": {}})["paths"]
            found = [
                Staging(part, key, source, paths[key]) for key, source in _sources(part, claims).items() if key in paths
            ]
            if _sources(part, claims) and not found:
                events.tell("stage", "skipped", part=part, reason="there is none of it in the backup")
            stagings += found
        _plan(snapshot["id"], stagings)
        for staging in stagings:
            _fill(snapshot["id"], staging)
        for claim in claims:
            if of_claim := [staging.source for staging in stagings if staging.source.claim == claim.name]:
                _sync(claim.work)
                names = [name for source in of_claim for name in source.names]
                claim.write_state({"id": id, "step": "staged", "whole": not names, "names": names})
    except (Failure, OSError):
        for claim in claims:
            shutil.rmtree(claim.work, ignore_errors=True)
        raise


def commit() -> None:
    """Raises Failure. Run again, it completes."""
    id, action = settings.get("RESTORE_ID"), settings.get("RESTORE_ACTION")
    act = {"restore": put_in_place, "rollback": roll_back, "discard": _discard}.get(action)
    if not act:
        raise Failure(f"RESTORE_ACTION={action}: there is no such action", "use restore, rollback or discard")
    phase = "commit" if action == "restore" else action
    for claim in _claims():
        if not claim.state() and not any(claim.root.glob(".backup_*")):
            events.tell(
                phase, "skipped", owner=OWNERS[claim.name], claim=claim.name, reason="nothing is staged or kept"
            )
            continue
        with events.phase(phase, owner=OWNERS[claim.name], claim=claim.name):
            act(claim, id)


def refuse_while_under_way() -> None:
    """Raises Failure when a claim is a mixture of what a restore replaces and what it brings."""
    if mixed := [claim.name for claim in _claims() if claim.state().get("step") == "commit"]:
        raise Failure(
            f"{', '.join(mixed)}: a restore has not come to its end",
            "run the restore again, which completes it, and then the backup",
        )


def put_in_place(claim: _Claim, id: str) -> None:
    """Nothing happens where nothing is staged, or all is done."""
    state = claim.state()
    if state.get("id") == id and not claim.copied_state(id).exists():
        copy = claim.copy(id)
        copy.mkdir(exist_ok=True)
        if state["step"] != "commit":
            away = [name for name in claim.present() if state["whole"] or name in state["names"]]
            state |= {"step": "commit", "away": away, "place": sorted(path.name for path in claim.new.iterdir())}
            claim.write_state(state)
        for name in state["away"]:
            if not os.path.lexists(copy / name):
                rename(claim.root / name, copy / name)
        for name in state["place"]:
            if os.path.lexists(claim.new / name):
                rename(claim.new / name, claim.root / name)
        rename(claim.state_file, claim.copied_state(id))
    if claim.copied_state(id).exists():
        for older in claim.root.glob(".backup_*"):
            if older != claim.copy(id):
                shutil.rmtree(older)
        shutil.rmtree(claim.work, ignore_errors=True)


def roll_back(claim: _Claim, id: str) -> None:
    """Put the safety copy of a restore back. Nothing happens where there is none."""
    state, copy = claim.state(), claim.copy(id)
    if state.get("step") == "commit":
        if state["id"] != id:
            roll_back(claim, state["id"])
        else:
            rename(claim.state_file, claim.copied_state(id))
    if claim.copied_state(id).exists():
        state = json.loads(claim.copied_state(id).read_text())
        claim.undone(id).mkdir(exist_ok=True)
        # What writers made since then goes too, where the whole claim was replaced.
        placed = claim.present() if state["whole"] else state["place"]
        for name in sorted({*placed, *state["away"]}):
            # Without its copy, a name that had one is back already.
            if os.path.lexists(claim.root / name) and (name not in state["away"] or os.path.lexists(copy / name)):
                rename(claim.root / name, claim.undone(id) / name)
            if os.path.lexists(copy / name):
                rename(copy / name, claim.root / name)
    shutil.rmtree(claim.work, ignore_errors=True)
    claim.copied_state(id).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        copy.rmdir()


def rename(old: Path, new: Path) -> None:
    """Move within a claim; on the disk when this returns."""
    old.rename(new)
    for folder in {old.parent, new.parent}:
        _sync_one(folder)


def _sync(folder: Path) -> None:
    """What is in a folder is on the disk before anything is replaced by it: restic does not see to that."""
    for path in (folder, *folder.rglob("*")):
        if stat.S_IFMT(path.lstat().st_mode) in (stat.S_IFREG, stat.S_IFDIR):
            _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(claim: _Claim, _: str) -> None:
    if claim.state().get("step") == "commit":
        put_in_place(claim, claim.state()["id"])
    for copy in claim.root.glob(".backup_*"):
        shutil.rmtree(copy)


def _claims() -> list[_Claim]:
    """Those that this container has."""
    return [_Claim(name) for name in OWNERS if (settings.VOLUMES / name).is_dir()]


def _clean(claim: _Claim) -> None:
    if claim.work.exists():
        shutil.rmtree(claim.work)


def _sources(part: str, claims: list[_Claim]) -> dict[str, Source]:
    """Of a part, by key, those whose claims are here."""
    if part not in PARTS:
        raise Failure(f"RESTORE_PARTS: there is no part {part}", f"use some of {', '.join(PARTS)}")
    names = {claim.name for claim in claims}
    return {key: source for key, source in PARTS[part].items() if source.claim in names}


def _plan(snapshot: str, stagings: list[Staging]) -> None:
    """Find out what the volumes have already and whether the rest fits. Raises Failure."""

    def listen(node: dict[str, Any]) -> None:
        path = node.get("path")
        for staging in stagings:
            if path == staging.path and node["type"] == "dir":
                staging.folder = node
            elif path and (path == staging.path or path.startswith(f"{staging.path}/")):
                _take(staging, node, path.removeprefix(staging.path).lstrip("/"))

    if stagings:
        restic.run("ls", restic.NO_LOCK, "--recursive", snapshot, *(one.path for one in stagings), listen=listen)
    needed: dict[int, int] = {}
    for staging in stagings:
        root = settings.VOLUMES / staging.source.claim
        needed[root.stat().st_dev] = needed.get(root.stat().st_dev, MARGIN_BYTES) + staging.missing_bytes
        usage = os.statvfs(root)
        free = usage.f_bavail * usage.f_frsize
        if needed[root.stat().st_dev] > free:
            raise Failure(
                f"claim {staging.source.claim} has {free} bytes free, and what the backup brings takes"
                f" {needed[root.stat().st_dev]}",
                "make the claim larger, or remove what the last restore replaced: orfeas restore --discard",
            )


def _take(staging: Staging, node: dict[str, Any], relative: str) -> None:
    """Count one node of the snapshot; a file that the claim has unchanged is linked."""
    if node["type"] != "file":
        return
    size = node.get("size", 0)
    if staging.source.linked:
        live = staging.source.path / relative
        try:
            found = live.lstat()
        except (FileNotFoundError, NotADirectoryError):
            found = None
        if (
            found
            and stat.S_ISREG(found.st_mode)
            and (found.st_size, found.st_mtime_ns) == (size, restic.nanoseconds(node["mtime"]))
        ):
            staging.linked.append((live, staging.target / relative))
            staging.linked_bytes += size
            return
    staging.missing += 1
    staging.missing_bytes += size


def _fill(snapshot: str, staging: Staging) -> None:
    """Build the new content. Raises Failure."""
    claim = staging.source.claim
    fields = {"owner": OWNERS[claim], "part": staging.part, "key": staging.key, "claim": claim}
    with events.phase("stage", **fields) as done:
        target = staging.target
        if staging.source.claim == "redis-data":
            _fill_redis(snapshot, staging.path, target)
        elif staging.folder is None:
            target.parent.mkdir(parents=True, exist_ok=True)
            restic.run("dump", restic.NO_LOCK, "--target", target, snapshot, staging.path)
        else:
            target.mkdir(parents=True, exist_ok=True)
            for live, link in staging.linked:
                link.parent.mkdir(parents=True, exist_ok=True)
                # A file of another user may not be linked to: it is restored.
                with suppress(PermissionError):
                    link.hardlink_to(live)

            def listen(message: dict[str, Any]) -> None:
                if message.get("message_type") == "status":
                    events.tell(
                        "stage",
                        "progress",
                        **fields,
                        bytes=message.get("bytes_restored", 0),
                        totalBytes=staging.missing_bytes,
                    )

            restic.run(
                "restore",
                restic.NO_LOCK,
                f"{snapshot}:{staging.path}",
                "--target",
                target,
                "--overwrite",
                "never",
                "--exclude-xattr=*",
                listen=listen,
            )
            if staging.source.names:
                _like(target, staging.folder)
        done |= {
            "files": staging.missing,
            "bytes": staging.missing_bytes,
            "linkedFiles": len(staging.linked),
            "linkedBytes": staging.linked_bytes,
        }


def _fill_redis(snapshot: str, path: str, folder: Path) -> None:
    """The dump, in the form in which Redis keeps its log of writes, and what was not known yet when it was made."""
    folder.mkdir(parents=True)
    base = folder / APPEND_ONLY_BASE
    restic.run("dump", restic.NO_LOCK, "--target", base, snapshot, path)
    redis.check(base)
    record = manifest.record(restic.snapshots(settings.get("NAMESPACE"))[0])
    (folder / APPEND_ONLY_LOG).write_bytes(redis.log(settings.get("REDIS_DB"), **record))
    (folder / "appendonly.aof.manifest").write_text(
        f"file {APPEND_ONLY_BASE} seq 1 type b\nfile {APPEND_ONLY_LOG} seq 1 type i\n"
    )


def _like(folder: Path, node: dict[str, Any]) -> None:
    """restic gives mode and time to what is in a folder, and not to the folder itself."""
    set_group_id = stat.S_ISGID if node["mode"] & 1 << 22 else 0
    folder.chmod(node["mode"] & 0o777 | set_group_id)
    time = restic.nanoseconds(node["mtime"])
    os.utime(folder, ns=(time, time))
