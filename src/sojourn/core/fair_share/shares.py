"""Defines who is entitled to how much: weights and allocations of accounts, projects and users (R48, R50)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

DEFAULT_ACCOUNT = "default"


@dataclass(frozen=True, slots=True)
class ProjectShare:
    """A project's place in the tree. `allocation` is device seconds in the window; None is no limit (R50)."""

    account: str = DEFAULT_ACCOUNT
    weight: float = 1.0
    allocation: float | None = None


@dataclass(frozen=True, slots=True)
class Shares:
    """Weights by account name, project id, and (project id, user id). Who is not named has weight 1.

    A weight of 0 means: only when nobody else waits. Raises ValueError for negative numbers.
    """

    accounts: Mapping[str, float] = field(default_factory=dict)
    projects: Mapping[str, ProjectShare] = field(default_factory=dict)
    users: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        weights = [*self.accounts.values(), *(p.weight for p in self.projects.values()), *self.users.values()]
        if any(not 0 <= weight < inf for weight in weights):
            raise ValueError("a weight is a finite number that is not negative")
        if any(p.allocation is not None and not p.allocation >= 0 for p in self.projects.values()):
            raise ValueError("an allocation is a number of seconds that is not negative")

    def project(self, project: str) -> ProjectShare:
        return self.projects.get(project, _PLAIN)

    def account_weight(self, account: str) -> float:
        return self.accounts.get(account, 1.0)

    def user_weight(self, project: str, user: str) -> float:
        return self.users.get((project, user), 1.0)


_PLAIN = ProjectShare()
EVEN = Shares()
"""Everybody alike, nobody limited."""
