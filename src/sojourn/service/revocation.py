"""Revoking a user, or taking one out of a project: what is still there of the user's then, and ending it
(R33, R53).

The order: first nothing new can come, then sessions are closed, then jobs are cancelled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sojourn.core.calendar import Reservation
from sojourn.service.accounts.accounts import Accounts
from sojourn.service.accounts.audit import Audit
from sojourn.service.lanes.records import JobRecord, Records, SessionRecord
from sojourn.service.lanes.registry import Lanes
from sojourn.service.timing.clock import Clock
from sojourn.service.views import Principal

_BY = "an operator"


@dataclass(frozen=True, slots=True)
class Remains:
    """What a user has left who was revoked, or in the project that the user has left, oldest first:
    sessions that are not closed, jobs that have not ended, and reservations (device, reservation, whether it
    is open) that have not. `closed` and `cancelled` are how many of the first two were ended by this call."""

    jobs: tuple[JobRecord, ...]
    sessions: tuple[SessionRecord, ...]
    reservations: tuple[tuple[str, Reservation, bool], ...]
    closed: int = 0
    cancelled: int = 0


class Revocation:
    """`membership_changed` publishes the shares of those who are left."""

    def __init__(
        self,
        *,
        clock: Clock,
        accounts: Accounts,
        audit: Audit,
        records: Records,
        lanes: Lanes,
        membership_changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._accounts = accounts
        self._audit = audit
        self._records = records
        self._lanes = lanes
        self._membership_changed = membership_changed

    async def revoke(
        self,
        name: str,
        *,
        close_sessions: bool = False,
        cancel_jobs: bool = False,
        who: Principal | None = None,
    ) -> Remains:
        """Every key and token of the user ends now. Twice is not an error: what is left is ended then.

        A submit that is still being checked is refused when it comes to its commit; those that were committed
        before are on record when the revocation is, as commits keep their order.
        """
        ending = {"close_sessions": close_sessions or None, "cancel_jobs": cancel_jobs or None}
        entry = self._audit.entry(who, "user.revoked", f"user {name}", **ending)
        if await self._accounts.revoke(name, entry):
            self._audit.done(entry)
        return await self._end(self._accounts.user_id(name), None, close_sessions, cancel_jobs)

    async def remove(
        self,
        name: str,
        project: str,
        *,
        close_sessions: bool = False,
        cancel_jobs: bool = False,
        who: Principal | None = None,
    ) -> Remains:
        """The user is not in the project any more; what the user has there goes on unless it is ended here.

        As for `revoke`: twice is not an error, and a submit that is still being checked is refused.
        """
        ending = {"close_sessions": close_sessions or None, "cancel_jobs": cancel_jobs or None}
        entry = self._audit.entry(who, "user.removed", f"user {name}", project=project, **ending)
        if await self._accounts.leave(name, project, entry):
            self._audit.done(entry)
            await self._membership_changed()
        where = self._accounts.project_named(project).id
        return await self._end(self._accounts.user_id(name), where, close_sessions, cancel_jobs)

    async def _end(self, user: str, project: str | None, close_sessions: bool, cancel_jobs: bool) -> Remains:
        records = self._records
        sessions = records.sessions_of(user, project=project) if close_sessions else ()
        closed = await self._lanes.close_sessions(sessions, _BY)
        jobs = records.jobs_of(user, project=project) if cancel_jobs else ()
        cancelled = await self._lanes.cancel_jobs(jobs, _BY)
        return Remains(
            records.jobs_of(user, project=project),
            records.sessions_of(user, project=project),
            self._reservations(user, project),
            closed,
            cancelled,
        )

    def _reservations(self, user: str, project: str | None) -> tuple[tuple[str, Reservation, bool], ...]:
        date = self._clock.date()
        mine = [
            (dispatcher.device, window, window.open_at(date))
            for dispatcher in self._lanes.dispatchers.values()
            for window in dispatcher.lane.reservations
            if window.user == user and project in (None, window.project)
        ]
        return tuple(sorted(mine, key=lambda entry: entry[1].start))
