"""Maps users, projects, memberships and API keys to rows and back. Of a key, only its SHA-256 is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """`limits` and `tags` are JSON, `allocation` device seconds."""

    id: str
    account: str
    weight: float
    allocation: float | None
    plan: str
    limits: str
    tags: str


@dataclass(frozen=True, slots=True)
class MemberRow:
    project: str
    user: str
    weight: float
    admin: bool


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
        keys(connection),
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


# users


def add_user(connection: Connection, user_id: str, name: str, operator: bool, now: float) -> None:
    row = {"id": user_id, "name": name, "operator": operator, "created_at": now}
    connection.execute(insert(t.users), row)


def rename_user(connection: Connection, user_id: str, name: str) -> None:
    connection.execute(update(t.users).where(t.users.c.id == user_id).values(name=name))


def set_revoked(connection: Connection, user_id: str, at: float | None) -> None:
    """Since when the user is revoked; None for one who is not (any more)."""
    connection.execute(update(t.users).where(t.users.c.id == user_id).values(revoked_at=at))


# projects and memberships


def add_project(connection: Connection, project_id: str, name: str, crn: str, now: float) -> None:
    row = {"id": project_id, "name": name, "crn": crn, "created_at": now}
    connection.execute(insert(t.projects), row)


def add_member(connection: Connection, user_id: str, project_id: str, now: float) -> None:
    row = {"user_id": user_id, "project_id": project_id, "created_at": now}
    connection.execute(insert(t.memberships), row)


def remove_member(connection: Connection, user_id: str, project_id: str) -> None:
    c = t.memberships.c
    connection.execute(delete(t.memberships).where(c.user_id == user_id, c.project_id == project_id))


def save(
    connection: Connection,
    projects: Sequence[ProjectRow],
    members: Sequence[MemberRow],
    weights: Mapping[str, float],
) -> None:
    """What they are entitled to (R48, R50), `weights` of accounts. Projects and memberships must be there."""
    for project in projects:
        connection.execute(
            update(t.projects)
            .where(t.projects.c.id == project.id)
            .values(
                account=project.account,
                weight=project.weight,
                allocation=project.allocation,
                plan=project.plan,
                limits=project.limits,
                tags=project.tags,
            )
        )
    c = t.memberships.c
    for member in members:
        connection.execute(
            update(t.memberships)
            .where(c.project_id == member.project, c.user_id == member.user)
            .values(weight=member.weight, admin=member.admin)
        )
    for name, weight in weights.items():
        known = t.share_accounts.c.name == name
        if not connection.execute(update(t.share_accounts).where(known).values(weight=weight)).rowcount:
            connection.execute(insert(t.share_accounts), {"name": name, "weight": weight})


# keys


def keys(connection: Connection) -> list[KeyRow]:
    """Oldest first."""
    rows = connection.execute(select(t.api_keys).order_by(t.api_keys.c.created_at, t.api_keys.c.hash))
    return [
        KeyRow(r.hash, r.user_id, r.name, r.project_id, r.created_at, r.expires_at, r.used_at) for r in rows
    ]


def change_keys(
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


def keys_used(connection: Connection, times: Mapping[str, float]) -> None:
    """When keys were last used, by hash."""
    connection.execute(_USED, [{"b_hash": digest, "b_at": at} for digest, at in times.items()])
