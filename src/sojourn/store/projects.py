"""What projects, accounts and memberships are entitled to, as rows (R48, R50). Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, update

from sojourn.store import tables as t


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


def save(
    connection: Connection,
    projects: Sequence[ProjectRow],
    members: Sequence[MemberRow],
    accounts: Mapping[str, float],
) -> None:
    """All of them in one transaction; projects and memberships must be there."""
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
    for name, weight in accounts.items():
        known = t.share_accounts.c.name == name
        if not connection.execute(update(t.share_accounts).where(known).values(weight=weight)).rowcount:
            connection.execute(insert(t.share_accounts), {"name": name, "weight": weight})
