"""Webhooks as rows: who is told what of a project, and up to which entry of the history each has been told.

The history with this position is the outbox: what is not behind it is still to be delivered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from sojourn.store import tables as t
from sojourn.store.history import Kind


@dataclass(slots=True)
class Webhook:
    """`cursor` is the id of the last entry that was delivered or was none of its; `failures` have followed
    each other since, and the next attempt is at `next_at`. `disabled` says why nothing is delivered any more,
    and is None while it is. `error` is the latest failure, kept until something is delivered."""

    id: str
    project_id: str
    url: str
    secret: str
    created_at: float
    created_by: str
    cursor: int
    kinds: frozenset[Kind] = field(default_factory=frozenset)  # none: all
    disabled: str | None = None
    failures: int = 0
    next_at: float | None = None
    error: str | None = None
    delivered: int | None = None  # the id of the last entry that was
    delivered_at: float | None = None


def every(connection: Connection) -> list[Webhook]:
    """The oldest first."""
    return [_webhook(row) for row in connection.execute(select(t.webhooks).order_by(t.webhooks.c.created_at))]


def add(connection: Connection, webhook: Webhook) -> None:
    connection.execute(insert(t.webhooks), _row(webhook))


def save(connection: Connection, webhook: Webhook) -> None:
    """Everything of it, if it is still there."""
    connection.execute(update(t.webhooks).where(t.webhooks.c.id == webhook.id).values(_row(webhook)))


def remove(connection: Connection, webhook_id: str) -> None:
    connection.execute(delete(t.webhooks).where(t.webhooks.c.id == webhook_id))


def _row(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "project_id": webhook.project_id,
        "url": webhook.url,
        "secret": webhook.secret,
        "created_at": webhook.created_at,
        "created_by": webhook.created_by,
        "cursor": webhook.cursor,
        "kinds": json.dumps(sorted(webhook.kinds)),
        "disabled": webhook.disabled,
        "failures": webhook.failures,
        "next_at": webhook.next_at,
        "error": webhook.error,
        "delivered": webhook.delivered,
        "delivered_at": webhook.delivered_at,
    }


def _webhook(row: Any) -> Webhook:
    values = dict(row._mapping)
    return Webhook(**values | {"kinds": frozenset(Kind(kind) for kind in json.loads(row.kinds))})
