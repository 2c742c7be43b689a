"""A model that is small enough to search all of it: one device, two equal users, a little time.

Each user has one session, one plain job and up to two jobs for the session; there are one system job and one
reservation that either may hold. `SmallModel` lists what can happen next, and has a canonical form.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from io import BytesIO
from types import MethodType
from typing import Any

from sojourn.core import JobKind, Lane, Mode, Profile
from sojourn.core import events as ev
from sojourn.core.calendar import AfterReservation, ReservationMode
from sojourn.core.effects import Effect
from sojourn.core.explanation.explain import explain
from sojourn.core.fair_share.shares import EVEN, Shares
from tests.model.explain_oracle import check_explanation
from tests.model.invariants import Invariants
from tests.model.steps import FINAL, LIVE

TINY = Profile(
    interactive_ttl=1.0,
    batch_ttl=1.0,
    max_time=2.0,
    default_max_time=2.0,
    unused_expiry=2.0,
    cache_grace=1.0,
    program_limits={"sampler": 2.0, "estimator": 1.0},
    job_limit=2.0,
    job_cap=2.0,
    fair_share_window=1000.0,
    reservation_minimum=1.0,
)
"""Numbers so small that in three steps a hold can end and the session resume, and a window open and end."""
SLOWER = replace(TINY, interactive_ttl=2.0, max_time=4.0, default_max_time=4.0)
"""A hold of two steps, so that a clock can be stopped half-way."""
USERS = ("a", "b")
T0 = 100.0
NEVER = -1000.0

Move = tuple[Any, ...]


class SmallModel:
    """One lane, its invariants, the time, and what has been used up.

    `menu` names what can happen, in words: see `_moves`. With `why` on it all jobs are asked at each step why
    they wait. `path` is how it came here, see `replay`.
    """

    def __init__(
        self,
        until: float,
        menu: str,
        mode: ReservationMode = ReservationMode.DEDICATED,
        after: AfterReservation = AfterReservation.FAIL,
        profile: Profile = TINY,
    ) -> None:
        self.menu = frozenset(menu.split())
        self.lane = Lane("d", profile)
        self.invariants = Invariants(profile)
        self.now = T0
        self.until = T0 + until
        self.mode, self.after = mode, after
        self.seq = 0
        self.did: frozenset[str] = frozenset()
        self.path = b""
        self.do(ev.DeviceReady())

    def do(self, event: ev.Event) -> list[Effect]:
        effects = self.lane.handle(event, self.now)
        self.invariants.see(event, self.now, effects)
        if "why" in self.menu:
            for job in self.invariants.jobs.values():
                check_explanation(self.invariants, job.id, explain(self.lane, job.id))
        return effects

    def moves(self) -> list[Move]:
        """Everything that can happen next, as far as it is on the menu."""
        return [move for move in self._moves() if move[0] in self.menu or move[-1] in self.menu]

    def _moves(self) -> Iterator[Move]:
        did, jobs, sessions = self.did, self.invariants.jobs, self.invariants.sessions
        for u in USERS:
            session = sessions.get(f"{u}S")
            if f"{u}S" not in did:
                yield "open", u
            elif session is not None and session.state in LIVE:
                if session.accepting:
                    for n in ("1", "2"):
                        if f"{u}{n}" not in did and (n == "1" or f"{u}1" in did):
                            yield "submit", u, f"{u}{n}", f"{u}S", ("first", "second")[n == "2"]
                    yield "drain", u
                yield "close", u
            if f"{u}P" not in did:
                yield "submit", u, f"{u}P", None, "plain"
            if "R" not in did:
                yield "book", u
        if "system" not in did:
            yield "submit", "system", "system", None, "system"
        for job in jobs.values():
            if job.state not in FINAL and job.id != "system":
                yield "cancel", job.id
        if self.invariants.occupant is not None:
            yield "end", ev.Outcome.COMPLETED
            if "lost" not in did:
                yield "lose", ev.Outcome.LOST
        if self.now < self.until:
            yield ("time",)

    def make(self, move: Move, number: int = 0) -> list[Effect]:
        """Do it; `number` is its place among the moves."""
        self.path += bytes((number,))
        match move:
            case ("open", u):
                self._did(f"{u}S")
                return self.do(ev.SessionOpened(f"{u}S", u, u, Mode.DEDICATED))
            case ("submit", u, name, session, _):
                self._did(name)
                self.seq += 1
                kind = JobKind.SYSTEM if u == "system" else JobKind.USER
                program = "estimator" if session else "sampler"  # its limit is one step; else two
                accepted = self.do(ev.JobAccepted(name, self.seq, u, u, program, session, None, kind))
                return accepted + self.do(ev.JobPrepared(name))
            case ("drain", u):
                return self.do(ev.SessionDrained(f"{u}S"))
            case ("close", u):
                return self.do(ev.SessionClosed(f"{u}S"))
            case ("book", u):
                self._did("R")
                start = self.now + 1.0
                return self.do(ev.ReservationBooked("R", u, u, start, start + 1.0, self.mode, self.after))
            case ("cancel", name):
                return self.do(ev.JobCancelled(name))
            case ("end" | "lose", outcome):
                assert self.invariants.occupant is not None
                if outcome == "lost":
                    self._did("lost")
                return self.do(ev.RunEnded(*self.invariants.occupant, outcome))
            case _:
                self.now += 1.0
                effects: list[Effect] = []
                while (at := self.lane.next_deadline()) is not None and at <= self.now:
                    effects += self.do(ev.Tick())
                return effects

    def _did(self, what: str) -> None:
        self.did = self.did | {what}

    def replay(self, path: bytes) -> SmallModel:
        """Go the way of another world that began like this one."""
        for number in path:
            self.make(self.moves()[number], number)
        return self

    # copies

    def pack(self) -> bytes:
        """A copy, without what can matter no more."""
        self._slim()
        stream = BytesIO()
        pickler = pickle.Pickler(stream, -1)
        pickler.dispatch_table = {Lane: _lane_parts, Profile: _by_number, Shares: _by_number}
        pickler.dump(self)
        return stream.getvalue()

    def _slim(self) -> None:
        w = self.invariants
        w.forget()
        for memory in (w._clock, w._idle, w._held, w._unused_since, w._root, w._first, w._intruders):
            for gone in [name for name in memory if name not in w.sessions]:
                del memory[gone]
        sums = {u: sum(seconds for _, _, user, seconds in w.charges if user == u) for u in USERS}
        w.charges = [(T0, u, u, s) for u, s in sums.items() if s]  # none leaves the window in this time
        self.lane.state._stories.clear()  # the texts of an error message

    # canonical form

    def digest(self) -> bytes:
        return blake2b(repr(self.form()).encode(), digest_size=16).digest()

    def form(self) -> tuple[Any, ...]:
        return self.canonical()[0]

    def canonical(self) -> tuple[tuple[Any, ...], str]:
        """All that the future can depend on, and who is who in it.

        Times are relative to now and jobs are in the order of their numbers. The two users have no names: the
        first is the one whose own part is smaller; if these are equal, the smaller form counts.
        """
        a, b = self._of("a"), self._of("b")
        if a < b:
            return (a, b, *self._between("ab")), "ab"
        if b < a:
            return (b, a, *self._between("ba")), "ba"
        return min(((a, b, *self._between(names)), names) for names in ("ab", "ba"))

    def _left(self, at: float | None) -> float:
        return NEVER if at is None else at - self.now

    def _of(self, user: str) -> tuple[Any, ...]:
        """What belongs to one user, without a name."""
        w, left = self.invariants, self._left
        window = next(iter(w.reservations.values()), None)
        jobs = sorted(
            (
                job.id[1:],
                job.state.value,
                job.detached,
                left(job.cache_expires_at),
                window is not None and job.accepted_at >= window.start,  # R47
            )
            for job in w.jobs.values()
            if job.user == user and job.state not in FINAL
        )
        s = w.sessions.get(f"{user}S")
        if s is None or s.state == "closed":  # what was not sent to it never will be
            return (*jobs,), (), f"{user}S" in self.did, f"{user}P" in self.did
        root = s.root or s.first
        session: tuple[Any, ...] = (
            s.state.value,
            s.accepting,
            left(s.ends_at),
            left(s.ttl_at),
            NEVER if s.ttl_left is None else s.ttl_left,
            left(s.unused_at),
            left(s.hold_since),
            left(s.cache_expires_at),
            s.window or "",
            root[1:] if root in w.jobs and w.jobs[root].state not in FINAL else "",
            s.accepting and (f"{user}1" in self.did, f"{user}2" in self.did),
        )
        return (*jobs,), session + self._watched(s), True, f"{user}P" in self.did

    def _watched(self, session: Any) -> tuple[Any, ...]:
        """What the invariants keep of a session."""
        w, sid = self.invariants, session.id
        first = w._root.get(sid, w._first.get(sid, ""))
        known: tuple[Any, ...] = (
            self._left(w._unused_since.get(sid)),
            first[1:] if first in w.jobs and w.jobs[first].state not in FINAL else "",
        )
        if session.state == "active":
            known += (w._idle.get(sid, 0.0) - w._held.get(sid, 0.0),)
            if not w._runs(session):
                between = (self._left(w._last_job_end.get(sid)), bool(w._intruders.get(sid)))
                known += (w._clock.get(sid, 0.0), sid in w._waited, *between)
        return known

    def _between(self, names: str) -> tuple[Any, ...]:
        """What is common to all. `names` says which user is the first."""
        w, run, left = self.invariants, self.lane.run, self._left
        again = "lose" in self.menu and "lost" not in self.did
        live = [j for j in w.jobs.values() if j.state not in FINAL]
        # the number of a running job matters when it may have to queue again; a system job is the only one
        ages = [j for j in live if j.id != "system" and (again or j.state != "running")]
        ages.sort(key=lambda j: j.seq)
        system = next((j.state.value for j in live if j.id == "system"), "system" in self.did)
        busy: tuple[Any, ...] = ()
        if run is not None:
            alive = run.job_id in w.jobs and w.jobs[run.job_id].state not in FINAL
            inside = w.sessions.get(run.session_id or "")
            busy = (
                called(run.job_id, names) if alive else "",
                left(run.limit_at) if alive else 0.0,
                called(run.session_id or "", names) if inside and inside.state != "closed" else "",
            )
        reservations = [
            (
                names.index(x.project),
                left(x.start),
                left(x.idle_since),
                x.opened,
                w._window_idle.get(x.project, 0.0) - w._window_rows.get(x.project, 0.0),
            )
            for x in w.reservations.values()
        ]
        used = self.lane.fair.used
        return (
            tuple(called(j.id, names) for j in ages),
            str(system),
            busy,
            tuple(reservations) or "R" in self.did,
            used(names[0]) - used(names[1]),  # who has used less is all that matters: none leaves the window
            again,
            self._rows_may_overlap(live),
            self.until - self.now,
        )

    def _rows_may_overlap(self, live: list[Any]) -> bool:
        """Whether something under way began before the last row of the ledger ended; it never may."""
        w = self.invariants
        begun = [j.started_at for j in live if j.state == "running"]
        begun += [s.hold_since for s in w.sessions.values()] + [x.idle_since for x in w.reservations.values()]
        return any(at is not None and at < w._last_end for at in begun)


def called(name: str, names: str) -> str:
    """What a user, or one of a user's jobs and sessions, is called in the form."""
    return f"{names.index(name[0])}{name[1:]}" if name[:1] in USERS and len(name) < 3 else name


