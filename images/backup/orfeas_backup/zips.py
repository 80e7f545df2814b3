"""A backup as a plain zip, laid out as those of the Compose deployment."""

import json
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any, NamedTuple

from orfeas_backup import manifest, restic

Key = tuple[str, str]
"""A part, and one of the keys in the manifest's `paths`."""

LAYOUT: dict[Key, tuple[str, ...]] = {
    ("outputs", "outputs"): ("outputs",),
    ("outputs", "uploads"): ("uploads",),
    ("logs", "logs"): ("logs",),
    ("models", "huggingface"): ("models/huggingface", "models/huggingface-cache"),
    ("models", "hy3dgen"): ("models/hy3dgen", "models/hy3dgen-cache"),
    ("monitoring", "prometheus"): ("monitoring/prometheus", "monitoring/prometheus-data"),
    ("monitoring", "grafana"): (
        "monitoring/grafana/grafana.db",
        "monitoring/grafana.db",
        "monitoring/grafana-data/grafana.db",
    ),
    ("redis", "redis"): ("redis/dump.rdb",),
    ("configuration", "objects"): ("config/objects.json",),
}
"""Where each has its place in a zip. Other names after the first are those of Compose's volumes. Secrets have none."""
FILES: Key = ("configuration", "files")
"""Settings of a Compose deployment, such as its .env. They may hold secrets, so they are taken in and not given out."""
MANIFEST = "manifest.json"

TIMESTAMP = 0x5455
"""Zip's extra field with a time of change in UTC; its own has no zone."""
LATEST_TIME, EARLIEST_TIME = 2**31 - 1, 315532800
"""What a zip can tell: from 1980 on."""


class Place(NamedTuple):
    """What a name in a zip stands for; `below` is empty where the key's data is one file, or the folder itself."""

    key: Key
    below: str


class Member(NamedTuple):
    """An entry of a backup: its name in a zip, and how restic gives it."""

    name: str
    info: tarfile.TarInfo
    content: IO[bytes] | None


def is_file(key: Key) -> bool:
    """Whether the data of a key is one file."""
    return key in LAYOUT and "." in PurePosixPath(LAYOUT[key][0]).name


def place(name: str) -> Place | None:
    """None when a name has no place in a backup."""
    for key, forms in LAYOUT.items():
        for form in forms:
            if name == form:
                return Place(key, "")
            if name.startswith(f"{form}/") and not is_file(key):
                return Place(key, name.removeprefix(f"{form}/"))
    return Place(FILES, name.removeprefix("config/")) if name.startswith("config/") else None


def members(snapshot: str, content: manifest.Manifest, *, files: bool = False) -> Iterator[Member]:
    """What a zip has of a snapshot, one after the other. `files`: with what is not given out. Raises Failure."""
    folders = {
        path.lstrip("/"): (LAYOUT[part, key][0] if (part, key) in LAYOUT else "config")
        for part, of in content["parts"].items()
        for key, path in of["paths"].items()
        if (part, key) in LAYOUT or (files and (part, key) == FILES)
    }
    with restic.dumped(snapshot) as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as archive:
        for info in archive:
            # Otherwise all of them stay in memory.
            archive.members = []
            if not (info.isreg() or info.isdir() or info.issym()):
                continue
            name = info.name.strip("/")
            for path, folder in folders.items():
                if name == path or name.startswith(f"{path}/"):
                    file = archive.extractfile(info) if info.isreg() else None
                    yield Member(folder + name.removeprefix(path), info, file)


def described(snapshot: str, content: manifest.Manifest) -> manifest.Manifest:
    """The manifest of the zip: paths are those in it, and numbers are of what it will have. Raises Failure."""
    places = {
        path: (part, key)
        for part, of in content["parts"].items()
        for key, path in of["paths"].items()
        if (part, key) in LAYOUT
    }
    found: dict[str, dict[str, Any]] = {}
    for part, key in places.values():
        found.setdefault(part, {"paths": {}, "files": 0, "bytes": 0})["paths"][key] = LAYOUT[part, key][0]

    def count(node: dict[str, Any]) -> None:
        for path, (part, _) in places.items():
            if node.get("type") == "file" and f"{node['path']}/".startswith(f"{path}/"):
                found[part]["files"] += 1
                found[part]["bytes"] += node.get("size", 0)

    if places:
        restic.run("ls", restic.NO_LOCK, "--recursive", snapshot, *places, listen=count)
    return {**content, "parts": found}


def write(target: IO[bytes], snapshot: str, content: manifest.Manifest, description: manifest.Manifest) -> None:
    """Write the zip of a backup, which has its description as its manifest, as a stream. Raises Failure."""
    with zipfile.ZipFile(target, "w") as archive:
        info = _entry(MANIFEST, time.time(), stat.S_IFREG | 0o644)
        archive.writestr(info, json.dumps(description, indent=2))
        for name, found, file in members(snapshot, content):
            kind = stat.S_IFDIR if found.isdir() else stat.S_IFLNK if found.issym() else stat.S_IFREG
            info = _entry(f"{name}/" if found.isdir() else name, found.mtime, kind | found.mode & 0o7777)
            if file is None:
                archive.writestr(info, found.linkname if found.issym() else "")
                continue
            info.file_size = found.size
            with archive.open(info, "w") as entry:
                while block := file.read(1 << 20):
                    entry.write(block)


def checksum(member: Member) -> int:
    """CRC-32 of a file's content, or of where a link points to, as zips have it."""
    if member.content is None:
        return zlib.crc32(member.info.linkname.encode())
    crc = 0
    while block := member.content.read(1 << 20):
        crc = zlib.crc32(block, crc)
    return crc


def _entry(name: str, changed: float, mode: int) -> zipfile.ZipInfo:
    seconds = int(min(max(changed, EARLIEST_TIME), LATEST_TIME))
    info = zipfile.ZipInfo(name, time.gmtime(seconds)[:6])
    info.external_attr = mode << 16 | (0x10 if stat.S_ISDIR(mode) else 0)
    info.extra = struct.pack("<HHBl", TIMESTAMP, 5, 1, seconds)
    return info
