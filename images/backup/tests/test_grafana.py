"""Copies of Grafana's database while it is in use."""

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
