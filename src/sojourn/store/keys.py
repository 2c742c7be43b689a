"""API keys as rows. Decides nothing; a key itself is never here, only its SHA-256."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from sojourn.store import tables as t


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A row of `api_keys`. Times are seconds since the epoch."""

    hash: str
    user_id: str
    name: str
    project_id: str | None
    created_at: float
    expires_at: float | None = None
    used_at: float | None = None


def every(connection: Connection) -> list[KeyRow]:
    """Oldest first."""
    rows = connection.execute(select(t.api_keys).order_by(t.api_keys.c.created_at, t.api_keys.c.hash))
    return [
        KeyRow(r.hash, r.user_id, r.name, r.project_id, r.created_at, r.expires_at, r.used_at) for r in rows
    ]


def change(
    connection: Connection,
    *,
    gone: Iterable[str] = (),
    renamed: Iterable[KeyRow] = (),
    new: Iterable[KeyRow] = (),
) -> None:
    """Delete, rename and add, in this order: a name that becomes free may be taken in the same step."""
    for digest in gone:
        connection.execute(delete(t.api_keys).where(t.api_keys.c.hash == digest))
    for row in renamed:
        values = {"name": row.name, "expires_at": row.expires_at}
        connection.execute(update(t.api_keys).where(t.api_keys.c.hash == row.hash).values(values))
    for row in new:
        connection.execute(insert(t.api_keys), asdict(row))


_USED = update(t.api_keys).where(t.api_keys.c.hash == bindparam("b_hash")).values(used_at=bindparam("b_at"))


def used(connection: Connection, times: Mapping[str, float]) -> None:
    """When keys were last used, by hash."""
    connection.execute(_USED, [{"b_hash": digest, "b_at": at} for digest, at in times.items()])
