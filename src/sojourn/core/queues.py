"""The three places where a queued job of one lane waits, and who is next (R9). No states, no clocks.

System jobs first, then the active session's own queue, then fair share. A reservation's holder will stand
between the first two.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator

from sojourn.core.fairshare import FairShareQueue
from sojourn.core.model import Job, JobKind


class Queues:
    def __init__(self, fair_share_window: float) -> None:
        self.fair = FairShareQueue(fair_share_window)
        self._system: list[tuple[int, str]] = []
        self._session: list[tuple[int, str]] = []
        self.active: str | None = None  # the session that holds the device (R15)

    def __len__(self) -> int:
        return len(self._system) + len(self._session) + len(self.fair)

    def add(self, job: Job) -> None:
        """R3, R4, R27: a session's job skips the fair-share queue only while its session is active."""
        if job.kind is JobKind.SYSTEM:
            insort(self._system, (job.seq, job.id))
        elif self._belongs_to_active(job):
            insort(self._session, (job.seq, job.id))
        else:
            self.fair.add(job.id, job.project, job.seq)

    def discard(self, job: Job) -> None:
        """Take the job out of whichever queue it stands in, if any."""
        entry = (job.seq, job.id)
        if job.id in self.fair:
            self.fair.remove(job.id)
        elif entry in self._session:
            self._session.remove(entry)
        elif entry in self._system:
            self._system.remove(entry)

    def activate(self, session_id: str, waiting: list[Job]) -> None:
        """R31: the session's other queued jobs leave the fair-share queue."""
        self.active = session_id
        for job in waiting:
            self.fair.remove(job.id)
            insort(self._session, (job.seq, job.id))

    def deactivate(self) -> None:
        """The device is unlocked. The session's queue must be empty (R23) or failed (R33) by now."""
        if self._session:
            raise RuntimeError(f"session {self.active} leaves queued jobs behind: {self._session}")
        self.active = None

    @property
    def session_waits(self) -> bool:
        return bool(self._session)

    def next(self, now: float) -> str | None:
        """R9. None also when the active session holds the idle device (R2)."""
        if self._system:
            return self._system[0][1]
        if self._session:
            return self._session[0][1]
        if self.active is not None:
            return None
        return self.fair.pick(now)

    def order(self, now: float) -> Iterator[str]:
        """Everyone who waits, in the order of R9 as things stand."""
        for _, job_id in self._system:
            yield job_id
        for _, job_id in self._session:
            yield job_id
        yield from self.fair.order(now)

    def _belongs_to_active(self, job: Job) -> bool:
        return self.active is not None and job.session_id == self.active and not job.detached
