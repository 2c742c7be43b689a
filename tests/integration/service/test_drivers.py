"""What a driver says of its device, as users and operators meet it. Real store and workers, virtual time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from sojourn import codes
from sojourn.config import DeviceSettings
from sojourn.service.devices.checks import report_of
from sojourn.service.errors import BadRequest, Conflict, Forbidden
from sojourn.service.views import JobView, Principal
from sojourn.worker.protocol.messages import ProtocolError
from tests.harness.drivers import installed
from tests.harness.probe import Hands
from tests.harness.programs import job_body, sampler_params
from tests.harness.service import ServiceHarness
from tests.integration.service.operations import operator

RunService = Callable[..., None]


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with installed(tmp_path_factory.mktemp("package"), probe="tests.harness.probe:ProbeDriver"):
        yield


@pytest.fixture
def hands(tmp_path_factory: pytest.TempPathFactory) -> Hands:
    return Hands(tmp_path_factory.mktemp("lab"))  # workers cannot reach the server's own folder


def lab(hands: Hands, **options: Any) -> tuple[DeviceSettings, ...]:
    return (DeviceSettings(name="lab", driver="probe", options={"folder": str(hands.folder), **options}),)


def body(*pubs: Any, **more: Any) -> bytes:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    params = sampler_params(*(pubs or [(circuit, None, 16)]), **more.pop("options", {}))
    return job_body("lab", params=params, **more)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.02)


async def begun(h: ServiceHarness, hands: Hands, who: Principal, **more: Any) -> JobView:
    """A job that waits on the device."""
    jobs = len(hands.said("jobs"))
    job = await h.submit(who, body(**more))
    await until(lambda: len(hands.said("jobs")) > jobs)
    return job


def test_r55_a_job_on_an_instrument_that_loses_its_worker_fails_unpaid(
    run_service: RunService, hands: Hands
) -> None:
    async def killed(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.service.devices.description("lab")
        hands.ask("wait")
        job = await begun(h, hands, ann)
        os.kill(h.engine.state("lab").pid or 0, signal.SIGKILL)
        done = await h.ended(ann, job.id)
        assert (done.state, done.reason_code, done.attempt) == ("failed", codes.SYSTEM_FAILURE, 1)
        assert "not repeated unasked" in (done.reason or "")
        assert done.quantum_seconds == 0
        hands.drop("wait")
        again = await h.submit(ann, body())
        assert (await h.ended(ann, again.id)).state == "completed"

    run_service(killed, devices=lab(hands, on_loss="fail"))


@pytest.mark.parametrize(("on_loss", "state", "runs"), [("fail", "failed", 1), ("rerun", "completed", 2)])
def test_r55_what_ran_when_the_service_stopped_is_repeated_as_the_driver_says(
    run_service: RunService, hands: Hands, on_loss: str, state: str, runs: int
) -> None:
    found: list[JobView] = []

    async def before(h: ServiceHarness) -> None:
        await h.service.devices.description("lab")
        hands.ask("wait")
        found.append(await begun(h, hands, await h.user("ann")))

    async def after(h: ServiceHarness) -> None:
        hands.drop("wait")
        done = await h.ended(operator(h), found[0].id)
        assert done.state == state
        assert len(hands.said("jobs")) == runs

    run_service(before, after, devices=lab(hands, on_loss=on_loss))


def test_the_progress_of_a_run_is_in_the_log_while_it_runs_and_after(
    run_service: RunService, hands: Hands
) -> None:
    async def body_(h: ServiceHarness) -> None:
        await h.service.devices.description("lab")
        hands.ask("wait")
        who = await h.user("ann")
        job = await begun(h, hands, who, log_level="INFO")
        async with asyncio.timeout(60):
            while "progress:" not in await h.service.jobs.logs(who, job.id):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        hands.drop("wait")
        assert (await h.ended(who, job.id)).state == "completed"
        log = await h.service.jobs.logs(who, job.id)
        assert "progress:" in log
        assert ", turn " in log
        assert log.index("progress:") < log.index("time: ")

    run_service(body_, devices=lab(hands))


def test_users_of_a_device_that_is_not_well_read_why(run_service: RunService, hands: Hands) -> None:
    async def body_(h: ServiceHarness) -> None:
        await h.service.devices.description("lab")
        hands.ask("fail", "the line is dead")
        hands.ask("health", "the line is dead")
        who = await h.user("ann")
        first = await h.ended(who, (await h.submit(who, body())).id)
        assert (first.state, first.reason) == ("failed", "the line is dead")
        view = h.service.devices.get("lab", who)
        assert (view.phase, view.operational, view.message) == ("unhealthy", False, "the line is dead")
        report = await h.service.parts.readiness.report()
        assert report["devices"]["lab"] == {"phase": "unhealthy", "reason": "the line is dead"}
        assert report["ready"] is False
        second = await h.submit(who, body())
        await asyncio.sleep(0)
        why = await h.service.jobs.why(who, second.id)
        assert "the line is dead" in why.reasons[0].sentence
        assert (await h.service.jobs.get(who, second.id)).state == "queued"

    run_service(body_, devices=lab(hands))


def test_a_check_is_a_system_job_whose_report_is_kept(run_service: RunService, hands: Hands) -> None:
    async def body_(h: ServiceHarness) -> None:
        await h.service.devices.description("lab")
        who, ann = operator(h), await h.user("ann")
        with pytest.raises(Forbidden):
            await h.service.control.check(ann, "lab")
        job = await h.service.control.check(who, "lab", "after the move")
        done = await h.ended(who, job.id)
        assert (done.state, done.program_id, done.user) == ("completed", "check", "system")
        assert done.caller == "operator: after the move"
        assert (done.reason or "").startswith("conforms (")
        report = report_of(await h.result(who, job.id))
        assert report.passed
        assert {"X", "Bell pair", "seeds"} <= {each.name for each in report.checks}
        view = h.service.devices.get("lab", who)
        assert view.check_summary == done.reason
        assert view.checked is not None

    run_service(body_, devices=lab(hands))


def test_there_are_never_two_pending_checks_and_a_calibration_is_none(
    run_service: RunService, hands: Hands
) -> None:
    async def body_(h: ServiceHarness) -> None:
        who = operator(h)
        await h.service.control.halt(who, "lab", "paused")
        first = await h.service.control.check(who, "lab")
        with pytest.raises(Conflict, match=first.id):
            await h.service.control.check(who, "lab")
        await h.service.control.calibrate(who, "lab")

    run_service(body_, devices=lab(hands))


def test_a_check_waits_for_a_session_where_the_rules_keep_it_out(
    run_service: RunService, hands: Hands
) -> None:
    async def body_(h: ServiceHarness) -> None:
        await h.service.devices.description("lab")
        who, ann = operator(h), await h.user("ann")
        session = await h.service.sessions.open(ann, device="lab", mode="dedicated", max_time=None)
        first = await h.submit(ann, body(session_id=session.id))
        assert (await h.ended(ann, first.id)).state == "completed"
        check = await h.service.control.check(who, "lab")
        second = await h.submit(ann, body(session_id=session.id))
        assert (await h.ended(ann, second.id)).state == "completed"
        assert (await h.service.jobs.get(who, check.id)).state == "queued"
        await h.service.sessions.close(ann, session.id)
        assert (await h.ended(who, check.id)).state == "completed"

    run_service(body_, devices=lab(hands), profile="ibm2026")


def test_a_check_that_fails_takes_the_device_out_of_service_until_it_conforms(
    run_service: RunService, hands: Hands
) -> None:
    async def body_(h: ServiceHarness) -> None:
        await h.service.devices.description("lab")
        who = operator(h)
        hands.ask("wrong")
        done = await h.ended(who, (await h.service.control.check(who, "lab")).id)
        assert done.state == "completed"
        assert "X: the result is 100% off" in (done.reason or "")
        await until(lambda: h.engine.state("lab").phase == "failed")
        view = h.service.devices.get("lab", who)
        assert not view.operational
        assert "does not conform" in view.message
        assert "seen 0 in 100%" in view.message
        ann = await h.user("ann")
        waiting = await h.submit(ann, body())
        assert waiting.state == "queued"
        hands.drop("wrong")
        assert (await h.ended(ann, waiting.id)).state == "completed"

    run_service(body_, devices=lab(hands))


def test_limits_of_a_driver_are_refused_at_submit_with_the_limit(
    run_service: RunService, hands: Hands
) -> None:
    async def body_(h: ServiceHarness) -> None:
        who = await h.user("ann")
        described = await h.service.devices.description("lab")
        assert described.configuration["max_shots"] == 50
        circuit = QuantumCircuit(1, 1)
        circuit.measure(0, 0)
        with pytest.raises(BadRequest, match=r"51.*50"):
            await h.submit(who, body((circuit, None, 51)))
        wide = QuantumCircuit(1, 1)
        for number in range(3):
            wide.rz(Parameter(f"p{number}"), 0)
        wide.measure(0, 0)
        with pytest.raises(BadRequest, match="3 parameters; the limit of lab is 2"):
            await h.submit(who, body((wide, [0.0, 0.0, 0.0], 10)))

    run_service(body_, devices=lab(hands, shots=50, parameters=2))


def test_the_estimate_of_a_job_is_its_drivers(run_service: RunService, hands: Hands) -> None:
    async def body_(h: ServiceHarness) -> None:
        who = await h.user("ann")
        job = await h.submit(who, body())
        done = await h.ended(who, job.id)
        assert done.estimated_seconds == pytest.approx(12.5)

    run_service(body_, devices=lab(hands, overhead=12.5))


def test_a_seed_that_has_no_effect_is_said(run_service: RunService, hands: Hands) -> None:
    async def body_(h: ServiceHarness) -> None:
        who = await h.user("ann")
        seeded = await h.submit(who, body(options={"simulator": {"seed_simulator": 5}}))
        done = await h.ended(who, seeded.id)
        assert (done.state, done.warnings) == (
            "completed",
            ("the seed of the job is of no effect: runs on lab cannot be repeated",),
        )

    run_service(body_, devices=lab(hands, seeded=False))


def test_a_result_that_cannot_be_right_fails_the_job_with_what_is_wrong(
    run_service: RunService, hands: Hands
) -> None:
    async def body_(h: ServiceHarness) -> None:
        await h.service.devices.description("lab")
        hands.ask("short")
        who = await h.user("ann")
        done = await h.ended(who, (await h.submit(who, body())).id)
        assert (done.state, done.reason_code) == ("failed", codes.RUN_FAILED)
        assert "the counts add up to 15" in (done.reason or "")
        hands.drop("short")
        assert (await h.ended(who, (await h.submit(who, body())).id)).state == "completed"

    run_service(body_, devices=lab(hands))


def test_an_unreadable_report_fails_the_check() -> None:
    for text in (b"", b"{}", json.dumps({"device": "lab", "checks": [{"name": 1}]}).encode()):
        with pytest.raises(ProtocolError, match="report of the check"):
            report_of(text)
