"""The forecast of a device: for each job that waits its place, its start and end, and what it waits for.

Some runs forward (`ahead`) find when the next jobs start; those further back follow in the order of the share
tree (`order`), each run from where it was left. All numbers of a job come from the same runs, and all jobs
from the same snapshot. The same snapshot and seed give the same forecast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import hypot, inf
from random import Random

from sojourn.core.calendar import ReservationMode
from sojourn.core.explanation.reasons import AllocationUsed, DeviceDown, DeviceStopped
from sojourn.core.forecast.ahead import HORIZON, Ahead, Course, Doing
from sojourn.core.forecast.corrections import PLACES, SHARES, Waits, of_place
from sojourn.core.forecast.learned import Learned
from sojourn.core.forecast.order import Line, in_line
from sojourn.core.forecast.snapshot import Snapshot, Used
from sojourn.core.model import Job, JobState

DEPTH = 32
"""Jobs whose start each run finds."""
NEAR = 2 * DEPTH
"""Jobs that a run has: who is next depends on what the others take."""
RUNS = ((16, 24), (64, 16))
"""How many runs there are for so many waiting jobs at most."""
FEWEST_RUNS = 10
_SAID = 0.05
"""Seconds. Nothing is said of what takes less."""


@dataclass(frozen=True, slots=True)
class Band:
    """An instant: 10 % of what may come is before `earliest`, half before `expected`, and 90 % before
    `latest`, which is None when less than that comes at all."""

    expected: float
    earliest: float
    latest: float | None


@dataclass(frozen=True, slots=True)
class Ends:
    """Why no time can be said."""

    def sentence(self, _: Callable[[str], str]) -> str:
        return "as things stand it ends before it can start, with its session or its reservation"


@dataclass(frozen=True, slots=True)
class OutOfSight:
    """Why no time can be said. `seconds` is how far a forecast looks."""

    seconds: float

    def sentence(self, _: Callable[[str], str]) -> str:
        return f"nothing that is known lets it start within {self.seconds / 86400:g} days"


Unknown = DeviceStopped | DeviceDown | AllocationUsed | Ends | OutOfSight


@dataclass(frozen=True, slots=True)
class Prediction:
    """`position` jobs are expected to start before this one, the running one counts.

    `waits` are the seconds from now to the expected start, by what passes in them. Without a `start` the job
    runs already, or `unknown` says why no time is known.
    """

    position: int | None = None
    start: Band | None = None
    end: Band | None = None
    waits: tuple[tuple[str, float], ...] = ()
    unknown: Unknown | None = None


def hypothetical(snapshot: Snapshot, job: Job) -> Snapshot:
    """The same with one more job that waits, behind all others in time."""
    seq = max((other.seq for other in snapshot.waiting), default=0) + 1
    more = replace(job, seq=seq, accepted_at=snapshot.now, queued_at=snapshot.now, state=JobState.QUEUED)
    return replace(snapshot, waiting=[*snapshot.waiting, more])


class Forecast:
    """Made at once; what it says of a job is worked out when that is asked for.

    `rest` is called after each run: whoever shares a processor with others may pause in it.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        learned: Learned,
        seed: int = 0,
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        self.device = snapshot.device
        self.at = snapshot.now
        self.stopped = snapshot.stopped
        self._snapshot = snapshot
        self._durations = learned.durations
        self._line = in_line(snapshot, learned.durations.means())
        self._spent = {job.id: job for job in self._line.spent}
        self._places = {job.id: place for place, job in enumerate(self._line.jobs)}
        self._factors = learned.corrections.factors(self.at, self._places)
        stopped = self.stopped is not None
        self._courses = [] if stopped else _courses(snapshot, self._line, learned, seed, rest)
        self._order_what_is_near()
        self._least: list[float] = []
        self._rise()

    def __contains__(self, job_id: str) -> bool:
        running = self._snapshot.running
        return (
            job_id in self._places or job_id in self._spent or (running is not None and running.id == job_id)
        )

    def of(self, job_id: str) -> Prediction | None:
        """None for a job that was not there."""
        running = self._snapshot.running
        if running is not None and running.id == job_id:
            return Prediction(end=self._end_of_run())
        if (job := self._spent.get(job_id)) is not None:
            return Prediction(unknown=self.stopped or self._allocation(job.project))
        place = self._places.get(job_id)
        if place is None:
            return None
        position = place + (running is not None)
        if self.stopped is not None:
            return Prediction(position, unknown=self.stopped)
        job = self._line.jobs[place]
        samples = self._samples(place)
        waits = self._waits(samples)
        if waits is None:
            ends = sum(job_id in course.lost for course in self._courses) * 2 >= len(self._courses)
            return Prediction(unknown=Ends() if ends else OutOfSight(HORIZON))
        low, middle, high = self._corrected(place, waits)
        at = self.at
        start = Band(at + middle, at + low, at + high if high < inf else None)
        return Prediction(position, start, self._end(job, start), self._passes(place, middle))

    def waits(self, job_id: str) -> Waits | None:
        """What the runs say of when it starts, uncorrected; None where they say nothing."""
        place = self._places.get(job_id)
        if place is None or not self._courses:
            return None
        waits = self._waits(self._samples(place))
        return None if waits is None or waits[2] == inf else waits

    def some(self, count: int, random: Random) -> Iterator[tuple[str, Waits, int]]:
        """What is said of that many jobs, chosen at random, with their places, to be compared."""
        jobs = self._line.jobs
        for place in random.sample(range(len(jobs)), min(count, len(jobs))):
            waits = self.waits(jobs[place].id)
            if waits is not None:
                yield jobs[place].id, waits, place

    # within

    def _order_what_is_near(self) -> None:
        """Those that the runs had are put in the order in which they are expected to start."""
        if not self._courses:
            return
        jobs, work = list(self._line.jobs), list(self._line.work)
        count = min(NEAR, len(jobs))
        middles = sorted((_quantile(self._samples(place), 0.5), place) for place in range(count))
        soon = [place for middle, place in middles if middle < inf]
        never = [place for middle, place in middles if middle == inf]
        ends = [(jobs[place], work[place]) for place in never]
        near = [(jobs[place], work[place]) for place in soon]
        jobs[:count], work[:count] = [job for job, _ in near], [before for _, before in near]
        jobs += [job for job, _ in ends]
        work += [before for _, before in ends]
        self._line = Line(jobs, work, self._line.spent)
        for place in range(count if not never else len(jobs)):
            self._places[jobs[place].id] = place

    def _rise(self) -> None:
        """Between two groups of places a correction must not turn the order of jobs around."""
        for place in range(min(PLACES[-1], len(self._line.jobs)) if self._courses else 0):
            waits = self._waits(self._samples(place))
            middle = of_place(self._factors, place).corrected(waits)[1] if waits is not None else 0.0
            self._least.append(max(middle, self._least[-1] if self._least else 0.0))

    def _corrected(self, place: int, waits: Waits) -> Waits:
        low, middle, high = of_place(self._factors, place).corrected(waits)
        middle = max(middle, self._least[min(place, len(self._least) - 1)])
        return low, middle, max(middle, high)

    def _samples(self, place: int) -> list[float]:
        """When the job at this place starts, in each run."""
        job, work = self._line.jobs[place], self._line.work[place]
        found = []
        for course in self._courses:
            begun = course.begun.get(job.id)
            if begun is not None:
                found.append(begun.at)
            elif course.ended or job.id in course.lost:
                found.append(inf)
            else:
                left = max(0.0, work - course.served) * course.real
                found.append(self._after(course.until, left))
        found.sort()
        return found

    def _waits(self, samples: Sequence[float]) -> Waits | None:
        low, middle, high = (_quantile(samples, share) - self.at for share in SHARES)
        return (low, middle, high) if middle < inf else None

    def _after(self, at: float, left: float) -> float:
        """When so much work is done from `at` on. So far back dedicated reservations count as time in which
        nobody who waits here is served, so that no two jobs pass each other."""
        lead = self._snapshot.lead
        for reservation in self._snapshot.reservations:
            if reservation.mode is not ReservationMode.DEDICATED:
                continue
            start, end = reservation.start + lead, reservation.end + lead
            if end <= at:
                continue
            if at + left < start:
                break
            left -= max(0.0, start - at)
            at = end
        return at + left

    def _end(self, job: Job, start: Band) -> Band:
        """The spreads of the start and of the run's length add up as those of independent things."""
        length = self._durations.length(job.user, job.program, job.estimate)
        low, middle, high = (min(length.at(share), job.limit) for share in SHARES)
        expected = start.expected + middle
        early = hypot(start.expected - start.earliest, middle - low)
        late = None
        if start.latest is not None:
            late = expected + hypot(start.latest - start.expected, high - middle)
        return Band(expected, max(start.earliest, expected - early), late)

    def _end_of_run(self) -> Band | None:
        ends = sorted(course.free_at for course in self._courses if course.free_at is not None)
        if not ends:
            return None
        low, middle, high = (_quantile(ends, share) for share in SHARES)
        return Band(middle, low, high)

    def _passes(self, place: int, wait: float) -> tuple[tuple[str, float], ...]:
        """The parts of the wait: those of the runs, brought to the length of the expected wait."""
        job, work = self._line.jobs[place], self._line.work[place]
        sums = dict.fromkeys(Doing, 0.0)
        for course in self._courses:
            begun = course.begun.get(job.id)
            for doing, seconds in zip(Doing, begun.waits if begun is not None else course.waits, strict=True):
                sums[doing] += seconds
            if begun is None:
                sums[Doing.JOBS] += max(0.0, work - course.served) * course.real
        whole = sum(sums.values())
        parts = ((doing.value, wait * seconds / whole) for doing, seconds in sums.items() if whole)
        return tuple(sorted((part for part in parts if part[1] >= _SAID), key=lambda part: -part[1]))

    def _allocation(self, project: str) -> AllocationUsed:
        granted = self._snapshot.shares.project(project).allocation or 0.0
        used = sum(seconds for of, _, seconds in self._snapshot.used if of == project)
        return AllocationUsed(project, used, granted)


