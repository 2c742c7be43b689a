"""Reads all users, projects and memberships at a start, and adds the rows of the system. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from sojourn.store import keys
from sojourn.store import tables as t
from sojourn.store.keys import KeyRow


@dataclass(frozen=True, slots=True)
class Everybody:
    """Rows of the tables; memberships and keys are the oldest first."""

    meta: dict[str, bytes]
    projects: list[Any]
    users: list[Any]
    memberships: list[Any]
    keys: list[KeyRow]
    weights: dict[str, float]


def everybody(connection: Connection) -> Everybody:
    def every(query: Any) -> list[Any]:
        return list(connection.execute(query))

    return Everybody(
        {row.key: row.value for row in every(select(t.meta))},
        every(select(t.projects)),
        every(select(t.users)),
        every(select(t.memberships).order_by(t.memberships.c.created_at)),
        keys.every(connection),
        {row.name: row.weight for row in every(select(t.share_accounts))},
    )


def add_meta(connection: Connection, values: dict[str, bytes]) -> None:
    connection.execute(insert(t.meta), [{"key": key, "value": value} for key, value in values.items()])


def add_system(connection: Connection, project: str, user: str, now: float) -> None:
    """The owner of the system's own jobs: a row of each kind, without a key."""
    connection.execute(
        insert(t.projects), {"id": project, "name": "(system)", "crn": "(system)", "created_at": now}
    )
    row = {"id": user, "name": "(system)", "operator": False, "created_at": now, "revoked_at": now}
    connection.execute(insert(t.users), row)
