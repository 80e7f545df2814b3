"""restic, whose errors become Failures."""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from orfeas_backup import events, settings
from orfeas_backup.failure import Failure

TAG = "orfeas"
"""Of the snapshots that are backups."""
UNFINISHED = "orfeas-unfinished"
"""Of those that are not known to be good yet."""
NO_LOCK = "--no-lock"
"""For what only reads: it works on a read-only claim, and while a backup runs."""

NO_REPOSITORY, LOCKED, WRONG_PASSWORD, UNREADABLE_SOURCE = 10, 11, 12, 3
# A lock whose process was killed in another pod counts as stale after 30 minutes.
LOCK_WAIT_SECONDS = 45 * 60
LOCK_POLL_SECONDS = 5
OPEN_SECONDS = 15
"""restic itself goes on for 15 minutes when it cannot reach a repository."""

_FULL = re.compile(r"no space left|quota exceeded|file too large|insufficient storage|\b507\b", re.IGNORECASE)
_UNREACHABLE = re.compile(
    r"connection (refused|reset)|no such host|i/o timeout|network is unreachable|no route to host|dial tcp"
    r"|\((401|403|50[0234])\)|access ?denied|access key|signature|unable to start the sftp session|certificate",
    re.IGNORECASE,
)
_DAMAGED = re.compile(
    r"contains errors|damaged|invalid data|ciphertext verification|does not match|not found in (the )?(index|repo)"
    r"|does not exist|no such file|truncated|unexpected EOF|load(ing)? (index|tree|blob|snapshot)|decod"
    r"|unexpected end|wrong hash|decrypting",
    re.IGNORECASE,
)


@dataclass
class Ended:
    """`messages` are the JSON documents of standard output, `errors` those and the lines of standard error."""

    code: int
    messages: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)


def run(
    *arguments: object,
    listen: Callable[[dict[str, Any]], None] | None = None,
    accept: tuple[int, ...] = (0,),
    limit_seconds: float | None = None,
) -> Ended:
    """
    Run restic to its end; it is ended when this process is asked to.

    `listen` gets each message as it comes; without it they are collected. Raises Failure for other exit codes than
    those to accept, and when `limit_seconds` are over.
    """
    ended = Ended(0)
    process = subprocess.Popen(
        _command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment()
    )
    assert process.stdout and process.stderr
    # A process that is asked to end waits for no thread.
    reader = threading.Thread(target=_read_errors, args=(process.stderr, ended.errors), daemon=True)
    timer = threading.Timer(limit_seconds or 0, process.terminate)
    timer.daemon = True
    try:
        reader.start()
        if limit_seconds:
            timer.start()
        for line in process.stdout:
            for message in _messages(line):
                (listen or ended.messages.append)(message)
        ended.code = process.wait()
    finally:
        timed_out = timer.finished.is_set()
        timer.cancel()
        if process.poll() is None:
            process.terminate()
            process.wait()
        reader.join()
    if ended.code not in accept:
        raise failure(ended, timed_out=bool(limit_seconds) and timed_out)
    return ended


def unlocked(*arguments: object, phase: str, **options: Any) -> Ended:
    """As `run`, once no lock of another process is in the way; the first time that one is, the phase tells so."""
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    told = False
    while True:
        try:
            return run(*arguments, **options)
        except Failure as failure:
            if failure.code != "locked" or time.monotonic() > deadline:
                raise
        if not told:
            events.tell(phase, "warning", error="another process has locked the repository; waiting for it")
            told = True
        time.sleep(LOCK_POLL_SECONDS)
        unlock()


def dump(snapshot: str, path: str) -> bytes:
    """The content of a file in a snapshot."""
    result = subprocess.run(_command("dump", NO_LOCK, snapshot, path), capture_output=True, env=_environment())
    if result.returncode:
        ended = Ended(result.returncode)
        _read_errors(result.stderr.decode(errors="replace").splitlines(), ended.errors)
        raise failure(ended)
    return result.stdout