def _courses(
    snapshot: Snapshot, line: Line, learned: Learned, seed: int, rest: Callable[[], None]
) -> list[Course]:
    near = line.jobs[:NEAR]
    used = _summed(snapshot, near)
    runs = next((runs for most, runs in RUNS if len(line.jobs) <= most), FEWEST_RUNS)
    courses = []
    for number in range(runs):
        courses.append(Ahead(snapshot, near, used, learned, Random(seed * 1_000_003 + number), DEPTH).run())
        rest()
    return courses


def _summed(snapshot: Snapshot, near: Sequence[Job]) -> list[Used]:
    """What was used by the users of these jobs, and by the others of their projects and accounts together:
    all that their order depends on."""
    users = {(job.project, job.user) for job in near}
    projects = {project for project, _ in users}
    of = snapshot.shares.project
    accounts = {of(project).account for project in projects}
    for_account: dict[str, str] = {}
    sums: dict[tuple[str, str], float] = {}
    for project, user, seconds in snapshot.used:
        if (project, user) not in users:
            user = ""
            if project not in projects:
                account = of(project).account
                if account not in accounts:
                    continue
                project = for_account.setdefault(account, project)
        sums[project, user] = sums.get((project, user), 0.0) + seconds
    return [(project, user, seconds) for (project, user), seconds in sums.items()]


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Between two of the values in proportion; some may be infinite."""
    place = share * (len(ordered) - 1)
    low = int(place)
    here, rest = ordered[low], place - low
    there = ordered[low + 1] if rest else here
    return here if here == there else here + rest * (there - here)
