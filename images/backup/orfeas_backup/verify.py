"""Verifies the newest backup: reads a sample of the repository, restores aside, and compares with the live data."""

import hashlib
import json
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from orfeas_backup import events, grafana, manifest, parts, redis, restic, settings
from orfeas_backup.failure import Failure
from orfeas_backup.parts import PARTS

FOLDER = settings.SCRATCH / "verify"
SHOWN = 10


def verify() -> None:
    """Raises Failure."""
    started = time.monotonic()
    try:
        result = _verified()
    except Failure:
        with suppress(Failure):
            _record(succeeded=False)
        raise
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    with events.phase("record"):
        _record(succeeded=True)
    events.document({"result": {**result, "seconds": round(time.monotonic() - started, 1)}})


def _verified() -> dict[str, Any]:
    with events.phase("check"):
        restic.unlock()
        snapshot = manifest.find("latest")
        content = manifest.read(snapshot)
        restic.unlocked("check", f"--read-data-subset={settings.get('VERIFY_PERCENT')}%", phase="check")
        _forget_unfinished()
    with events.phase("restore") as restored:
        restored |= _restore(snapshot["id"], content)
    with events.phase("compare") as compared:
        compared |= _compare(content)
    return {"name": content["name"], "snapshot": snapshot["id"], **restored, "compared": compared["files"]}


def _forget_unfinished() -> None:
    """What backups that were killed have left, and not what one that runs has just made."""
    # A repository that is only added to refuses.
    with suppress(Failure):
        restic.forget(restic.UNFINISHED, "--keep-within", "1d")


def _restore(snapshot: str, content: manifest.Manifest) -> dict[str, int]:
    """All but models, which are large and can be had elsewhere, and Secrets, which stay where they are encrypted."""
    taken = [part for name, part in content["parts"].items() if name != "models"]
    size = sum(part["bytes"] for part in taken)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    free = shutil.disk_usage(FOLDER).free
    if free < size:
        raise Failure(
            f"{FOLDER} has {free} bytes free, and the backup has {size}", "make the volume of backup-verify larger"
        )
    left_out = [
        path
        for name, part in content["parts"].items()
        for key, path in part["paths"].items()
        if name == "models" or key in ("secrets", "files")
    ]
    restic.run(
        "restore",
        restic.NO_LOCK,
        snapshot,
        "--verify",
        "--exclude-xattr=*",
        "--target",
        FOLDER,
        *(f"--exclude={path}" for path in left_out),
    )
    return {"files": sum(part["files"] for part in taken), "bytes": size}


def _compare(content: manifest.Manifest) -> dict[str, int]:
    """Raises Failure when what was restored is not what was there."""
    restored = {
        key: FOLDER / path.lstrip("/")
        for name, part in content["parts"].items()
        if name != "models"
        for key, path in part["paths"].items()
    }
    compared, different = 0, []
    for key, source in PARTS["outputs"].items():
        if key not in restored:
            continue
        for entry in parts.files(restored[key]):
            file = Path(entry.path)
            live = source.path / file.relative_to(restored[key])
            if _untouched(file, live):
                compared += 1
                if _sum(file) != _sum(live):
                    different.append(str(live))
    if different:
        raise Failure(
            f"{len(different)} files are not as they were: {', '.join(different[:SHOWN])}",
            "look at the volume and at the repository: one of them damages data",
            "damaged",
        )
    if "redis" in restored:
        redis.check(restored["redis"])
    if "grafana" in restored:
        grafana.check(restored["grafana"])
    if "prometheus" in restored:
        for block in restored["prometheus"].glob("*/"):
            # Beside the blocks are the log and what Prometheus had not finished, by names in lower case.
            if not block.name.isupper():
                continue
            try:
                json.loads((block / "meta.json").read_text())
            except (OSError, ValueError) as error:
                raise Failure(
                    f"block {block.name} of Prometheus cannot be read: {error}", "make another backup", "damaged"
                ) from error
    return {"files": compared}


def _untouched(restored: Path, live: Path) -> bool:
    """Whether a file is still that of which the backup was made."""
    try:
        one, other = restored.lstat(), live.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(one.st_mode) and (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _sum(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _record(*, succeeded: bool) -> None:
    redis.record(last_verification_timestamp_seconds=time.time(), last_verification_succeeded=int(succeeded))
