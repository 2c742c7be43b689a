"""Where the queued jobs of one lane wait, and who is next (R9). No states, no clocks.

Three places: system jobs, the active session's own queue, and fair share. Reservations do not have a queue of
their own, they change who of the three may go (R44-R47).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator

from sojourn.core.calendar import Calendar, Reservation, Room, WindowMode
from sojourn.core.fairshare import FairShareQueue, Waiting
from sojourn.core.model import Job, JobKind, Session


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

    @property
    def session_waits(self) -> bool:
        return bool(self._session)

    @property
    def system_jobs(self) -> list[str]:
        return [job_id for _, job_id in self._system]

    @property
    def session_jobs(self) -> list[str]:
        return [job_id for _, job_id in self._session]

    # who is next

    def next(self, now: float, *, system: bool = True) -> str | None:
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
            return next((i for _, i in self._session if self._fits(self._jobs[i], room)), None)
        return self.fair.first(now, room)

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
        """R46: the job cannot run into a dedicated window of somebody else."""
        return job.kind is JobKind.SYSTEM or self._fits(job, self.calendar.room(now))

    def _fits(self, job: Job, room: Room) -> bool:
        return job.limit <= room.of(job.project)

    def order(self, now: float) -> Iterator[str]:
        """Everyone who waits, in the order of R9 as things stand; nothing is charged meanwhile."""
        for _, job_id in self._system:
            yield job_id
        window = self.calendar.open_at(now)
        first: dict[str, None] = {}
        if window is not None and not self._holds(window):
            his = (i for i in self.fair.order(now) if self._jobs[i].project == window.project)
            first = dict.fromkeys(i for i in his if self._in_time(i, window))
        yield from first
        for _, job_id in self._session:
            yield job_id
        yield from (i for i in self.fair.order(now) if i not in first)
        yield from (i for i in self.fair.waiting if self.fair.blocked(self.fair.waiting[i].project))

    def _in_time(self, job_id: str, window: Reservation) -> bool:
        return window.mode is WindowMode.DEDICATED or self._jobs[job_id].accepted_at >= window.start