@contextmanager
def dumped(snapshot: str) -> Iterator[IO[bytes]]:
    """All that is in a snapshot, as a tar that comes as it is read. Raises Failure when it is cut off."""
    process = subprocess.Popen(
        _command("dump", NO_LOCK, "--archive", "tar", snapshot, "/"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
    )
    assert process.stdout and process.stderr
    ended = Ended(0)
    reader = threading.Thread(
        target=_read_errors, args=(io.TextIOWrapper(process.stderr, errors="replace"), ended.errors)
    )
    reader.start()
    try:
        yield process.stdout
        # What follows the end of the archive.
        process.stdout.read()
        ended.code = process.wait()
    except tarfile.ReadError:
        ended.code = process.wait() or 1
    finally:
        process.kill()
        process.wait()
        reader.join()
    if ended.code:
        raise failure(ended)


def open_repository() -> None:
    """Find out in seconds whether the repository can be read. Raises Failure."""
    run("cat", "config", NO_LOCK, limit_seconds=OPEN_SECONDS)


def unlock() -> None:
    """Find out in seconds whether the repository can be used, and remove locks that are stale. Raises Failure."""
    run("unlock", limit_seconds=OPEN_SECONDS)


def open_or_create() -> None:
    """As `unlock`; makes the repository where there is none."""
    try:
        unlock()
    except Failure as error:
        if error.code != "repository-missing":
            raise
        run("init")
    _share()


def snapshots(host: str) -> list[dict[str, Any]]:
    """The backups of a host, newest first."""
    (found,) = run("snapshots", NO_LOCK, "--host", host, "--tag", TAG).messages
    return sorted(found, key=lambda snapshot: nanoseconds(snapshot["time"]), reverse=True)


def forget(tag: str, *policy: str) -> Ended:
    """Remove the snapshots of this studio that have a tag and that a policy does not keep. Raises Failure."""
    return run("forget", "--host", settings.get("NAMESPACE"), "--group-by", "host", "--tag", tag, *policy)


def failure(ended: Ended, *, timed_out: bool = False) -> Failure:
    """What an exit of restic means."""
    repository = os.environ.get("RESTIC_REPOSITORY", "")
    # Without files that it could not read, which are no faults of the repository.
    said = [text(error) for error in ended.errors if error.get("during") != "archival"]
    last = said[-1] if said else f"it ended with code {ended.code}"

    def cause(pattern: re.Pattern[str]) -> str:
        return next((line for line in reversed(said) if pattern.search(line)), "")

    if ended.code == NO_REPOSITORY:
        return Failure(
            f"there is no repository at {repository}",
            "make a backup first, or correct the setting backup.repository",
            "repository-missing",
        )
    if ended.code == WRONG_PASSWORD:
        return Failure(
            f"the password does not open the repository at {repository}",
            "put the password with which the repository was made into the Secret orfeas-backup",
            "wrong-password",
        )
    if ended.code == LOCKED:
        return Failure(
            f"the repository at {repository} is locked: {last}",
            "wait until the other process has ended; the lock of one that was killed is removed after 30 minutes",
            "locked",
        )
    if found := cause(_FULL):
        return Failure(f"there is no space left: {found}", "make the volume or the repository larger")
    if (found := cause(_UNREACHABLE)) or timed_out:
        why = _said_by_ssh() or found or f"no answer within {OPEN_SECONDS} s"
        return Failure(
            f"the repository at {repository} cannot be reached: {why}",
            "look at the server, the network policies and the credentials of backup.repository",
            "unreachable",
        )
    if found := cause(_DAMAGED):
        return Failure(
            f"the repository at {repository} is damaged: {found}",
            "keep a copy of it, then follow https://restic.readthedocs.io/en/stable/077_troubleshooting.html",
            "damaged",
        )
    return Failure(f"restic: {last}", "look at what restic said before, in the log of this container")


def text(error: dict[str, Any]) -> str:
    """The sentence in an error message."""
    message = error.get("message") or error.get("error", {}).get("message", "")
    return " ".join(message.removeprefix("Fatal: ").split())


def nanoseconds(time: str) -> int:
    """Of a time as restic writes it, since 1970."""
    whole, _, rest = time.partition(".")
    if not rest:
        return round(datetime.fromisoformat(time).timestamp()) * 10**9
    digits = re.match(r"\d+", rest)
    assert digits
    zone = rest[digits.end() :]
    return round(datetime.fromisoformat(whole + zone).timestamp()) * 10**9 + int(digits[0].ljust(9, "0"))


def _command(*arguments: object) -> list[str]:
    ssh = f"-E {_ssh_log()} {os.environ.get('SFTP_ARGS', '')}".strip()
    return ["restic", "--json", "-o", f"sftp.args={ssh}", *map(str, arguments)]


def _ssh_log() -> Path:
    """Where ssh says why it ended: restic may end before it has passed on what stands on standard error."""
    return settings.SCRATCH / f"ssh-{os.getuid()}.log"


def _said_by_ssh() -> str:
    log = _ssh_log()
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1].strip() if lines else ""


def _environment() -> dict[str, str]:
    # Each user has a cache of its own, which others may not read.
    cache = os.environ.get("RESTIC_CACHE_DIR", f"{settings.SCRATCH}/cache")
    return {
        **os.environ,
        **_credentials(),
        "RESTIC_CACHE_DIR": f"{cache}-{os.getuid()}",
        "RESTIC_PROGRESS_FPS": "0.5",
        "TZ": "UTC",
    }


def _credentials() -> dict[str, str]:
    """Files of a folder, by their names: restic takes the credentials of a store from its environment alone."""
    folder = os.environ.get("REPOSITORY_CREDENTIALS")
    if not folder:
        return {}
    try:
        return {file.name: file.read_text().strip() for file in Path(folder).iterdir() if file.is_file()}
    except OSError as error:
        raise Failure(
            f"{error.filename} cannot be read: {error.strerror}",
            "look at the Secret that the setting backup.repository names",
        ) from error


def _messages(line: str) -> list[dict[str, Any]]:
    try:
        return [json.loads(line)]
    except ValueError:
        return []


def _read_errors(lines: Any, errors: list[dict[str, Any]]) -> None:
    for line in lines:
        print(line.rstrip(), file=sys.stderr, flush=True)
        if line.strip():
            errors.extend((line.startswith("{") and _messages(line)) or [{"message": line}])


def _share() -> None:
    """Let the group read a repository on a claim, since restores run as the owners of the data. restic keeps to it."""
    folder = Path(os.environ["RESTIC_REPOSITORY"])
    config = folder / "config"
    if not config.is_file() or config.stat().st_mode & 0o040:
        return
    # The configuration last: it tells that all is done.
    for path in [*folder.rglob("*"), folder, config]:
        if path.stat().st_uid == os.getuid():
            path.chmod(path.stat().st_mode | (0o050 if path.is_dir() else 0o040))
