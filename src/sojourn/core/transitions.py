"""The state tables of jobs and sessions, in one place. Another pair raises, with the latest steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from sojourn.core.model import JobState as J
from sojourn.core.model import SessionState as S

JOB: Mapping[J, frozenset[J]] = MappingProxyType(
    {
        J.ACCEPTED: frozenset({J.QUEUED, J.FAILED, J.CANCELLED}),
        J.QUEUED: frozenset({J.RUNNING, J.FAILED, J.CANCELLED}),
        # back to queued: the worker died or the server did (R55)
        J.RUNNING: frozenset({J.COMPLETED, J.FAILED, J.CANCELLED, J.QUEUED}),
        J.COMPLETED: frozenset(),
        J.FAILED: frozenset(),
        J.CANCELLED: frozenset(),
    }
)
"""R51: from each state, where a job may go."""

SESSION: Mapping[S, frozenset[S]] = MappingProxyType(
    {
        S.OPEN: frozenset({S.ACTIVE, S.CLOSED}),
        S.ACTIVE: frozenset({S.INACTIVE, S.PENDING_INACTIVE, S.PENDING_CLOSED, S.CLOSED}),
        S.PENDING_INACTIVE: frozenset({S.INACTIVE, S.PENDING_CLOSED, S.CLOSED}),
        S.INACTIVE: frozenset({S.ACTIVE, S.CLOSED}),
        S.PENDING_CLOSED: frozenset({S.CLOSED}),
        S.CLOSED: frozenset(),
    }
)
"""R23, R28, R32, R35, R36, R44: from each state, where a session may go."""


class IllegalTransition(RuntimeError):
    """A bug of ours: the machine tried a step that its table does not have.

    `story` holds the entity's latest steps, oldest first.
    """

    def __init__(self, entity: str, before: str, after: str, story: Sequence[str]) -> None:
        steps = "; ".join(story) or "none yet"
        super().__init__(f"{entity} cannot go from {before} to {after}. Its latest steps: {steps}")
        self.entity = entity
        self.before = before
        self.after = after
        self.story = tuple(story)
