"""Two servers, of which the outer one has devices of the inner one: docs/federation.md, end to end.

Users are those of the outer lab; what the inner one is asked for is read there by its operator.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Parameter, QuantumRegister
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch, EstimatorV2, SamplerV2, Session

from tests.harness.labs import Lab, Line, ended, http, operator, remote, until, write_key
from tests.harness.programs import job_body, sampler_params

pytestmark = pytest.mark.timeout(400)

INNER: list[dict[str, Any]] = [
    {"name": "manila", "driver": "fake", "options": {"backend": "FakeManilaV2", "seed": 5, "drift": 0.3}},
    {"name": "bench", "driver": "mock", "options": {"qubits": 5, "seconds": 1.5}},
    {"name": "quick", "driver": "mock", "options": {"qubits": 5}},
]


@dataclass(frozen=True)
class Labs:
    """`account` is the user of the inner lab in whose name the outer one comes."""

    inner: Lab
    outer: Lab
    account: str


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labs]:
    folder = tmp_path_factory.mktemp("labs")
    with Lab(folder / "inner", INNER) as inner:
        key = inner.user("outer-lab", "federation")
        file = write_key(folder / "lab.key", key)
        devices = [remote(f"b_{name}", inner, name, file) for name in ("manila", "bench", "quick")]
        devices.append(remote("b_jobs", inner, "quick", file, mode="jobs"))
        with Lab(folder / "outer", devices) as outer:
            yield Labs(inner, outer, key.name)


def prepared(backend: Any, *, measured: bool) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    if measured:
        circuit.measure_all()
    return generate_preset_pass_manager(1, backend=backend, seed_transpiler=3).run(circuit)


def submit(client: httpx.Client, device: str, params: dict[str, Any] | None = None, **more: Any) -> str:
    body = job_body(device, params=params or sampler_params(), **more)
    reply = client.post("/jobs", content=body)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])


def open_session(client: httpx.Client, device: str) -> str:
    reply = client.post("/sessions", json={"mode": "dedicated", "backend": device})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])


def inner_jobs(labs: Labs, before: set[str]) -> list[dict[str, Any]]:
    """Those that the outer lab has submitted since, the oldest first."""
    return [job for job in reversed(labs.inner.jobs()) if job["id"] not in before]


def known(labs: Labs) -> set[str]:
    return {job["id"] for job in labs.inner.jobs()}


@pytest.mark.parametrize("kind", [Session, Batch])
def test_the_unmodified_client_runs_both_primitives_on_the_other_labs_device(labs: Labs, kind: type) -> None:
    before = known(labs)
    backend = labs.outer.service().backend("b_manila")
    assert backend.num_qubits == 5
    with kind(backend=backend) as session:
        sampled = SamplerV2(mode=session).run([prepared(backend, measured=True)], shots=2000)
        counts = sampled.result()[0].data.meas.get_counts()
        state = prepared(backend, measured=False)
        observable = SparsePauliOp(["ZZ", "XX"]).apply_layout(state.layout)
        found = EstimatorV2(mode=session).run([(state, observable)]).result()[0].data.evs
    assert counts["00"] + counts["11"] > 0.8 * 2000
    assert float(found) > 1.5
    jobs = inner_jobs(labs, before)
    assert [(job["program"], job["user"], job["state"]) for job in jobs] == [
        ("sampler", labs.account, "completed"),
        ("sampler", labs.account, "completed"),
    ]
    (there,) = {job["session"] for job in jobs}
    assert there is not None, "the device there was held by one session"
    until(lambda: labs.inner.get(f"/sessions/{there}")["state"] == "closed", "the end of the session there")


def test_parameter_sweeps_and_registers_come_back_in_their_places(labs: Labs) -> None:
    angle = Parameter("a")
    low, high = ClassicalRegister(1, "low"), ClassicalRegister(2, "high")
    sweep = QuantumCircuit(QuantumRegister(3), low, high)
    sweep.rx(angle, 0)
    sweep.x(2)
    sweep.measure([0, 1, 2], [low[0], high[0], high[1]])
    backend = labs.outer.service().backend("b_manila")
    ready = generate_preset_pass_manager(1, backend=backend, seed_transpiler=3).run(sweep)
    points = [[0.0], [3.141592653589793]]
    data = SamplerV2(mode=backend).run([(ready, points)], shots=400).result()[0].data
    assert data.low.get_counts(0).get("0", 0) > 340
    assert data.low.get_counts(1).get("1", 0) > 340
    assert data.high.get_counts(0).get("10", 0) > 340


def test_nobody_elses_job_comes_between_those_of_a_session(labs: Labs) -> None:
    with http(labs.outer) as mine, http(labs.inner) as foreign:
        session = open_session(mine, "b_quick")
        assert ended(mine, submit(mine, "b_quick", session_id=session))["status"] == "Completed"
        between = submit(foreign, "quick")
        assert ended(mine, submit(mine, "b_quick", session_id=session))["status"] == "Completed"
        assert foreign.get(f"/jobs/{between}").json()["status"] == "Queued"
        assert mine.delete(f"/sessions/{session}/close").status_code == 204
        assert ended(foreign, between)["status"] == "Completed"


def test_a_job_outside_of_a_session_is_one_there(labs: Labs) -> None:
    before = known(labs)
    with http(labs.outer) as mine:
        assert ended(mine, submit(mine, "b_quick"))["status"] == "Completed"
        session = open_session(mine, "b_jobs")
        assert ended(mine, submit(mine, "b_jobs", session_id=session))["status"] == "Completed"
    assert [job["session"] for job in inner_jobs(labs, before)] == [None, None]


def test_what_is_charged_is_what_the_device_worked_and_not_the_queue_there(labs: Labs) -> None:
    before = known(labs)
    with http(labs.outer) as mine, http(labs.inner) as foreign:
        ahead = submit(foreign, "bench")
        until(lambda: foreign.get(f"/jobs/{ahead}").json()["status"] == "Running", "the run of the other job")
        job = submit(mine, "b_bench", log_level="INFO")
        ended(mine, job)
        ended(foreign, ahead)
        log = mine.get(f"/jobs/{job}/logs").text
    (there,) = [found for found in inner_jobs(labs, before) if found["user"] == labs.account]
    here = labs.outer.get(f"/jobs/{job}")
    assert here["quantum_seconds"] == pytest.approx(there["quantum_seconds"], abs=0.01)
    started, finished = (datetime.fromisoformat(here[name]) for name in ("started", "finished"))
    assert (finished - started).total_seconds() > here["quantum_seconds"]
    assert f"job {there['id']} of bench at 127.0.0.1" in log
    assert f"the device worked {there['quantum_seconds']:g} s" in log


def test_the_session_there_may_end_before_the_one_here(labs: Labs) -> None:
    before = known(labs)
    with http(labs.outer) as mine, operator(labs.inner) as there:
        session = open_session(mine, "b_quick")
        ended(mine, submit(mine, "b_quick", session_id=session))
        (first,) = {job["session"] for job in inner_jobs(labs, before)}
        assert there.post(f"/sessions/{first}/close").status_code == 200
        assert ended(mine, submit(mine, "b_quick", session_id=session))["status"] == "Completed"
        mine.delete(f"/sessions/{session}/close")
    used = [job["session"] for job in inner_jobs(labs, before)]
    assert len(used) == 2
    assert None not in used
    assert used[0] != used[1]


def test_a_refusal_there_reaches_the_user_in_its_words(labs: Labs) -> None:
    with operator(labs.inner) as there, http(labs.outer) as mine:
        limits = {"limits": {"executions": 10}}
        assert there.patch("/projects/federation", json=limits).status_code == 200
        try:
            job = ended(mine, submit(mine, "b_quick"))
        finally:
            there.patch("/projects/federation", json={"limits": {"executions": None}})
    assert job["status"] == "Failed"
    reason = job["state"]["reason"]
    assert "executions (circuits x shots)" in reason
    assert "10" in reason
    assert "quick at 127.0.0.1" in reason


def test_a_job_that_somebody_there_cancels_fails_here_without_a_charge(labs: Labs) -> None:
    before = known(labs)
    with http(labs.outer) as mine, operator(labs.inner) as there:
        job = submit(mine, "b_bench")
        (its,) = until(lambda: inner_jobs(labs, before), "the job there")
        assert there.post(f"/jobs/{its['id']}/cancel").status_code == 200
        found = ended(mine, job)
    assert found["status"] == "Failed"
    assert "was cancelled" in found["state"]["reason"]
    assert labs.outer.get(f"/jobs/{job}")["quantum_seconds"] == 0


def test_what_is_cancelled_here_is_cancelled_there(labs: Labs) -> None:
    """At the latest when the next job comes."""
    before = known(labs)
    with http(labs.outer) as mine, http(labs.inner) as foreign:
        ahead = submit(foreign, "bench")
        job = submit(mine, "b_bench")
        (its,) = until(
            lambda: [found for found in inner_jobs(labs, before) if found["user"] == labs.account],
            "the job there",
        )
        assert mine.post(f"/jobs/{job}/cancel").status_code == 204
        after = submit(mine, "b_bench")
        assert ended(mine, after)["status"] == "Completed"
        ended(foreign, ahead)
    ends = {found["id"]: found["state"] for found in inner_jobs(labs, before)}
    assert ends.pop(its["id"]) in ("cancelled", "completed")  # it may have been done by then
    assert set(ends.values()) == {"completed"}


def test_a_calibration_there_is_seen_here(labs: Labs) -> None:
    def measured(lab: Lab, device: str) -> list[Any]:
        with http(lab) as client:
            found = client.get(f"/backends/{device}/properties", headers={"ibm-api-version": "2026-04-15"})
        return list(found.json()["qubits"])

    assert measured(labs.outer, "b_manila") == measured(labs.inner, "manila")
    with operator(labs.inner) as there:
        order = there.post("/devices/manila/calibrate", json={})
        assert order.status_code == 201, order.text
        job = order.json()["id"]
        until(lambda: there.get(f"/jobs/{job}").json()["state"] in ("completed", "failed"), "the calibration")
    fresh = measured(labs.inner, "manila")
    until(lambda: measured(labs.outer, "b_manila") == fresh, "the new calibration at the outer lab")
    assert len(labs.outer.get("/devices/b_manila/calibrations")["calibrations"]) > 1


def test_the_other_lab_may_be_down_at_the_start_and_later(tmp_path: Path) -> None:
    inner = Lab(tmp_path / "inner", [{"name": "quick", "driver": "mock", "options": {"qubits": 5}}])
    with inner:
        file = write_key(tmp_path / "lab.key", inner.local_key)
    outer = Lab(tmp_path / "outer", [remote("far", inner, "quick", file)], wait="alive")
    with outer, http(outer) as mine:
        reason = until(lambda: outer.device("far")["reason"], "the reason why the device is not there")
        assert "quick at 127.0.0.1" in reason
        assert "cannot be reached" in reason
        with inner:
            until(lambda: outer.device("far")["phase"] == "ready", "the device")
            assert ended(mine, submit(mine, "far"))["status"] == "Completed"
        until(lambda: outer.device("far")["phase"] in ("starting", "failed"), "the end of the device")
        waiting = submit(mine, "far")
        assert mine.get(f"/jobs/{waiting}").json()["status"] == "Queued"
        with inner:
            assert ended(mine, waiting)["status"] == "Completed"


def test_a_job_survives_that_the_other_lab_is_killed_and_started_again(tmp_path: Path) -> None:
    inner = Lab(tmp_path / "inner", [{"name": "slow", "driver": "mock", "options": {"seconds": 2.0}}])
    inner.start()
    try:
        file = write_key(tmp_path / "lab.key", inner.local_key)
        with Lab(tmp_path / "outer", [remote("far", inner, "slow", file)]) as outer, http(outer) as mine:
            session = open_session(mine, "far")
            job = submit(mine, "far", session_id=session)
            until(lambda: [j for j in inner.jobs() if j["state"] == "running"], "the run there")
            inner.kill()
            inner.start()
            found = ended(mine, job)
            assert found["status"] == "Completed", found
            (there,) = inner.jobs()
            assert there["state"] == "completed"
            assert outer.get(f"/jobs/{job}")["attempt"] == 1
    finally:
        inner.stop()


def test_a_job_of_a_worker_that_is_lost_is_taken_up_again_and_not_run_twice(tmp_path: Path) -> None:
    """The outer server is killed: nothing there is told of it."""
    with Lab(tmp_path / "inner", [{"name": "slow", "driver": "mock", "options": {"seconds": 3.0}}]) as inner:
        file = write_key(tmp_path / "lab.key", inner.local_key)
        outer = Lab(tmp_path / "outer", [remote("far", inner, "slow", file)])
        outer.start()
        try:
            with http(outer) as mine:
                session = open_session(mine, "far")
                job = submit(mine, "far", session_id=session)
                until(lambda: [j for j in inner.jobs() if j["state"] == "running"], "the run there")
            outer.kill()
            outer.start()
            with http(outer) as mine:
                assert ended(mine, job)["status"] == "Completed"
                assert ended(mine, submit(mine, "far", session_id=session))["status"] == "Completed"
            first, second = reversed(inner.jobs())
            assert (first["attempt"], second["attempt"]) == (1, 1)
            assert first["session"] == second["session"] is not None
        finally:
            outer.stop()


def test_a_lost_answer_makes_no_second_job(tmp_path: Path) -> None:
    with Lab(tmp_path / "inner", [{"name": "quick", "driver": "mock", "options": {"qubits": 5}}]) as inner:
        file = write_key(tmp_path / "lab.key", inner.local_key)
        line = Line(inner.url)
        device = remote("far", inner, "quick", file, url=line.address)
        try:
            with Lab(tmp_path / "outer", [device]) as outer, http(outer) as mine:
                assert ended(mine, submit(mine, "far"))["status"] == "Completed"
        finally:
            line.close()
        assert line.lost == 1
        assert len(inner.jobs()) == 1


def test_a_key_that_is_not_taken_is_said_to_the_operator(labs: Labs, tmp_path: Path) -> None:
    file = write_key(tmp_path / "wrong.key", "k" * 44)
    device = remote("far", labs.inner, "quick", file)
    with Lab(tmp_path / "outer", [device], wait="alive") as outer:
        reason = until(lambda: outer.device("far")["reason"], "the reason")
    assert "quick at 127.0.0.1" in reason
    assert "(error 1001)" in reason
    assert "k" * 44 not in json.dumps(reason)
