"""What has been committed, in memory: every live job and session and the latest of the ended ones.

Filled only from commits, so nobody ever sees a state that a crash could take back. Has no policy and
does no I/O.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from sojourn.core.effects import Effect, JobChanged, SessionChanged
from sojourn.core.model import Job, Session, SessionState
from sojourn.service.lanes.counters import Counters
from sojourn.service.lanes.feed import Feed
from sojourn.store import JobMeta

KEPT_JOBS = 4096
KEPT_SESSIONS = 1024
KEPT_NOTES = 200
KEPT_BYTES = 32 * 2**20


@dataclass(slots=True, eq=False)
class PollState:
    """What one caller knows of a job: the last answer's state and time, when it first polled, when it
    submitted the job (or first learned of it), and how it has paused between its questions.

    Times are the event loop's.
    """

    state: str
    answered: float | None = None
    first_poll: float | None = None
    submitted: float = 0.0
    pause: str = ""  # the kind of its latest pauses, see sojourn.service.jobs.polling
    in_a_row: int = 0  # so many of that kind
    since: float = 0.0  # when the first of them began
    aside: bool = False  # it has asked for something else since the last answer


@dataclass(slots=True, eq=False)
class JobRecord:
    device: str
    job: Job
    meta: JobMeta
    polls: dict[str, PollState] = field(default_factory=dict)
    waiters: set[asyncio.Future[None]] = field(default_factory=set)
    progress: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_NOTES))
    """What the device has said of the present run, a line each; lost with the process."""

    def wake(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()


@dataclass(slots=True, eq=False)
class SessionRecord:
    device: str
    session: Session
    steps: list[tuple[str, float]]  # (state, when)


class Blobs:
    """The latest bodies and results, so that a run or a fetch right after a commit needs no read."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._data: OrderedDict[str, bytes] = OrderedDict()

    def put(self, digest: str, data: bytes) -> None:
        if digest in self._data:
            self._data.move_to_end(digest)
            return
        if len(data) > self._limit:  # it would drive out all the others and itself
            return
        self._data[digest] = data
        self._size += len(data)
        while self._size > self._limit:
            _, gone = self._data.popitem(last=False)
            self._size -= len(gone)

    def get(self, digest: str) -> bytes | None:
        return self._data.get(digest)

    def drop(self, digest: str) -> None:
        self._size -= len(self._data.pop(digest, b""))


class Records:
    """`feed` is told of every step that is committed, once it is here."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.live_jobs: dict[str, JobRecord] = {}
        self.live_sessions: dict[str, SessionRecord] = {}
        self.blobs = Blobs()
        self.open_jobs = Counters()  # by the keys of `limits`; also submits that are under way (R50)
        self.open_sessions = Counters()
        self._ended_jobs: OrderedDict[str, JobRecord] = OrderedDict()
        self._ended_sessions: OrderedDict[str, SessionRecord] = OrderedDict()

    def job(self, job_id: str) -> JobRecord | None:
        return self.live_jobs.get(job_id) or self._ended_jobs.get(job_id)

    def session(self, session_id: str) -> SessionRecord | None:
        return self.live_sessions.get(session_id) or self._ended_sessions.get(session_id)

    def jobs_of(
        self, user: str, *, project: str | None = None, device: str | None = None
    ) -> tuple[JobRecord, ...]:
        """The user's jobs that have not ended, in the order of acceptance; None is all."""
        mine = [
            record
            for record in self.live_jobs.values()
            if record.job.user == user
            and project in (None, record.job.project)
            and device in (None, record.device)
        ]
        return tuple(sorted(mine, key=lambda record: record.job.seq))

    def sessions_of(
        self, user: str, *, project: str | None = None, device: str | None = None
    ) -> tuple[SessionRecord, ...]:
        """The user's sessions that are not closed, oldest first; None is all."""
        mine = [
            record
            for record in self.live_sessions.values()
            if record.session.user == user
            and project in (None, record.session.project)
            and device in (None, record.device)
            and record.session.state is not SessionState.CLOSED
        ]
        return tuple(sorted(mine, key=lambda record: record.session.created_at))

    def apply(self, device: str, effects: Iterable[Effect], metas: dict[str, JobMeta]) -> None:
        """The effects of one committed step, and the rest of the rows of the jobs in it."""
        changed: dict[str, JobRecord] = {}
        for effect in effects:
            if isinstance(effect, JobChanged):
                changed[effect.job.id] = self._put_job(device, effect.job, metas.get(effect.job.id))
            elif isinstance(effect, SessionChanged):
                self._put_session(device, effect)
        self._feed.publish(changed.values())

    def _put_job(self, device: str, job: Job, meta: JobMeta | None) -> JobRecord:
        record = self.job(job.id)
        if record is None:
            record = self.live_jobs[job.id] = JobRecord(device, job, meta or JobMeta())
        record.job = job
        if meta is not None and meta is not record.meta:
            record.meta.learn(meta)
        if job.state.final:
            self.open_jobs.leave(job.id)
            self.live_jobs.pop(job.id, None)
            self._ended_jobs[job.id] = record
            while len(self._ended_jobs) > KEPT_JOBS:
                self._ended_jobs.popitem(last=False)
        return record

    def _put_session(self, device: str, effect: SessionChanged) -> None:
        session = effect.session
        record = self.session(session.id)
        if record is None:
            record = self.live_sessions[session.id] = SessionRecord(device, session, [])
        record.session = session
        if effect.before != session.state:
            record.steps.append((session.state.value, effect.at))
        if session.state is SessionState.CLOSED:
            self.open_sessions.leave(session.id)
            self.live_sessions.pop(session.id, None)
            self._ended_sessions[session.id] = record
            while len(self._ended_sessions) > KEPT_SESSIONS:
                self._ended_sessions.popitem(last=False)

    def forget_job(self, job_id: str) -> None:
        self._ended_jobs.pop(job_id, None)
