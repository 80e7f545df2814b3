"""Copies of Grafana's database while it is in use."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orfeas_backup import grafana
from orfeas_backup.failure import Failure


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "grafana.db", isolation_level=None)) as connection:
        connection.execute("create table dashboard (title text)")
        connection.execute("insert into dashboard values ('old')")
        yield connection


def titles(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return [title for (title,) in connection.execute("select title from dashboard")]


def test_a_copy_during_a_write_has_the_state_before_it(database: sqlite3.Connection, tmp_path: Path) -> None:
    database.execute("begin immediate")
    database.execute("insert into dashboard values ('new')")
    grafana.copy(tmp_path / "grafana.db", tmp_path / "copy.db")
    assert titles(tmp_path / "copy.db") == ["old"]
    database.execute("commit")
    # One of an earlier attempt is written over.
    grafana.copy(tmp_path / "grafana.db", tmp_path / "copy.db")
    assert titles(tmp_path / "copy.db") == ["old", "new"]


def test_a_database_that_stays_locked_is_told(
    database: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grafana, "LOCKED_SECONDS", 0.5)
    database.execute("begin exclusive")
    with pytest.raises(Failure, match=r"cannot be read: .*locked"):
        grafana.copy(tmp_path / "grafana.db", tmp_path / "copy.db")


def test_a_damaged_database_is_told(database: sqlite3.Connection, tmp_path: Path) -> None:
    file = tmp_path / "grafana.db"
    content = bytearray(file.read_bytes())
    content[4096:4200] = bytes(104)
    file.write_bytes(content)
    with pytest.raises(Failure, match="Grafana's database"):
        grafana.copy(file, tmp_path / "copy.db")


def clone(database: Path, folder: Path) -> Path:
    """A copy of a database and of what SQLite keeps beside it, as of a disk when power fails. Nobody can write there."""
    folder.mkdir()
    for file in database.parent.glob(f"{database.name}*"):
        shutil.copy(file, folder)
    folder.chmod(0o500)
    return folder / database.name


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_of_a_clone_what_was_half_written_is_undone(database: sqlite3.Connection, tmp_path: Path, mode: str) -> None:
    database.execute(f"pragma journal_mode = {mode}")
    database.execute("insert into dashboard values ('newer')")
    # So small that pages are on the disk before the end of their transaction.
    database.execute("pragma cache_size = 1")
    database.execute("begin")
    database.executemany("insert into dashboard values (?)", [("half " * 1000,)] * 20)
    cloned = clone(tmp_path / "grafana.db", tmp_path / "clone")
    before = {file.name: file.read_bytes() for file in cloned.parent.iterdir()}
    assert {"delete": "grafana.db-journal", "wal": "grafana.db-wal"}[mode] in before
    # What an earlier attempt left.
    (tmp_path / "copy.db-journal").write_text("of another")
    grafana.recover(cloned, tmp_path / "copy.db")
    assert titles(tmp_path / "copy.db") == ["old", "newer"]
    assert [file.name for file in tmp_path.glob("copy.db*")] == ["copy.db"]
    assert {file.name: file.read_bytes() for file in cloned.parent.iterdir()} == before


def test_a_clone_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "grafana.db").write_text("no database, and long enough to have a header of one" * 100)
    with pytest.raises(Failure, match="Grafana's database cannot be read"):
        grafana.recover(tmp_path / "grafana.db", tmp_path / "copy.db")
