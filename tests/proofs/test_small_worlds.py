"""Every interleaving in tiny worlds, breadth first. The core is pure, so a state is copied and tried again.

Two users alike in everything, each with one session and one plain job; one system job; one reservation that
either may hold; time in whole steps. States are compared in a canonical form: times relative to now, numbers
by rank, and the two users exchanged if that gives the smaller form. The witness checks every step.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from sojourn.core import JobKind, Lane, Mode, Profile
from sojourn.core import events as ev
from sojourn.core.calendar import AfterWindow, WindowMode
from tests.proofs.witness import FINAL, LIVE, Witness

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
MOST = int(os.environ.get("SOJOURN_PROOF_STATES", "200000" if NIGHTLY else "1500"))
TINY = Profile(
    interactive_ttl=2.0,
    batch_ttl=2.0,
    max_time=5.0,
    unused_expiry=3.0,
    cache_grace=1.0,
    program_limits={"sampler": 2.0},
    job_limit=2.0,
    job_cap=2.0,
    fair_share_window=1000.0,
    reservation_minimum=2.0,
)
USERS = ("a", "b")
T0 = 100.0


class Tiny:
    """One lane, its witness, the time, and what has been used up."""

    def __init__(
        self,
        until: float,
        menu: str,
        mode: WindowMode = WindowMode.DEDICATED,
        after: AfterWindow = AfterWindow.FAIL,
    ) -> None:
        self.menu = frozenset(menu.split())
        self.lane = Lane("d", TINY)
        self.witness = Witness(TINY)
        self.now = T0
        self.until = T0 + until
        self.mode, self.after = mode, after
        self.seq = 0
        self.did: frozenset[str] = frozenset()
        self.do(ev.DeviceReady())

    def do(self, event: ev.Event) -> None:
        self.witness.see(event, self.now, self.lane.handle(event, self.now))

    def moves(self) -> Iterator[tuple[Any, ...]]:
        """Everything that can happen next, in words, as far as it is on the menu."""
        return (move for move in self._moves() if move[0] in self.menu or move[-1] in self.menu)

    def _moves(self) -> Iterator[tuple[Any, ...]]:
        did, jobs, sessions = self.did, self.witness.jobs, self.witness.sessions
        for u in USERS:
            if f"{u}S" not in did:
                yield "open", u
            elif f"{u}S" in sessions and sessions[f"{u}S"].state in LIVE:
                if sessions[f"{u}S"].accepting:
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
        if self.witness.occupant is not None:
            yield "end", ev.Outcome.COMPLETED
            if "lost" not in did:
                yield "lose", ev.Outcome.LOST
        if self.now < self.until:
            yield ("time",)

    def make(self, move: tuple[Any, ...]) -> None:
        match move:
            case ("open", u):
                self._did(f"{u}S")
                self.do(ev.SessionOpened(f"{u}S", u, u, Mode.DEDICATED))
            case ("submit", u, name, session, _):
                self._did(name)
                self.seq += 1
                kind = JobKind.SYSTEM if u == "system" else JobKind.USER
                self.do(ev.JobAccepted(name, self.seq, u, u, "sampler", session, None, kind))
                self.do(ev.JobPrepared(name))
            case ("drain", u):
                self.do(ev.SessionDrained(f"{u}S"))
            case ("close", u):
                self.do(ev.SessionClosed(f"{u}S"))
            case ("book", u):
                self._did("R")
                start = self.now + 2.0
                self.do(ev.ReservationBooked("R", u, u, start, start + 2.0, self.mode, self.after))
            case ("cancel", name):
                self.do(ev.JobCancelled(name))
            case ("end" | "lose", outcome):
                assert self.witness.occupant is not None
                if outcome == "lost":
                    self._did("lost")
                self.do(ev.RunEnded(*self.witness.occupant, outcome))
            case _:
                self.now += 1.0
                while (at := self.lane.next_deadline()) is not None and at <= self.now:
                    self.do(ev.Tick())

    def _did(self, what: str) -> None:
        self.did = self.did | {what}

    # canonical form

    def form(self) -> tuple[Any, ...]:
        return min(self._form({"a": "a", "b": "b"}), self._form({"a": "b", "b": "a"}))

    def _form(self, names: dict[str, str]) -> tuple[Any, ...]:
        """All that the future can depend on."""

        def named(name: str | None) -> str:
            return "" if name is None else names.get(name[0], name[0]) + name[1:]

        def left(at: float | None) -> float:
            return -1000.0 if at is None else at - self.now

        w = self.witness
        rank = {j.id: i for i, j in enumerate(sorted(w.jobs.values(), key=lambda j: j.seq))}
        jobs = [
            (
                named(j.id),
                rank[j.id],
                j.state,
                j.detached,
                left(j.started_at),
                left(j.cache_expires_at),
                left(j.accepted_at) if self.mode is WindowMode.PRIORITY else 0.0,
            )
            for j in w.jobs.values()
            if j.state not in FINAL
        ]
        sessions = [
            (
                named(s.id),
                s.state,
                s.accepting,
                left(s.ends_at),
                left(s.ttl_at),
                -1.0 if s.ttl_left is None else s.ttl_left,
                left(s.unused_at),
                left(s.hold_since),
                s.window or "",
                named(s.root or s.first),
            )
            for s in w.sessions.values()
            if s.state != "closed"
        ]
        windows = [
            (named(x.project), left(x.start), left(x.idle_since), x.opened) for x in w.windows.values()
        ]
        used = sorted((names[u], self.lane.fair.used(u)) for u in USERS)
        run = self.lane.run
        busy = (named(run.job_id), left(run.limit_at), named(run.session_id)) if run else ()
        did = sorted(named(x) if x[0] in "ab" else x for x in self.did)
        return (sorted(jobs), sorted(sessions), windows, used, busy, did, self.until - self.now)


def explore(start: Tiny, most: int) -> tuple[int, int, bool]:
    """(states seen, steps made, whether that was all of them)."""
    seen = {hash(repr(start.form()))}
    level = [pickle.dumps(start, -1)]
    steps = 0
    while level:
        following = []
        for packed in level:
            for move in list(pickle.loads(packed).moves()):
                world = pickle.loads(packed)
                world.make(move)
                steps += 1
                form = hash(repr(world.form()))
                if form not in seen:
                    seen.add(form)
                    following.append(pickle.dumps(world, -1))
            if len(seen) >= most:
                return len(seen), steps, False
        level = following
    return len(seen), steps, True


D, P = WindowMode.DEDICATED, WindowMode.PRIORITY
FAIL, REQUEUE = AfterWindow.FAIL, AfterWindow.REQUEUE
QUICK = [
    ("sessions", 4, "open first end time", D, FAIL),
    ("a session, a window", 3, "open first book end time", D, FAIL),
]
WHOLE = [
    ("sessions and plain jobs", 4, "open first second plain end time", D, FAIL),
    ("endings", 4, "open first close drain cancel end lose time", D, FAIL),
    ("a dedicated window", 4, "open first plain book end time", D, REQUEUE),
    ("a priority window", 3, "open first plain book end time", P, FAIL),
    ("a system job", 4, "open first plain system end time", D, FAIL),
]
EVERYTHING = "open first second plain system book cancel close drain end lose time"


def report(name: str, until: int, seen: int, steps: int, complete: bool) -> None:
    print(
        f"\n{name}, {until} steps of time: {seen:,} states, {steps:,} steps{'' if complete else ' (not all)'}"
    )


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("name", "until", "menu", "mode", "after"), QUICK + (WHOLE if NIGHTLY else []))
def test_every_invariant_holds_in_every_state_of_a_small_world(
    name: str, until: int, menu: str, mode: WindowMode, after: AfterWindow
) -> None:
    seen, steps, complete = explore(Tiny(float(until), menu, mode, after), 10**9)
    report(name, until, seen, steps, complete)
    assert complete


@pytest.mark.timeout(7200)
def test_every_invariant_holds_in_the_nearest_states_of_the_world_with_everything() -> None:
    seen, steps, complete = explore(Tiny(4.0, EVERYTHING), MOST)
    report("everything", 4, seen, steps, complete)
    assert complete or seen >= MOST
