"""Who had a device when, for pictures: bars of jobs, sessions around them, reservations, calibrations.

Others' jobs and sessions are there without names: a user sees that the device was busy, and by which
account in the fair share only where the table of permissions lets the user see the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from sojourn.core.model import JobKind, Session, SessionState
from sojourn.service.accounts.directory import Directory
from sojourn.service.accounts.permissions import Action, may
from sojourn.service.devices.calibrations import Calibrations
from sojourn.service.errors import BadRequest
from sojourn.service.lanes.records import Records
from sojourn.service.lanes.registry import Lanes
from sojourn.service.reservations.reservations import Reservations
from sojourn.service.reservations.views import ReservationView
from sojourn.service.timing.clock import Clock
from sojourn.service.views import Principal
from sojourn.store import Database, ledger, sessions
from sojourn.store.database import bound, mapped
from sojourn.store.ledger import Span

BARS = 2000
"""Bars of a timeline unless another number is asked for."""
MOST_BARS = 20_000
MOST_ROWS = 100_000
"""Rows of the ledger that one timeline reads."""
MOST_SESSIONS = 2000
LONGEST = 400 * 86_400.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Bar:
    """The device was somebody's from `start` to `end`; `end` is None while that lasts.

    `kind`: job, held (a session between its jobs), system, reservation (a dedicated one's idle time), or
    several, where many short ones are drawn as one: `count` of them, which had the device for `seconds`.
    What is None is not there, or not the caller's to see; `mine` is false for everything of others.
    """

    kind: str
    start: float
    end: float | None
    seconds: float
    count: int = 1
    mine: bool = False
    job: str | None = None
    session: str | None = None
    user: str | None = None
    project: str | None = None
    program: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Band:
    """A session or batch, with what it was from when on: (state, time), the oldest first. `ends` is when its
    `max_time` is over, `ttl_at` when its interactive time is, while those run."""

    start: float
    end: float | None
    steps: tuple[tuple[str, float], ...]
    mode: str
    state: str
    mine: bool = False
    id: str | None = None
    user: str | None = None
    project: str | None = None
    ends: float | None = None
    ttl_at: float | None = None


@dataclass(frozen=True, slots=True)
class TimelineView:
    """`start` is later than it was asked for when there was more than can be read at once."""

    device: str
    now: float
    start: float
    end: float
    bars: Sequence[Bar]
    sessions: Sequence[Band]
    reservations: Sequence[ReservationView]
    calibrations: Sequence[tuple[str, float]] = field(default=())


class Timeline:
    def __init__(
        self,
        *,
        store: Database,
        clock: Clock,
        accounts: Directory,
        records: Records,
        lanes: Lanes,
        calibrations: Calibrations,
        reservations: Reservations,
    ) -> None:
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._records = records
        self._lanes = lanes
        self._calibrations = calibrations
        self._reservations = reservations

    async def of(
        self, who: Principal, device: str, start: float, end: float, *, most: int = BARS
    ) -> TimelineView:
        """Who had the device between `start` and `end`, in at most about twice `most` bars."""
        if not 0 < end - start <= LONGEST:
            raise BadRequest(
                f"The timeline would last {end - start:g} s; it must be more than 0 s and at most "
                f"{LONGEST:g} s (400 days)."
            )
        self._lanes.dispatcher(device)
        now = self._clock.now()
        read = bound(ledger.spans, device, start, end, MOST_ROWS)
        live = self._live(who, device, now) if end > now else []

        def drawn(spans: list[Span]) -> tuple[float, list[Bar]]:
            begin = spans[0].start if len(spans) == MOST_ROWS else start
            bars = [self._bar(who, span) for span in spans]
            return max(start, begin), merged(bars, (end - start) / most, most)

        begin, bars = await self._store.read(mapped(read, drawn))
        kept = await self._store.read(sessions.between, device, begin, end, MOST_SESSIONS)
        calendar = await self._reservations.calendar(who, device, ended=True)
        return TimelineView(
            device=device,
            now=now,
            start=begin,
            end=end,
            bars=[*bars, *live],
            sessions=[self._band(who, each.session, each.timestamps) for each in kept],
            reservations=[each for each in calendar if each.end > begin and each.start < end],
            calibrations=[
                (each.id, each.at) for each in self._calibrations.history(device) if begin <= each.at < end
            ],
        )

    # what is under way is in no ledger yet

    def _live(self, who: Principal, device: str, now: float) -> list[Bar]:
        lane, span = self._lanes.dispatchers[device].lane, None
        run = self._records.job(lane.running) if lane.running is not None else None
        held = self._records.session(lane.active) if lane.active is not None else None
        if run is not None and (since := run.job.started_at) is not None:
            job = run.job
            kind = "system" if job.kind is JobKind.SYSTEM else "job"
            names = job.id, job.session_id, job.program, job.state.value
            span = Span(kind, since, now, job.user, job.project, *names)
        elif held is not None and (since := held.session.hold_since) is not None:
            session = held.session
            span = Span("held", since, now, session.user, session.project, None, session.id)
        return [replace(self._bar(who, span), end=None)] if span is not None else []

    # who sees what

    def _bar(self, who: Principal, span: Span) -> Bar:
        if span.kind == "system":
            sees, mine = may(who, Action.SEE_JOB), False
        else:
            mine = span.user == who.user_id and span.project == who.project_id
            sees = may(who, Action.SEE_JOB, owner=mine)
        bar = Bar(span.kind, span.start, span.end, span.end - span.start)
        if not sees:
            return bar
        names = self._accounts
        return replace(
            bar,
            mine=mine,
            job=span.job,
            session=span.session,
            user=names.user_name(span.user),
            project=names.project_name(span.project),
            program=span.program,
            state=span.state,
        )

    def _band(self, who: Principal, session: Session, steps: Iterable[tuple[str, float]]) -> Band:
        mine = session.user == who.user_id and session.project == who.project_id
        closed = session.state is SessionState.CLOSED
        band = Band(
            start=session.created_at,
            end=session.closed_at if closed else None,
            steps=tuple(steps),
            mode=session.mode.value,
            state=session.state.value,
            mine=mine,
        )
        if not may(who, Action.SEE_SESSION, owner=mine):
            return band
        return replace(
            band,
            id=session.id,
            user=self._accounts.user_name(session.user),
            project=self._accounts.project_name(session.project),
            ends=None if closed else session.ends_at,
            ttl_at=None if closed else session.ttl_at,
        )


def merged(bars: Sequence[Bar], least: float, most: int) -> list[Bar]:
    """Of more than `most` bars those shorter than `least` seconds are drawn together, as many as begin in the
    same `least` seconds. `bars` are by time and so is the answer."""
    if len(bars) <= most:
        return list(bars)
    found: list[Bar] = []
    open_at: int | None = None
    for bar in bars:
        end = bar.end if bar.end is not None else bar.start
        if end - bar.start >= least:
            found.append(bar)
            open_at = None
            continue
        at = int(bar.start // least)
        if open_at != at:
            found.append(bar)
            open_at = at
            continue
        found[-1] = _together(found[-1], bar)
    return found


def _together(first: Bar, second: Bar) -> Bar:
    """One bar for both, with what they have in common."""

    def common(name: str) -> str | None:
        value = getattr(first, name)
        return value if value == getattr(second, name) else None

    kind = common("kind") or "several"
    return Bar(
        kind=kind,
        start=first.start,
        end=second.end,
        seconds=first.seconds + second.seconds,
        count=first.count + second.count,
        mine=first.mine and second.mine,
        session=common("session"),
        user=common("user"),
        project=common("project"),
        program=common("program"),
        state=common("state"),
    )