def unpack(packed: bytes) -> SmallModel:
    world: SmallModel = pickle.loads(packed)
    return world


# A lane's table of handlers is made anew, and what never changes is not copied at all.


def _bound(handler: object) -> MethodType:
    assert isinstance(handler, MethodType)
    return handler


_MODEL = Lane("d", TINY)
_HANDLERS = [
    (event, next((n for n, v in vars(_MODEL).items() if v is handler.__self__), None), handler.__func__)
    for event, handler in ((event, _bound(handler)) for event, handler in _MODEL._handlers.items())
]


def _lane_parts(lane: Lane) -> tuple[Any, ...]:
    return _lane, ({name: value for name, value in vars(lane).items() if name != "_handlers"},)


def _lane(parts: dict[str, Any]) -> Lane:
    lane = Lane.__new__(Lane)
    vars(lane).update(parts)
    lane._handlers = {
        event: MethodType(function, parts[owner] if owner else lane) for event, owner, function in _HANDLERS
    }
    return lane


_CONSTANTS: list[Any] = [TINY, SLOWER, EVEN]


def _by_number(constant: Any) -> tuple[Any, ...]:
    return _constant, (next(i for i, known in enumerate(_CONSTANTS) if known is constant),)


def _constant(number: int) -> Any:
    return _CONSTANTS[number]
