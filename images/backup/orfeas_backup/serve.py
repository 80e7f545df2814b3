"""
Gives backups as zips and takes them, over HTTP on the pod's own loopback: whoever may forward a port reaches it, and
nobody else.

    GET /export/<name or latest>   the zip; header Orfeas-Bytes tells of how many bytes of data
    POST /import                   {"name", "created", "manifest" or null, "entries": {path: [size, CRC-32]}}
                                   201: send them. 200: there is such a backup, and the end tells if it is the same
    PUT /import                    a tar of the entries. 202: a backup is made of them; the rest is told at the end

Requests carry `Authorization: Bearer $SERVE_TOKEN`. Errors are documents as those of the other commands. Standard
output tells {"listening": port}, then how it goes, and after an import, which ends the process,
{"result": {"name", "leftOut"}}.
"""

import hmac
import http.server
import io
import json
import os
import re
import shutil
import stat
import tarfile
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from orfeas_backup import backup, events, grafana, manifest, parts, redis, restic, settings, zips
from orfeas_backup.failure import Failure, of_system

PORT = 8080
IDLE_SECONDS = 10 * 60
"""Ends when nobody asks for anything."""
FOLDER = settings.SCRATCH / "import"
MARGIN_BYTES = 64 << 20
"""Stays free, for restic's cache."""
PROGRESS_SECONDS = 2
SHOWN = 5
NAME = re.compile(r"orfeas_backup_\d{8}_\d{6}")
COMPOSE = {"namespace": "a Compose deployment", "environment": "compose", "version": "unknown", "missing": {}}
"""What its zips do not tell."""
AGAIN = "see that the file is still there, and run the command again"

Sums = dict[str, list[int]]
"""Size in bytes and CRC-32, by name."""


@dataclass
class Import:
    """What a client has announced. `entries` are those that a backup takes, by their names in the zip."""

    name: str
    created: str
    origin: dict[str, Any]
    entries: Sums
    places: dict[str, zips.Place]
    keys: set[zips.Key]
    left_out: list[str]
    snapshot: dict[str, Any] | None = None
    links: dict[Path, str] = field(default_factory=dict)


class Server(http.server.HTTPServer):
    """One request at a time. `then` is what is done once the client has been answered, instead of listening on."""

    timeout = IDLE_SECONDS
    idle = False
    token = ""
    announced: Import | None = None
    then: Callable[[], dict[str, Any]] | None = None

    def handle_timeout(self) -> None:
        self.idle = True


