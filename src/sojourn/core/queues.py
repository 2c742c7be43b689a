"""Where the queued jobs of one lane wait, and who is next (R9). No states, no clocks.

Three places: system jobs, the active session's own queue, and fair share. Reservations do not have a queue of
their own, they change who of the three may go (R44-R47).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from enum import IntEnum

from sojourn.core.calendar import Calendar, Reservation, Room, WindowMode
from sojourn.core.fairshare import FairShareQueue, Waiting
from sojourn.core.model import Job, JobKind, Session


class Place(IntEnum):
    """Whose turn it is before whose (R9), as things stand."""

    SYSTEM = 0
    HOLDER = 1  # of the open reservation
    SESSION = 2  # the active one
    SYSTEM_LATER = 3  # the profile lets no system job into an interactive session
    QUEUE = 4
    SPENT = 5  # R50


class Queues:
    """`jobs` is the lane's book of live jobs, which this module only reads."""

    def __init__(self, fair: FairShareQueue, calendar: Calendar, jobs: dict[str, Job]) -> None:
        self.fair = fair
        self.calendar = calendar
        self.active: Session | None = None  # the session that has the device (R15)
        self._jobs = jobs
        self._system: list[tuple[int, str]] = []
        self._session: list[tuple[int, str]] = []

    # coming and going

    def add(self, job: Job) -> None:
        """R3, R4, R27: a session's job skips the fair-share queue only while its session is active."""
        if job.kind is JobKind.SYSTEM:
            insort(self._system, (job.seq, job.id))
        elif self.active is not None and job.session_id == self.active.id and not job.detached:
            insort(self._session, (job.seq, job.id))
        else:
            self.fair.add(Waiting(job.seq, job.id, job.project, job.user, job.limit))

    def discard(self, job: Job) -> None:
        """Take the job out of whichever queue it stands in, if any."""
        entry = (job.seq, job.id)
        if job.id in self.fair:
            self.fair.remove(job.id)
        elif entry in self._session:
            self._session.remove(entry)
        elif entry in self._system:
            self._system.remove(entry)

    def activate(self, session: Session, waiting: list[Job]) -> None:
        """R31: the session's other queued jobs leave the fair-share queue."""
        self.active = session
        for job in waiting:
            self.fair.remove(job.id)
            insort(self._session, (job.seq, job.id))

    def deactivate(self) -> None:
        """The device is unlocked. Jobs that the session leaves behind wait like others."""
        self.active = None
        left, self._session = self._session, []
        for _, job_id in left:
            self.add(self._jobs[job_id])

    # who waits

    def session_ready(self, now: float) -> bool:
        """R24: whether a job of the active session waits that needs nothing but the device (D21)."""
        return self._of_session(self.calendar.room(now)) is not None

    # who is next

    def next(self, now: float, *, system: bool) -> str | None:
        """R9, with the windows of R44-R47. None also when the idle device is held for somebody.

        `system` is whether system jobs may go now.
        """
        if self._system and system:
            return self._system[0][1]
        window, room = self.calendar.open_at(now), self.calendar.room(now)
        if window is not None and (job_id := self._of_holder(window, room, now)) is not None:
            return job_id
        if window is not None and window.mode is WindowMode.DEDICATED and not self._holds(window):
            return None
        if self.active is not None:
            return self._of_session(room)
        return self.fair.first(now, room)

    def _of_session(self, room: Room) -> str | None:
        return next((i for _, i in self._session if self._fits(self._jobs[i], room)), None)

    def _of_holder(self, window: Reservation, room: Room, now: float) -> str | None:
        """R9 (2), R47: what the window's holder wants to run, unless its own session has the device."""
        if self._holds(window):
            return None

        def wanted(job: Waiting) -> bool:
            return self._in_time(job.job_id, window)

        return self.fair.first(now, room, window.project, wanted)

    def _holds(self, window: Reservation) -> bool:
        return self.active is not None and self.active.project == window.project

    def fits(self, job: Job, now: float) -> bool:
        """R46: a user's job cannot run into a dedicated window of somebody else."""
        return self._fits(job, self.calendar.room(now))

    def _fits(self, job: Job, room: Room) -> bool:
        return job.limit <= room.of(job.project)

    def line(self, now: float, *, system: bool) -> Iterator[tuple[Place, str]]:
        """All queued jobs in the order in which they would start if nothing else happened.

        A job that does not fit before a window keeps its place (R46): it is passed over, not overtaken. Those
        of a project whose allocation is used up stand last, oldest first.
        """
        jobs, window = self._jobs, self.calendar.open_at(now)
        if system:
            yield from ((Place.SYSTEM, i) for _, i in self._system)
        holders: dict[str, None] = {}
        if window is not None and not self._holds(window):
            his = (i for i in self.fair.order(now) if jobs[i].project == window.project)
            holders = dict.fromkeys(i for i in his if self._in_time(i, window))
        yield from ((Place.HOLDER, i) for i in holders)
        yield from ((Place.SESSION, i) for _, i in self._session)
        if not system:
            yield from ((Place.SYSTEM_LATER, i) for _, i in self._system)
        yield from ((Place.QUEUE, i) for i in self.fair.order(now) if i not in holders)
        spent = (job for job in self.fair.waiting.values() if self.fair.blocked(job.project))
        yield from ((Place.SPENT, job.job_id) for job in sorted(spent))

    def _in_time(self, job_id: str, window: Reservation) -> bool:
        begin = self.calendar.instant(window.start)
        return window.mode is WindowMode.DEDICATED or self._jobs[job_id].accepted_at >= begin
