"""Keeps the queued jobs of one lane and finds the next one (R9). Changes no states and sets no clocks.

Three places: system jobs, the active session's own queue, and fair share. Reservations do not have a queue of
their own, they change who of the three may go (R44-R47).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from itertools import islice
from math import inf

from sojourn.core.calendar import Calendar, Gap, Reservation, ReservationMode
from sojourn.core.fair_share.queue import FairShareQueue, Waiting
from sojourn.core.fair_share.ranks import Counts, project_of, rising
from sojourn.core.fair_share.tree import Node
from sojourn.core.model import Job, JobKind, Session


class Place(IntEnum):
    """Whose turn it is before whose (R9), as things stand."""

    SYSTEM = 0
    HOLDER = 1  # of the open reservation
    SESSION = 2  # the active one
    SYSTEM_LATER = 3  # the profile lets no system job into an interactive session
    QUEUE = 4
    SPENT = 5  # R50


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a queued job stands in the line, and how many jobs go before it, by their places.

    `system` are those of both of its places; `holders`, `queue` and `spent` are by project or user.
    """

    place: Place
    system: int = 0
    session: int = 0
    holders: Counts = field(default_factory=dict)
    queue: Counts = field(default_factory=dict)
    spent: Counts = field(default_factory=dict)

    @property
    def position(self) -> int:
        waiting = (self.holders, self.queue, self.spent)
        return self.system + self.session + sum(sum(counts.values()) for counts in waiting)

    def by_project(self) -> Counter[str]:
        """Those who wait in fair share."""
        found: Counter[str] = Counter()
        for counts in (self.holders, self.queue, self.spent):
            for node, count in counts.items():
                found[project_of(node).name] += count
        return found


