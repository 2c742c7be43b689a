"""A synthetic workload of one device, in virtual time: who submits what, and how long it really takes.

Eighteen users in six projects. Single jobs and bursts; sessions with pauses, which their owners close or
leave to their ttl; batches; a calibration every half hour; a dedicated reservation every few hours. Lengths
are heavy-tailed, and each user's estimates are off by a factor of the user's own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from math import inf

from sojourn.core import JobKind, Lane, Mode, Profile
from sojourn.core import events as ev
from sojourn.core.effects import Effect, Start, Stop

START = 1_700_000_000.0
HOUR = 3600.0
USERS, A_PROJECT = 18, 3
MEDIAN, SIGMA = 20.0, 1.0
"""Seconds of a job, and the spread of the logarithm: the longest of a hundred takes ten times the median."""
MEAN = 33.0
CALIBRATION_EVERY, CALIBRATION = 1800.0, 60.0
RESERVED_EVERY, RESERVED = 4 * HOUR, 1200.0


@dataclass(frozen=True)
class Person:
    name: str
    project: str
    factor: float  # real seconds over estimated ones
    states_limits: bool
    pause: float  # median, in sessions
    closes: bool  # sessions, and does not leave them to their ttl


class World:
    """`run` yields the effects of each event. `load` is the part of the time that the jobs fill."""

    def __init__(self, seed: int, hours: float, load: float = 0.8) -> None:
        self.random = random.Random(seed)
        self.now = START
        self.end = START + hours * HOUR
        self.lane = Lane("device", replace(Profile(), max_time=2 * HOUR, default_max_time=HOUR))
        self.real: dict[str, float] = {}
        self._next_calibration = START + CALIBRATION_EVERY
        self._events: list[tuple[float, int, Callable[[], list[ev.Event]]]] = []
        self._count = 0
        self._seq = 0
        self._stays: dict[str, tuple[Person, int]] = {}
        self._sessions_of: dict[str, str] = {}
        people = [self._person(number) for number in range(USERS)]
        self._at(START, lambda: [ev.DeviceReady()])
        rate = load / MEAN / USERS
        for person in people:
            self._comes(person, rate * 0.5 / 2.0, self._burst)
            self._comes(person, rate * 0.3 / 25.0, self._session)
            self._comes(person, rate * 0.2 / 6.0, self._batch)
        self._at(self._next_calibration, self._calibrate)
        self._at(START + HOUR, lambda: self._reserve(people))

    def calibrations(self) -> tuple[float, ...]:
        """When the next one is due by the schedule."""
        return (self._next_calibration,)

    def run(self) -> Iterator[list[Effect]]:
        while self._events and self.now < self.end:
            deadline = self.lane.next_deadline()
            tick = inf if deadline is None else deadline
            if tick <= self._events[0][0]:
                self.now = max(self.now, tick)
                yield self._do(ev.Tick())
                continue
            at, _, what = heappop(self._events)
            self.now = max(self.now, at)
            for event in what():
                yield self._do(event)

    # what happens

    def _do(self, event: ev.Event) -> list[Effect]:
        effects = self.lane.handle(event, self.now)
        for effect in effects:
            match effect:
                case Start(job_id, attempt):
                    self._at(self.now + self.real[job_id], self._ended(job_id, attempt, ev.Outcome.COMPLETED))
                case Stop(job_id, attempt):
                    self._at(self.now, self._ended(job_id, attempt, ev.Outcome.STOPPED))
        return effects

    def _at(self, at: float, what: Callable[[], list[ev.Event]]) -> None:
        self._count += 1
        heappush(self._events, (at, self._count, what))

    def _ended(self, job_id: str, attempt: int, outcome: ev.Outcome) -> Callable[[], list[ev.Event]]:
        def happen() -> list[ev.Event]:
            session = self._sessions_of.pop(job_id, None)
            if session is not None and session in self._stays:
                self._at(self.now, lambda: self._go_on(session))
            return [ev.RunEnded(job_id, attempt, outcome)]

        return happen

    def _person(self, number: int) -> Person:
        r = self.random
        return Person(
            f"user-{number}",
            f"project-{number // A_PROJECT}",
            r.lognormvariate(0.2, 0.5),
            r.random() < 0.8,
            r.choice((1.0, 4.0, 15.0)),
            r.random() < 0.7,
        )

    def _comes(self, person: Person, rate: float, what: Callable[[Person], list[ev.Event]]) -> None:
        def happen() -> list[ev.Event]:
            self._at(self.now + self.random.expovariate(rate), happen)
            return what(person)

        self._at(START + self.random.expovariate(rate), happen)

    # what users do

    def _job(self, person: Person, session: str | None = None, scale: float = 1.0) -> list[ev.Event]:
        r = self.random
        self._seq += 1
        name = f"j{self._seq}"
        seconds = min(scale * r.lognormvariate(0.0, SIGMA) * MEDIAN, 1500.0)
        estimate = seconds / person.factor * r.lognormvariate(0.0, 0.25)
        limit = float(round(4 * estimate + 60)) if person.states_limits else None
        self.real[name] = seconds
        if session is not None:
            self._sessions_of[name] = session
        accepted = ev.JobAccepted(name, self._seq, person.name, person.project, "sampler", session, limit)
        return [accepted, ev.JobPrepared(name, estimate)]

    def _burst(self, person: Person) -> list[ev.Event]:
        events = self._job(person)
        while self.random.random() < 0.5:
            events += self._job(person)
        return events

    def _session(self, person: Person) -> list[ev.Event]:
        self._seq += 1
        session = f"s{self._seq}"
        self._stays[session] = (person, 1 + int(self.random.expovariate(1 / 30.0)))
        opened = ev.SessionOpened(session, person.name, person.project, Mode.DEDICATED, HOUR)
        return [opened, *self._job(person, session, 0.3)]

    def _go_on(self, session: str) -> list[ev.Event]:
        person, left = self._stays[session]
        if session not in self.lane.sessions or not self.lane.sessions[session].accepting:
            del self._stays[session]
            return []
        if left > 0:
            self._stays[session] = (person, left - 1)
            pause = person.pause * self.random.lognormvariate(0.0, 0.7)
            self._at(self.now + pause, lambda: self._job(person, session, 0.3))
            return []
        del self._stays[session]
        if person.closes:
            self._at(self.now + self.random.uniform(0.1, 1.0), lambda: [ev.SessionDrained(session)])
        return []

    def _batch(self, person: Person) -> list[ev.Event]:
        self._seq += 1
        batch = f"b{self._seq}"
        events: list[ev.Event] = [ev.SessionOpened(batch, person.name, person.project, Mode.BATCH, HOUR)]
        for _ in range(self.random.randint(3, 9)):
            events += self._job(person, batch)
        return [*events, ev.SessionDrained(batch)]

    # what the operators do

    def _calibrate(self) -> list[ev.Event]:
        self._next_calibration = self.now + CALIBRATION_EVERY
        self._at(self._next_calibration, self._calibrate)
        self._seq += 1
        name = f"c{self._seq}"
        self.real[name] = CALIBRATION * self.random.uniform(0.8, 1.2)
        accepted = ev.JobAccepted(name, self._seq, "system", "system", "calibrate", kind=JobKind.SYSTEM)
        return [accepted, ev.JobPrepared(name)]

    def _reserve(self, people: list[Person]) -> list[ev.Event]:
        self._at(self.now + RESERVED_EVERY, lambda: self._reserve(people))
        self._seq += 1
        who = self.random.choice(people)
        start = self.now + HOUR
        return [ev.ReservationBooked(f"w{self._seq}", who.project, who.name, start, start + RESERVED)]
