"""The audit trail as rows: who did what when to whom from where. Decides nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from sojourn.store import tables as t


@dataclass(frozen=True, slots=True)
class Entry:
    """`by` is the name of who did it at that time; `user_id` distinguishes users of the same name, and is
    None when the service did it, or a caller without valid credentials. `subject` is what it was done to,
    such as `user ann`; `detail` is for JSON. `address` is where the request `request` came from, where it was
    one: that of a proxy for all that it passes on."""

    at: float
    by: str
    action: str
    subject: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    user_id: str | None = None
    id: int | None = None
    address: str | None = None
    request: str | None = None

    def write(self, connection: Connection) -> None:
        row = {
            "at": self.at,
            "by": self.by,
            "action": self.action,
            "subject": self.subject[:200],
            "detail": json.dumps(self.detail),
            "user_id": self.user_id,
            "address": self.address[:64] if self.address else None,
            "request": self.request[:64] if self.request else None,
        }
        connection.execute(insert(t.audit), row)


def find(
    connection: Connection,
    *,
    by: str | None,
    action: str | None,
    subject: str | None,
    address: str | None,
    after: float | None,
    before_id: int | None,
    limit: int,
) -> list[Entry]:
    """Newest first. `action` is a whole one or the part before its dot."""
    c = t.audit.c
    query = select(t.audit).order_by(c.id.desc()).limit(limit)
    if by is not None:
        query = query.where(c.by == by)
    if action is not None:
        query = query.where((c.action == action) | c.action.startswith(f"{action}.", autoescape=True))
    if subject is not None:
        query = query.where(c.subject == subject)
    if address is not None:
        query = query.where(c.address == address)
    if after is not None:
        query = query.where(c.at >= after)
    if before_id is not None:
        query = query.where(c.id < before_id)
    return [
        Entry(r.at, r.by, r.action, r.subject, json.loads(r.detail), r.user_id, r.id, r.address, r.request)
        for r in connection.execute(query)
    ]


def old(connection: Connection, before: float, *, limit: int) -> list[int]:
    """Ids of the oldest entries from before then."""
    c = t.audit.c
    return list(connection.execute(select(c.id).where(c.at < before).order_by(c.at).limit(limit)).scalars())


def forget(connection: Connection, ids: list[int]) -> None:
    connection.execute(delete(t.audit).where(t.audit.c.id.in_(ids)))


CONFIGURATION = "configuration"
"""The key of `meta` under which the settings of the last start are."""


def last_configuration(connection: Connection) -> dict[str, Any] | None:
    """The settings of the last start, None before the first one."""
    found = connection.execute(select(t.meta.c.value).where(t.meta.c.key == CONFIGURATION)).scalar()
    return None if found is None else dict(json.loads(found))


def keep_configuration(connection: Connection, settings: Mapping[str, Any]) -> None:
    connection.execute(delete(t.meta).where(t.meta.c.key == CONFIGURATION))
    connection.execute(
        insert(t.meta), {"key": CONFIGURATION, "value": json.dumps(settings, sort_keys=True).encode()}
    )
