"""What the parts of a backup are, and where their data lives."""

import fnmatch
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orfeas_backup import settings


@dataclass(frozen=True)
class Source:
    """
    Data of a part. `names` are those at the claim's root that a restore replaces, the first of them that which a backup
    takes; none stand for the whole claim. `linked`: its writers replace files and never write into one, so that a file
    may be shared with a safety copy.
    """

    claim: str
    names: tuple[str, ...] = ()
    linked: bool = False

    @property
    def path(self) -> Path:
        """Where it lives."""
        return settings.VOLUMES.joinpath(self.claim, *self.names[:1])


PARTS: dict[str, dict[str, Source]] = {
    "outputs": {
        "outputs": Source("outputs", ("outputs",), linked=True),
        "uploads": Source("outputs", ("uploads",), linked=True),
    },
    "logs": {"logs": Source("outputs", ("logs",))},
    "models": {
        "huggingface": Source("huggingface-cache", linked=True),
        "hy3dgen": Source("hy3dgen-cache", linked=True),
    },
    "monitoring": {
        "prometheus": Source("prometheus-data", linked=True),
        "grafana": Source("grafana-data", ("grafana.db", "grafana.db-journal", "grafana.db-wal", "grafana.db-shm")),
    },
    "redis": {"redis": Source("redis-data", ("appendonlydir", "dump.rdb"))},
    "configuration": {},
}
"""By the part's name, and the key in the manifest's `paths`."""

OWNERS = {
    "outputs": "backend",
    "huggingface-cache": "backend",
    "hy3dgen-cache": "backend",
    "prometheus-data": "prometheus",
    "grafana-data": "grafana",
    "redis-data": "redis",
}

NOT_DATA = (".backup_*", ".restore", "lost+found")
"""Patterns of names at the root of a claim."""
UNFINISHED = (".*.part", "*.incomplete")
"""Patterns of files that are still being written: outputs and uploads, and downloads of Hugging Face."""


def is_data(name: str) -> bool:
    """Whether a name at the root of a claim is no safety copy and the like."""
    return not any(fnmatch.fnmatch(name, pattern) for pattern in NOT_DATA)


def is_finished(name: str) -> bool:
    """Whether the file of a name is no longer written."""
    return not any(fnmatch.fnmatch(name, pattern) for pattern in UNFINISHED)


def files(folder: Path, root: bool = True) -> Iterator[os.DirEntry[str]]:
    """What is no folder below `folder`, as a backup takes it. What vanishes meanwhile is left out."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if root and not is_data(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from files(Path(entry.path), root=False)
        elif is_finished(entry.name):
            yield entry
