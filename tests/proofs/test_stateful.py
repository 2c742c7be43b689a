"""Every event in any order on two lanes: hypothesis looks for the shortest story that breaks the witness."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.model.multi_device import ESTIMATED, LATER, MultiDevice

D = st.integers(0, 1)
N = st.integers(0, 7)
WHO = st.integers(0, 4)
LIMIT = st.integers(0, 31)
YES = st.booleans()


class TownMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = MultiDevice((ESTIMATED, LATER))

    @rule(d=D, who=WHO, limit=LIMIT, prepared=YES)
    def submit(self, d: int, who: int, limit: int, prepared: bool) -> None:
        self.model.submit(d, who, limit, prepared)

    @rule(d=D, which=N, limit=st.integers(0, 12), prepared=YES)
    def submit_in_session(self, d: int, which: int, limit: int, prepared: bool) -> None:
        self.model.submit_in_session(d, which, limit, prepared)

    @rule(d=D)
    def calibrate(self, d: int) -> None:
        self.model.calibrate(d)

    @rule(d=D, n=N, how=st.sampled_from(["prepare", "unfit", "cancel"]))
    def change(self, d: int, n: int, how: str) -> None:
        getattr(self.model, how)(d, n)

    @rule(d=D, outcome=st.integers(0, 5))
    def finish(self, d: int, outcome: int) -> None:
        self.model.finish(d, outcome)

    @rule(d=D, who=WHO, batch=YES, max_time=st.integers(0, 41))
    def open(self, d: int, who: int, batch: bool, max_time: int) -> None:
        self.model.open(d, who, batch, max_time)

    @rule(d=D, n=N, hard=YES)
    def close(self, d: int, n: int, hard: bool) -> None:
        (self.model.close if hard else self.model.drain)(d, n)

    @rule(
        d=D,
        project=st.integers(0, 3),
        after=st.integers(-1, 12),
        length=st.integers(2, 20),
        how=st.integers(0, 3),
    )
    def reserve(self, d: int, project: int, after: int, length: int, how: int) -> None:
        self.model.reserve(d, project, after, length, bool(how & 1), bool(how & 2))

    @rule(d=D, n=N)
    def cancel_reservation(self, d: int, n: int) -> None:
        self.model.cancel_reservation(d, n)

    @rule(d=D, mode=st.integers(0, 2))
    def halt(self, d: int, mode: int) -> None:
        self.model.halt(d, mode)

    @rule(d=D, how=st.sampled_from(["resume", "lose", "ready", "restart", "tick"]))
    def device(self, d: int, how: str) -> None:
        getattr(self.model, how)(d)

    @rule(n=st.integers(0, 3))
    def share(self, n: int) -> None:
        self.model.share(n)

    @rule(seconds=st.integers(1, 8), told=YES)
    def time(self, seconds: int, told: bool) -> None:
        (self.model.sleep if told else self.model.oversleep)(float(seconds))

    def teardown(self) -> None:
        self.model.run_out()


TestTown = pytest.mark.timeout(7200)(TownMachine.TestCase)