class Queues:
    """`jobs` is the lane's book of live jobs, which this module only reads.

    `in_order`: jobs with a higher `seq` were not accepted earlier, so a bisection finds those since a time.
    """

    def __init__(self, fair: FairShareQueue, calendar: Calendar, jobs: dict[str, Job]) -> None:
        self.fair = fair
        self.calendar = calendar
        self.active: Session | None = None  # the session that has the device (R15)
        self._jobs = jobs
        self._system: list[tuple[int, str]] = []
        self._session: list[tuple[int, str]] = []
        self._shortest: dict[str, float] = {}  # no job in the session's queue of that project is shorter
        self.in_order = True
        self._latest: tuple[int, float] = (-1, -inf)

    # coming and going

    def accepted(self, job: Job) -> None:
        """A job has come to the lane; it waits in no queue yet."""
        came = (job.seq, job.accepted_at)
        self.in_order = self.in_order and self._latest[0] < came[0] and self._latest[1] <= came[1]
        self._latest = came

    def add(self, job: Job) -> None:
        """R3, R4, R27: a session's job skips the fair-share queue only while its session is active."""
        if job.kind is JobKind.SYSTEM:
            insort(self._system, (job.seq, job.id))
        elif self.active is not None and job.session_id == self.active.id and not job.detached:
            self._join(job)
        else:
            self.fair.add(Waiting(job.seq, job.id, job.project, job.user, job.limit))

    def discard(self, job: Job) -> None:
        """Take the job out of whichever queue it stands in, if any."""
        if job.id in self.fair:
            self.fair.remove(job.id)
            return
        entry = (job.seq, job.id)
        for queue in (self._session, self._system):
            at = bisect_left(queue, entry)
            if queue[at : at + 1] == [entry]:
                del queue[at]

    def activate(self, session: Session, waiting: list[Job]) -> None:
        """R31: the session's other queued jobs leave the fair-share queue."""
        self.active = session
        for job in waiting:
            self.fair.remove(job.id)
            self._join(job)

    def _join(self, job: Job) -> None:
        insort(self._session, (job.seq, job.id))
        self._note_limit(job)

    def _note_limit(self, job: Job) -> None:
        self._shortest[job.project] = min(self._shortest.get(job.project, inf), job.limit)

    def deactivate(self) -> None:
        """The device is unlocked. Jobs that the session leaves behind wait like others."""
        self.active = None
        left, self._session = self._session, []
        self._shortest = {}
        for _, job_id in left:
            self.add(self._jobs[job_id])

    # who waits

    def session_ready(self, now: float) -> bool:
        """R24: whether a job of the active session waits that needs nothing but the device (D21)."""
        return self._of_session(self.calendar.gap(now)) is not None

    # who is next

    def next(self, now: float, *, system: bool) -> str | None:
        """R9, with the reservations of R44-R47. None also when the idle device is held for somebody.

        `system` is whether system jobs may go now.
        """
        if self._system and system:
            return self._system[0][1]
        reservation, gap = self.calendar.open_at(now), self.calendar.gap(now)
        if reservation is not None and (job_id := self._of_holder(reservation, gap, now)) is not None:
            return job_id
        if (
            reservation is not None
            and reservation.mode is ReservationMode.DEDICATED
            and not self._holds(reservation)
        ):
            return None
        if self.active is not None:
            return self._of_session(gap)
        return self.fair.first(now, gap)

    def _of_session(self, gap: Gap) -> str | None:
        if all(shortest > gap.of(project) for project, shortest in self._shortest.items()):
            return None
        for _, job_id in self._session:
            if self._fits(self._jobs[job_id], gap):
                return job_id
        self._shortest = {}  # the search has seen all of them
        for _, job_id in self._session:
            self._note_limit(self._jobs[job_id])
        return None

    def _of_holder(self, reservation: Reservation, gap: Gap, now: float) -> str | None:
        """R9 (2), R47: what the reservation's holder wants to run, unless its own session has the device."""
        if self._holds(reservation):
            return None

        def wanted(job: Waiting) -> bool:
            return self._in_time(job.job_id, reservation)

        return self.fair.first(now, gap, reservation.project, wanted)

    def _holds(self, reservation: Reservation) -> bool:
        return self.active is not None and self.active.project == reservation.project

    def fits(self, job: Job, now: float) -> bool:
        """R46: a user's job cannot run into a dedicated reservation of somebody else."""
        return self._fits(job, self.calendar.gap(now))

    def _fits(self, job: Job, gap: Gap) -> bool:
        return job.limit <= gap.of(job.project)

    def line(self, now: float, *, system: bool) -> Iterator[tuple[Place, str]]:
        """All queued jobs in the order in which they would start if nothing else happened.

        A job that does not fit before a reservation keeps its place (R46): it is passed over, not overtaken.
        Those of a project whose allocation is used up stand last, oldest first.
        """
        jobs, reservation = self._jobs, self.calendar.open_at(now)
        if system:
            yield from ((Place.SYSTEM, i) for _, i in self._system)
        holders: dict[str, None] = {}
        if reservation is not None and not self._holds(reservation):
            his = (i for i in self.fair.order(now) if jobs[i].project == reservation.project)
            holders = dict.fromkeys(i for i in his if self._in_time(i, reservation))
        yield from ((Place.HOLDER, i) for i in holders)
        yield from ((Place.SESSION, i) for _, i in self._session)
        if not system:
            yield from ((Place.SYSTEM_LATER, i) for _, i in self._system)
        yield from ((Place.QUEUE, i) for i in self.fair.order(now) if i not in holders)
        spent = (job for job in self.fair.waiting.values() if self.fair.blocked(job.project))
        yield from ((Place.SPENT, job.job_id) for job in sorted(spent))

    def standing(self, job: Job, now: float, *, system: bool) -> Standing:
        """Where a queued job stands in `line`, without going through it."""
        self.fair.expire(now)
        entry, reservation = (job.seq, job.id), self.calendar.open_at(now)
        if reservation is not None and self._holds(reservation):
            reservation = None
        place = self._place(job, reservation, system=system)
        systems = Place.SYSTEM if system else Place.SYSTEM_LATER
        first, second = (
            bisect_left(queue, entry) if place is at else len(queue) if place > at else 0
            for queue, at in ((self._system, systems), (self._session, Place.SESSION))
        )
        holders: Counts = {}
        queue: Counts = {}
        if place is Place.HOLDER:
            holders, _ = self._split(self.fair.before(job), reservation)
        elif place > Place.HOLDER:
            if reservation is not None:
                holders, _ = self._split(self.fair.all_of(reservation.project), reservation)
            if place >= Place.QUEUE:
                line = self.fair.before(job) if place is Place.QUEUE else self.fair.everybody()
                _, queue = self._split(line, reservation)
        spent = self.fair.spent_before(job.seq) if place is Place.SPENT else {}
        return Standing(place, first, second, holders, queue, spent)

    def positions(self, jobs: Iterable[Job], now: float, *, system: bool) -> dict[str, int]:
        """How many queued jobs are before each of these queued jobs in `line`."""
        found: dict[str, int] = {}
        users: dict[Node, list[Job]] = {}
        reservation = self.calendar.open_at(now)
        parted = (
            reservation.project
            if reservation is not None and reservation.mode is ReservationMode.PRIORITY
            else None
        )
        for job in jobs:
            if job.id in self.fair and job.project != parted:
                users.setdefault(self.fair.leaf(job.project, job.user), []).append(job)
            else:
                found[job.id] = self.standing(job, now, system=system).position

        def others(user: Node, job: Job) -> int:
            return self.standing(job, now, system=system).position - user.older(job.seq)

        for user, own in users.items():
            own.sort(key=lambda job: job.seq)
            # between two jobs of a user that have as many jobs of others before them all have as many
            before = rising(partial(others, user), own)
            found |= {job.id: n + user.older(job.seq) for job, n in zip(own, before, strict=True)}
        return found

    def _place(self, job: Job, reservation: Reservation | None, *, system: bool) -> Place:
        """`reservation` is the open one whose holder goes before the active session."""
        if job.kind is JobKind.SYSTEM:
            return Place.SYSTEM if system else Place.SYSTEM_LATER
        if job.id not in self.fair:
            return Place.SESSION
        if self.fair.blocked(job.project):
            return Place.SPENT
        his = (
            reservation is not None
            and reservation.project == job.project
            and self._in_time(job.id, reservation)
        )
        return Place.HOLDER if his else Place.QUEUE

    def _split(self, counts: Counts, reservation: Reservation | None) -> tuple[Counts, Counts]:
        """Those whom the reservation puts first, and the others."""
        if reservation is None:
            return {}, counts
        holders: Counts = {}
        others: Counts = {}
        for node, count in counts.items():
            if project_of(node).name != reservation.project:
                others[node] = count
            elif reservation.mode is ReservationMode.DEDICATED:
                holders[node] = count
            elif node.level == "project":
                for user in node.children.values():
                    self._split_user(user, user.size, reservation, holders, others)
            else:
                self._split_user(node, count, reservation, holders, others)
        return holders, others

    def _split_user(
        self, user: Node, count: int, reservation: Reservation, holders: Counts, others: Counts
    ) -> None:
        """The oldest `count` jobs of the user."""
        if self.in_order:
            since = reservation.start
            early = min(count, bisect_left(user.jobs, since, key=lambda j: self._jobs[j.job_id].accepted_at))
        else:
            early = sum(not self._in_time(job.job_id, reservation) for job in islice(user.jobs, count))
        for counts, part in ((others, early), (holders, count - early)):
            if part:
                counts[user] = part

    def _in_time(self, job_id: str, reservation: Reservation) -> bool:
        begin = self.calendar.instant(reservation.start)
        return reservation.mode is ReservationMode.DEDICATED or self._jobs[job_id].accepted_at >= begin
