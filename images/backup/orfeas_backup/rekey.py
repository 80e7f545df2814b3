"""The passwords that open the repository: those that the Secret has, but for the previous one."""

from pathlib import Path
from typing import Any

from orfeas_backup import restic, settings
from orfeas_backup.failure import Failure

PHASE = "rekey"


def rekey() -> dict[str, Any]:
    """
    Let in the next password, where there is one, and no longer the previous one. What is so already stays.

    Raises Failure.
    """
    password = Path(settings.get("RESTIC_PASSWORD_FILE"))
    coming, previous = (password.with_name(f"{password.name}{suffix}") for suffix in (".next", ".previous"))
    try:
        restic.open_repository()
    except Failure as failure:
        if failure.code != "repository-missing":
            raise
        # The first backup makes it, with the password of then.
        return {"added": False, "removed": False}
    added = coming.exists() and _key(coming) is None
    if added:
        restic.unlocked("key", "add", "--new-password-file", coming, phase=PHASE)
    old = _key(previous) if previous.exists() else None
    if old:
        restic.unlocked("key", "remove", old, phase=PHASE)
    return {"added": added, "removed": old is not None}


def _key(password: Path) -> str | None:
    """The id of the key that a password opens; none when it opens none."""
    try:
        (keys,) = restic.run("key", "list", restic.NO_LOCK, "--password-file", password).messages
    except Failure as failure:
        if failure.code != "wrong-password":
            raise
        return None
    return next(key["id"] for key in keys if key["current"])
