"""Statements that are written for every job: compiled once, and run with half of SQLAlchemy's work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Insert, Table, Update, bindparam, insert, update


class Prepared:
    """An INSERT or UPDATE whose parameters are always those of `names`.

    Their values go to the driver as they are: numbers, texts, bytes, booleans and None.
    """

    def __init__(self, statement: Insert | Update, names: Sequence[str]) -> None:
        self._statement = statement
        self._names = list(names)
        self._compiled: dict[str, tuple[str, tuple[str, ...] | None]] = {}

    def run(self, connection: Connection, *rows: Mapping[str, Any]) -> None:
        """Once with each of the rows. Raises what SQLAlchemy does."""
        if not rows:
            return
        text, places = self._compiled.get(connection.dialect.name) or self._compile(connection)
        values: list[Any] = [row if places is None else tuple(row[name] for name in places) for row in rows]
        connection.exec_driver_sql(text, values[0] if len(values) == 1 else values)

    def _compile(self, connection: Connection) -> tuple[str, tuple[str, ...] | None]:
        compiled: Any = self._statement.compile(dialect=connection.dialect, column_keys=self._names)
        known = str(compiled), tuple(compiled.positiontup) if compiled.positional else None
        self._compiled[connection.dialect.name] = known
        return known


def inserting(table: Table) -> Prepared:
    """Of whole rows, without the number that the database gives them where it gives one."""
    given = table.autoincrement_column
    return Prepared(insert(table), [column.name for column in table.columns if column is not given])


def updating(table: Table, *names: str) -> Prepared:
    """Of these columns in the row whose `id` is the parameter `b_id`."""
    change = update(table).where(table.c.id == bindparam("b_id"))
    return Prepared(change.values({name: bindparam(name) for name in names}), (*names, "b_id"))
