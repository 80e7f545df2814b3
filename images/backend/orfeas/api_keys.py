"""Keys of programs that may use the API."""

import hashlib
import hmac
from pathlib import Path


def owner(folder: Path, key: str) -> str | None:
    """
    Who has that key: the name of the file in `folder` that holds its SHA-256, or None.

    The files are read anew each time, so that a Secret may change while the studio runs. Every one is compared, each in
    constant time.
    """
    digest = hashlib.sha256(key.encode()).hexdigest().encode()
    found = None
    for file in sorted(folder.iterdir()):
        # A Secret is mounted with hidden folders beside its files.
        if not file.name.startswith(".") and hmac.compare_digest(file.read_bytes().strip().lower(), digest):
            found = file.name
    return found
