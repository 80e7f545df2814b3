"""The studio's Redis, by its own tools."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from orfeas_backup import settings
from orfeas_backup.failure import Failure

KEY = "orfeas:backup"
"""A hash, which the backend's metrics read."""
RECORD_SECONDS = 10


def dump(target: Path) -> None:
    """Write a point-in-time dump, which Redis makes in a process of its own while it serves on. Raises Failure."""
    result = subprocess.run(
        [*_client(), "--rdb", str(target)],
        stdout=sys.stderr,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
    )
    if result.returncode:
        raise Failure(
            f"Redis at {os.environ['REDIS_HOST']} gave no dump: {_last_line(result.stderr)}",
            "look at the state of StatefulSet/redis and at the Secret orfeas-redis",
        )
    check(target)


def check(file: Path) -> None:
    """Raises Failure when a dump is not whole."""
    with file.open("rb") as content:
        begin = content.read(5)
        size = content.seek(0, os.SEEK_END)
        content.seek(max(0, size - 9))
        # The mark of the end, and the sum that follows it.
        whole = begin == b"REDIS" and content.read(1) == b"\xff"
    if not whole:
        raise Failure(f"{file.name}, the dump of Redis, is cut off or no dump", "make another backup", "damaged")
    if not shutil.which("redis-check-rdb"):
        return
    result = subprocess.run(["redis-check-rdb", str(file)], capture_output=True, text=True)
    # A Redis that is newer than the tool may write a newer format.
    if result.returncode and "Can't handle RDB format version" not in result.stdout:
        raise Failure(
            f"{file.name}, the dump of Redis, is damaged: {_last_line(result.stdout)}", "make another backup", "damaged"
        )


def record(**fields: float) -> None:
    """Write fields of the hash. Raises Failure."""
    _command("hset", KEY, *(str(item) for pair in fields.items() for item in pair))


def remove(field: str) -> None:
    """Raises Failure."""
    _command("hdel", KEY, field)


def log(database: str, **fields: float) -> bytes:
    """What Redis' log of writes has to have the hash begin with these fields."""
    commands = (["SELECT", database], ["HSET", KEY, *(str(item) for pair in fields.items() for item in pair)])
    return b"".join(
        f"*{len(command)}\r\n".encode() + b"".join(f"${len(word.encode())}\r\n{word}\r\n".encode() for word in command)
        for command in commands
    )


def _environment() -> dict[str, str]:
    """redis-cli takes the password from there, where no other process sees it."""
    file = Path(settings.get("REDIS_PASSWORD_FILE"))
    try:
        return {**os.environ, "REDISCLI_AUTH": file.read_text().strip()}
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}", "look at the Secret orfeas-redis") from error


def _client() -> list[str]:
    host, port, database = settings.get("REDIS_HOST"), settings.get("REDIS_PORT"), os.environ.get("REDIS_DB", "0")
    return ["redis-cli", "-h", host, "-p", port, "-n", database, "--no-auth-warning"]


def _command(*arguments: str) -> None:
    try:
        subprocess.run(
            [*_client(), "-e", *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=RECORD_SECONDS,
            env=_environment(),
        )
    except subprocess.TimeoutExpired:
        reason = f"no answer within {RECORD_SECONDS} s"
    except subprocess.CalledProcessError as error:
        reason = _last_line(error.stderr or error.stdout)
    else:
        return
    raise Failure(f"Redis at {os.environ['REDIS_HOST']}: {reason}", "look at the state of StatefulSet/redis")


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