def serve() -> None:
    """Raises Failure when an import fails."""
    token = settings.get("SERVE_TOKEN")
    port = int(os.environ.get("SERVE_PORT", PORT))
    with Server(("127.0.0.1", port), Handler) as server:
        server.token = f"Bearer {token}"
        events.document({"listening": server.server_port})
        while not (server.then or server.idle):
            server.handle_request()
    try:
        if server.then:
            events.document({"result": server.then()})
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    rbufsize = 1 << 20
    server: Server

    def do_GET(self) -> None:
        self._answer("/export/", self._export)

    def do_POST(self) -> None:
        self._answer("/import", self._announce)

    def do_PUT(self) -> None:
        self._answer("/import", self._import)

    def _answer(self, path: str, act: Callable[[], None]) -> None:
        self.close_connection = True
        if not hmac.compare_digest(self.headers.get("Authorization", "").encode(), self.server.token.encode()):
            self._document(401, Failure("the token is not that of this process", "use the orfeas command").document())
            return
        if not self.path.startswith(path):
            self._document(404, Failure(f"there is no {self.path}", f"ask for {path}").document())
            return
        self.sent = False
        try:
            act()
        except ConnectionError as error:
            self.log_error("the client is gone: %s", error)
        except (Failure, OSError) as error:
            failure = of_system(error, "serve") if isinstance(error, OSError) else error
            # An answer may have begun, or not be heard by a client that still sends.
            events.document(failure.document())
            if not self.sent:
                with suppress(ConnectionError):
                    self._document(409, failure.document())

    def _document(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _export(self) -> None:
        restic.open_repository()
        snapshot = manifest.find(self.path.removeprefix("/export/"))
        content = manifest.read(snapshot)
        description = zips.described(snapshot["id"], content)
        self.sent = True
        self.send_response(200)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Content-Disposition", f'attachment; filename="{content["name"]}.zip"')
        self.send_header("Orfeas-Bytes", str(sum(part["bytes"] for part in description["parts"].values())))
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        with io.BufferedWriter(_ChunkWriter(self.wfile), 1 << 20) as body:
            zips.write(body, snapshot["id"], content, description)
        self.wfile.write(b"0\r\n\r\n")

    def _announce(self) -> None:
        self.server.announced = None
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        announced = _announced(asked)
        restic.open_or_create()
        snapshots = restic.snapshots(settings.get("NAMESPACE"))
        announced.snapshot = next((one for one in snapshots if manifest.name(one) == announced.name), None)
        if announced.snapshot:
            self._document(200, {"send": False})
            self.server.then = lambda: _compare(announced)
            return
        size, free = sum(size for size, _ in announced.entries.values()), shutil.disk_usage(settings.SCRATCH).free
        if size + MARGIN_BYTES > free:
            raise Failure(
                f"{announced.name} has {size} bytes, and there is room for {max(0, free - MARGIN_BYTES)} to unpack it",
                "make the claims of storage in config/ as large as its data needs, and deploy",
            )
        self.server.announced = announced
        self._document(201, {"send": True})

    def _import(self) -> None:
        announced = self.server.announced
        if not announced:
            raise Failure("nothing was announced", "use the orfeas command")
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        body = _ChunkReader(self.rfile)
        try:
            _unpack(announced, io.BufferedReader(body, 1 << 20))
        except (tarfile.TarError, ValueError) as error:
            raise Failure(f"what came is cut off: {error}", AGAIN) from error
        while body.read(1 << 16):
            pass
        self._document(202, {})
        self.server.then = lambda: _make(announced)


def _announced(asked: dict[str, Any]) -> Import:
    """Raises Failure when no backup can be made of it."""
    name, origin = asked["name"], asked["manifest"] or COMPOSE
    if not NAME.fullmatch(name):
        raise Failure(f"{name} is no name of a backup", "call the file orfeas_backup_YYYYMMDD_HHMMSS.zip", "damaged")
    if asked["manifest"]:
        manifest.refuse_newer(asked["manifest"], name)
    entries: Sums = {}
    places: dict[str, zips.Place] = {}
    left_out = []
    for path, sums in asked["entries"].items():
        found = zips.place(path)
        if found is None or not _kept(found) or not (found.below or zips.is_file(found.key)):
            left_out.append(path)
        elif found in places.values():
            raise Failure(f"{name} has two files for {path}", "leave one of them out of the zip", "damaged")
        else:
            entries[path], places[path] = sums, found
    if not entries:
        raise Failure(
            f"{name} has nothing of a studio", "give a zip with outputs/, logs/, models/ and the like at its root"
        )
    return Import(name, asked["created"], origin, entries, places, {place.key for place in places.values()}, left_out)


def _kept(found: zips.Place) -> bool:
    """Whether it goes into backups."""
    path = PurePosixPath(found.below)
    return all(parts.is_data(name) for name in path.parts[:1]) and parts.is_finished(path.name)


def _unpack(announced: Import, stream: IO[bytes]) -> None:
    """Put what comes below FOLDER. Raises Failure when it is not what was announced."""
    folders: list[tuple[Path, tarfile.TarInfo]] = []
    missing = dict(announced.entries)
    with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as archive:
        for info in archive:
            archive.members = []
            name = info.name.rstrip("/")
            if info.isdir():
                if (found := zips.place(name)) and not zips.is_file(found.key) and _kept(found):
                    folders.append((_target(found), info))
                    announced.keys.add(found.key)
                continue
            if name not in missing or not (info.isreg() or info.issym()):
                continue
            target = _target(announced.places[name])
            target.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(info) if info.isreg() else None
            if content is None:
                announced.links[target] = info.linkname
                size, crc = len(info.linkname.encode()), zlib.crc32(info.linkname.encode())
            else:
                size, crc = _copy(content, target)
                target.chmod(info.mode & 0o777 | stat.S_IRUSR)
                os.utime(target, (info.mtime, info.mtime))
            if [size, crc] != missing.pop(name):
                raise Failure(f"{name} came as something else than was announced", AGAIN)
    if missing:
        raise Failure(f"{len(missing)} files did not come: {_some(missing)}", AGAIN)
    for folder, _ in folders:
        folder.mkdir(parents=True, exist_ok=True)
    # Last, so that nothing is written through one.
    for link, destination in announced.links.items():
        link.symlink_to(destination)
    for folder, info in reversed(folders):
        folder.chmod(info.mode & 0o2777 | stat.S_IRWXU)
        os.utime(folder, (info.mtime, info.mtime))


def _copy(content: IO[bytes], target: Path) -> tuple[int, int]:
    """Size and CRC-32 of it."""
    size = crc = 0
    with target.open("xb") as file:
        while block := content.read(1 << 20):
            file.write(block)
            size, crc = size + len(block), zlib.crc32(block, crc)
    return size, crc


def _target(found: zips.Place) -> Path:
    part, key = found.key
    if zips.is_file(found.key):
        return FOLDER / part / Path(zips.LAYOUT[found.key][0]).name
    return FOLDER / part / key / found.below


def _make(announced: Import) -> dict[str, Any]:
    """A backup of what was unpacked. Raises Failure."""
    paths: backup.Paths = {}
    for part, key in sorted(announced.keys):
        paths.setdefault(part, {})[key] = _target(zips.Place((part, key), ""))
    if dump := paths.get("redis", {}).get("redis"):
        redis.check(dump)
    if database := paths.get("monitoring", {}).get("grafana"):
        grafana.check(database)
    content = {
        "format": manifest.FORMAT,
        "name": announced.name,
        "created": announced.created,
        **{key: announced.origin[key] for key in COMPOSE},
        "parts": {part: backup.described(of) for part, of in paths.items()},
    }
    with events.phase("archive") as done:
        done |= {"name": announced.name, **backup.archive(content, datetime.fromisoformat(announced.created))}
    return {"name": announced.name, "leftOut": announced.left_out}


def _compare(announced: Import) -> dict[str, Any]:
    """Raises Failure when the backup of this name is not that which the zip has."""
    snapshot = announced.snapshot
    assert snapshot
    missing = {place: sums for path, place in announced.places.items() if (sums := announced.entries[path])}
    different: list[str] = []
    size, total = 0, sum(size for size, _ in announced.entries.values())
    told = time.monotonic()
    with events.phase("compare"):
        for member in zips.members(snapshot["id"], manifest.read(snapshot), files=True):
            if member.info.isdir():
                continue
            length = len(member.info.linkname.encode()) if member.content is None else member.info.size
            expected = missing.pop(zips.place(member.name), None)
            if expected is None or expected[0] != length or expected[1] != zips.checksum(member):
                different.append(member.name)
            size += length
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                events.tell("compare", "progress", bytes=size, totalBytes=max(size, total))
        names = different + [path for path, place in announced.places.items() if place in missing]
        if names:
            raise Failure(
                f"there is a backup {announced.name} already, with other content: {_some(names)}",
                f"restore the one that is there (orfeas restore {announced.name}), or give the file another name"
                " if it has no manifest.json",
            )
    return {"name": announced.name, "leftOut": announced.left_out}


def _some(names: Any) -> str:
    shown = list(names)
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")


class _ChunkReader(io.RawIOBase):
    """The body of a request that comes in chunks. Raises ValueError or ConnectionError when it is cut off."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left, self._ended = file, 0, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._ended:
            return 0
        if not self._left:
            if not (line := self._file.readline(64)):
                raise ConnectionError("it ended too early")
            self._left = int(line, 16)
            if not self._left:
                self._file.readline(64)
                self._ended = True
                return 0
        count = self._file.readinto(memoryview(buffer)[: self._left])
        if not count:
            raise ConnectionError("it ended too early")
        self._left -= count
        if not self._left:
            self._file.readline(64)
        return count


class _ChunkWriter(io.RawIOBase):
    """Writes in chunks."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, block: Any) -> int:
        self._file.write(b"%x\r\n" % len(block))
        self._file.write(block)
        self._file.write(b"\r\n")
        return len(block)
