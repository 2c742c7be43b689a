"""What a host makes of a driver whose device is elsewhere: it changes, is away, counts its own seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from sojourn import codes
from sojourn.devices.aer.ideal import AerDriver
from sojourn.devices.driver import Assignment, Driver, DriverError, NotReached, Outcome, Task
from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import Completed, DeviceAway, DeviceSpec, Failed, JobRefused
from tests.harness.programs import bell, sampler_params

JOB = json.dumps(sampler_params((bell(), None, 8))).encode()
WIDE = json.dumps(sampler_params((bell(width=4), None, 8))).encode()


class Far(AerDriver):
    """A device that may become another one."""

    refresh_seconds = 5.0

    def __init__(self) -> None:
        super().__init__("far", {"qubits": 2})
        self.error: Exception | None = None
        self.away = False
        self.changed = False
        self.seconds: float | None = 0.25
        self.told: list[Any] = []

    def grow(self) -> None:
        self._target = AerDriver("far", {"qubits": 4}).target
        self.changed = True

    def refresh(self) -> bool:
        if self.away:
            raise DriverError("the line is dead")
        changed, self.changed = self.changed, False
        return changed

    def assign(self, job: Assignment) -> None:
        self.told.append(job)

    def end_session(self, session: str) -> None:
        self.told.append(session)

    def device_seconds(self) -> float | None:
        return self.seconds

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        if self.error is not None:
            raise self.error
        return super().execute(tasks, seed=seed, memory=memory)


def pair() -> tuple[Far, DeviceHost]:
    driver = Far()
    return driver, DeviceHost(DeviceSpec("far", "far"), driver)


def test_jobs_are_checked_against_what_the_device_has_become() -> None:
    driver, host = pair()
    with pytest.raises(JobRefused, match="far has 2"):
        host.prepare("sampler", WIDE)
    driver.grow()
    assert host.prepare("sampler", WIDE).num_qubits == 4
    assert isinstance(host.run("sampler", WIDE), Completed)
    described = host.describe()
    assert (described.num_qubits, described.traits.renew) == (4, 5.0)


def test_a_device_that_cannot_be_asked_is_not_described_but_jobs_are_prepared() -> None:
    driver, host = pair()
    driver.away = True
    with pytest.raises(DriverError, match="the line is dead"):
        host.describe()
    assert host.prepare("sampler", JOB).num_qubits == 2


def test_a_device_of_this_machine_is_described_once() -> None:
    assert DeviceHost(DeviceSpec("aer", "aer"), AerDriver("aer", {"qubits": 2})).describe().traits.renew == 0
    assert Driver.refresh(AerDriver("aer", {"qubits": 2})) is False


def test_the_driver_is_told_of_the_job_and_of_the_end_of_a_session() -> None:
    driver, host = pair()
    host.assign("j1", "s1")
    host.assign("j2", None)
    host.end_session("s1")
    assert driver.told == [Assignment("j1", "s1"), Assignment("j2"), "s1"]


@pytest.mark.parametrize(
    ("said", "used"), [(0.25, 0.25), (None, None), (-1.0, 0.0), (float("nan"), None), (float("inf"), None)]
)
def test_seconds_of_the_device_come_with_the_result(said: float | None, used: float | None) -> None:
    driver, host = pair()
    driver.seconds = said
    outcome = host.run("sampler", JOB)
    assert isinstance(outcome, Completed)
    assert outcome.used == used


def test_a_device_that_was_not_reached_has_run_nothing() -> None:
    driver, host = pair()
    driver.error = NotReached("the line is dead")
    with pytest.raises(DeviceAway, match="the line is dead"):
        host.run("sampler", JOB)


def test_an_error_of_the_driver_has_the_code_that_it_says_and_costs_what_was_used() -> None:
    class TheirFault(DriverError):
        code = codes.SYSTEM_FAILURE

    driver, host = pair()
    driver.error = DriverError("bad angle")
    outcome = host.run("sampler", JOB)
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.code, outcome.used) == ("bad angle", codes.RUN_FAILED, 0.25)
    driver.error = TheirFault("it has fallen over")
    outcome = host.run("sampler", JOB)
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.used) == (codes.SYSTEM_FAILURE, 0.0)
