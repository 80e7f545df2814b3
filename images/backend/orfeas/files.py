"""Files that are complete or not there."""

import os
from pathlib import Path


def publish(part: Path, final: Path) -> None:
    """Give a written file its final name, once it is on disk."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
