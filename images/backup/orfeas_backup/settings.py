"""What the environment says."""

import os
from pathlib import Path

from orfeas_backup.failure import Failure

VOLUMES = Path(os.environ.get("VOLUMES", "/volumes"))
"""Has each claim at its name."""
SCRATCH = Path(os.environ.get("SCRATCH", "/scratch"))
CLONES = os.environ.get("BACKUP_READ_FROM") == "clones"
"""Whether the volumes are copies that were made for this pod, each as the disk was at one moment."""


def get(name: str) -> str:
    """Raises Failure when the variable is not set."""
    if value := os.environ.get(name):
        return value
    raise Failure(f"{name} is not set", f"set {name} in the container's environment")


def names(variable: str) -> list[str]:
    """The names in a list with commas, none when the variable is not set."""
    return [name for name in os.environ.get(variable, "").split(",") if name]
