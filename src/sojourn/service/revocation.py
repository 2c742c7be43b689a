"""Revoking a user, or taking one out of a project: what is still there of the user's then, and ending it
(R33, R53).

Owns the order: first nothing new can come, then sessions are closed, then jobs are cancelled.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sojourn.core import events as ev
from sojourn.core.calendar import Reservation
from sojourn.core.model import SessionState
from sojourn.service.errors import Conflict
from sojourn.service.records import JobRecord, SessionRecord

if TYPE_CHECKING:
    from sojourn.service.hub import Hub
    from sojourn.service.views import Principal

_BY = "an operator"


@dataclass(frozen=True, slots=True)
class Remains:
    """What a user has left who was revoked, or in the project that the user has left, oldest first:
    sessions that are not closed, jobs that have not ended, and bookings (device, reservation, whether it is
    open) that have not. `closed` and `cancelled` are how many of the first two were ended by this call."""

    jobs: tuple[JobRecord, ...]
    sessions: tuple[SessionRecord, ...]
    reservations: tuple[tuple[str, Reservation, bool], ...]
    closed: int = 0
    cancelled: int = 0


class Revocation:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def revoke(
        self,
        name: str,
        *,
        close_sessions: bool = False,
        cancel_jobs: bool = False,
        who: Principal | None = None,
    ) -> Remains:
        """Every key and token of the user ends now. Twice is no error: what is left is told and ended again.

        A submit that is still being checked is refused when it comes to its commit; those that were committed
        before are on record when the revocation is, as commits keep their order.
        """
        hub = self._hub
        ending = {"close_sessions": close_sessions or None, "cancel_jobs": cancel_jobs or None}
        entry = hub.audit.entry(who, "user.revoked", f"user {name}", **ending)
        if await hub.accounts.revoke(name, entry):
            hub.audit.done(entry)
        return await self._end(hub.accounts.user_id(name), None, close_sessions, cancel_jobs)

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

        As for `revoke`: twice is no error, and a submit that is still being checked is refused.
        """
        hub = self._hub
        ending = {"close_sessions": close_sessions or None, "cancel_jobs": cancel_jobs or None}
        entry = hub.audit.entry(who, "user.removed", f"user {name}", project=project, **ending)
        if await hub.accounts.leave(name, project, entry):
            hub.audit.done(entry)
            await hub.projects.publish()
        where = hub.accounts.project_named(project).id
        return await self._end(hub.accounts.user_id(name), where, close_sessions, cancel_jobs)

    async def _end(self, user: str, project: str | None, close_sessions: bool, cancel_jobs: bool) -> Remains:
        hub = self._hub
        closed = cancelled = 0
        if close_sessions:
            for session in self._sessions(user, project):
                await hub.dispatchers[session.device].feed(ev.SessionClosed(session.session.id, _BY))
                closed += 1
        if cancel_jobs:
            for job in self._jobs(user, project):
                with suppress(Conflict):  # it has ended meanwhile, for example with the root of its session
                    await hub.dispatchers[job.device].feed(ev.JobCancelled(job.job.id, _BY))
                    cancelled += 1
        jobs, sessions = self._jobs(user, project), self._sessions(user, project)
        return Remains(jobs, sessions, self._reservations(user, project), closed, cancelled)

    def _jobs(self, user: str, project: str | None) -> tuple[JobRecord, ...]:
        mine = [
            record
            for record in self._hub.records.live_jobs.values()
            if record.job.user == user and project in (None, record.job.project)
        ]
        return tuple(sorted(mine, key=lambda record: record.job.seq))

    def _sessions(self, user: str, project: str | None) -> tuple[SessionRecord, ...]:
        mine = [
            record
            for record in self._hub.records.live_sessions.values()
            if record.session.user == user
            and project in (None, record.session.project)
            and record.session.state is not SessionState.CLOSED
        ]
        return tuple(sorted(mine, key=lambda record: record.session.created_at))

    def _reservations(self, user: str, project: str | None) -> tuple[tuple[str, Reservation, bool], ...]:
        date = self._hub.clock.date()
        mine = [
            (desk.device, window, window.open_at(date))
            for desk in self._hub.dispatchers.values()
            for window in desk.lane.reservations
            if window.user == user and project in (None, window.project)
        ]
        return tuple(sorted(mine, key=lambda entry: entry[1].start))
