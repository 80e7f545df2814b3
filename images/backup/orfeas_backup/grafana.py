"""A consistent copy of Grafana's database, while Grafana uses it."""

import shutil
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from orfeas_backup.failure import Failure

LOCKED_SECONDS = 30


def copy(database: Path, target: Path) -> None:
    """Raises Failure."""
    target.unlink(missing_ok=True)
    deadline = time.monotonic() + LOCKED_SECONDS

    def not_forever(status: int, remaining: int, total: int) -> None:
        if status != sqlite3.SQLITE_OK and time.monotonic() > deadline:
            raise sqlite3.OperationalError(f"locked for {LOCKED_SECONDS} s")

    try:
        with (
            closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(target)) as destination,
        ):
            # All pages in one step, so that it never starts over because Grafana writes.
            source.backup(destination, progress=not_forever)
    except sqlite3.Error as error:
        wal = database.with_name(f"{database.name}-wal").exists()
        raise Failure(
            f"Grafana's database cannot be read: {error}",
            "turn its write-ahead log off (wal = false), which a read-only volume cannot have"
            if wal
            else "look at the state of Deployment/grafana",
        ) from error
    check(target)


def recover(database: Path, target: Path) -> None:
    """As `copy`, of a database that nobody uses: of a clone, whose last writes may be half done. Raises Failure."""
    for suffix in ("", "-journal", "-wal"):
        file = target.with_name(f"{target.name}{suffix}")
        file.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            shutil.copyfile(database.with_name(f"{database.name}{suffix}"), file)
    try:
        with closing(sqlite3.connect(target)) as connection:
            # Whoever reads first undoes or completes them; then all is in one file.
            connection.execute("SELECT count(*) FROM sqlite_master")
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise Failure(f"Grafana's database cannot be read: {error}", "look at the state of Deployment/grafana") from error
    check(target)


def check(database: Path) -> None:
    """Raises Failure when a database is damaged."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            answer = connection.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.Error as error:
        answer = str(error)
    if answer != "ok":
        raise Failure(f"Grafana's database is damaged: {answer}", "restore it from an older backup", "damaged")
