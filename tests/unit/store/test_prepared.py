"""Prepared statements write what SQLAlchemy would."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    insert,
    select,
    update,
)
from sqlalchemy import bindparam as bound
from sqlalchemy.exc import IntegrityError

from sojourn.store.database.prepared import Prepared
from sojourn.store.database.sqlite import sqlite_engine

table = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(10), unique=True),
    Column("data", LargeBinary),
)
INSERT = Prepared(insert(table), ["name", "data"])
UPDATE = Prepared(
    update(table).where(table.c.name == bound("old")).values(data=bound("data")), ["data", "old"]
)


def rows(connection: Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.execute(select(table).order_by(table.c.id))]


def test_one_row_many_rows_and_none_are_written_in_their_order(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path / "s.db", writer=True)
    with engine.begin() as connection:
        table.metadata.create_all(connection)
        INSERT.run(connection)
        INSERT.run(connection, {"data": b"1", "name": "a"})
        INSERT.run(connection, {"name": "b", "data": None}, {"name": "c", "data": b"\0"})
        UPDATE.run(connection, {"old": "b", "data": b"2"})
        assert rows(connection) == [(1, "a", b"1"), (2, "b", b"2"), (3, "c", b"\0")]
    engine.dispose()


def test_an_error_is_the_one_that_sqlalchemy_raises_and_shows_no_values(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path / "s.db", writer=True)
    with engine.begin() as connection:
        table.metadata.create_all(connection)
        INSERT.run(connection, {"name": "secret", "data": b""})
    with pytest.raises(IntegrityError) as error, engine.begin() as connection:
        INSERT.run(connection, {"name": "secret", "data": b""})
    assert "secret" not in str(error.value)
    engine.dispose()
