"""Sessions at the edges, as they look on the wire: the whole application in virtual time, with real workers,
and the real client against a server with short times."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from sojourn.api.app import create_app
from sojourn.config import DeviceSettings, PolicySettings, ServerSettings, Settings
from sojourn.core import events as ev
from sojourn.embedded import Embedded
from sojourn.execution.engine import WorkerPhase
from sojourn.service.errors import Conflict
from sojourn.service.service import Service
from sojourn.service.timing.clock import VirtualClock
from sojourn.store import tables as t
from tests.harness.programs import job_body

pytestmark = pytest.mark.timeout(60)
FINAL = ("Completed", "Failed", "Cancelled")
HOUR = 3600.0


def mock(name: str, seconds: float = 0.0, **more: Any) -> DeviceSettings:
    return DeviceSettings(name=name, driver="mock", options={"qubits": 5, "seconds": seconds}, **more)


DEVICES = (
    mock("mock"),
    mock("slow", HOUR),
    mock("ibm", profile="ibm2026"),
    mock("ibm-slow", HOUR, profile="ibm2026"),
)


class Caller:
    """One user, speaking HTTP to the application."""

    def __init__(self, house: House, user_id: str, project_id: str, project: str, http: httpx.AsyncClient):
        self.house, self.http = house, http
        self.user_id, self.project_id, self.project = user_id, project_id, project

    async def ask(self, method: str, path: str, **more: Any) -> Any:
        reply = await self.http.request(method, path, **more)
        assert reply.is_success, reply.text
        return reply.json() if reply.content else None

    async def submit(self, device: str, **more: Any) -> dict[str, Any]:
        reply = await self.post_job(device, **more)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    async def post_job(self, device: str, **more: Any) -> httpx.Response:
        # every submit of these tests is meant, also one with the same bytes (R54)
        key = {"idempotency-key": uuid.uuid4().hex}
        return await self.http.post("/jobs", content=job_body(device, **more), headers=key)

    async def open(self, device: str, **more: Any) -> str:
        body = {"mode": "dedicated", "backend": device, **more}
        return str((await self.ask("POST", "/sessions", json=body))["id"])

    async def session(self, session_id: str) -> Any:
        return await self.ask("GET", f"/sessions/{session_id}")

    async def state(self, session_id: str) -> str:
        await self.house.settled()
        return str((await self.session(session_id))["state"])

    async def close(self, session_id: str) -> None:
        await self.ask("DELETE", f"/sessions/{session_id}/close")

    async def drain(self, session_id: str) -> None:
        await self.ask("PATCH", f"/sessions/{session_id}", json={"accepting_jobs": False})

    async def cancel(self, job_id: str) -> None:
        await self.ask("POST", f"/jobs/{job_id}/cancel")

    async def job(self, job_id: str) -> Any:
        return await self.ask("GET", f"/jobs/{job_id}", params={"exclude_params": "true"})

    async def status(self, job_id: str) -> str:
        await self.house.settled()
        return str((await self.job(job_id))["state"]["status"])

    async def until(self, job_id: str, *states: str) -> Any:
        """The job, once it is in one of the states; the real worker takes its time."""
        record = self.house.service.parts.records.job(job_id)
        assert record is not None
        while record.job.state.value.capitalize() not in states:
            assert not record.job.state.final, record.job.reason
            waiter = asyncio.get_running_loop().create_future()
            record.waiters.add(waiter)
            await waiter
        job = await self.job(job_id)
        assert job["state"]["status"] in states
        return job

    async def ended(self, job_id: str) -> Any:
        return await self.until(job_id, *FINAL)

    async def running(self, job_id: str) -> Any:
        return await self.until(job_id, "Running")


class House:
    def __init__(self, service: Service, clock: VirtualClock) -> None:
        self.service, self.clock = service, clock
        app = create_app(service, service.settings)
        self._transport = httpx.ASGITransport(app=app)
        self._open: list[httpx.AsyncClient] = []

    async def user(self, name: str) -> Caller:
        made = await self.service.users.add(
            f"{name}-{uuid.uuid4().hex[:6]}", f"{name}s-{uuid.uuid4().hex[:6]}"
        )
        user_id = self.service.accounts.by_key(made.api_key)
        assert user_id is not None
        who = self.service.accounts.principal(user_id, None)
        headers = {"authorization": f"apikey {made.api_key}", "service-crn": made.instance}
        http = httpx.AsyncClient(
            transport=self._transport, base_url="http://sojourn/api/v1", headers=headers, timeout=60
        )
        self._open.append(http)
        return Caller(self, user_id, who.project_id, who.project, http)

    async def settled(self) -> None:
        """Everything that was decided is committed."""
        await self.service.parts.store.write(lambda _: None)

    async def advance(self, seconds: float) -> None:
        """Let time pass, and what it brought be committed."""
        self.clock.advance(seconds)
        await self.settled()

    def worker(self, device: str) -> int | None:
        """The worker that can take a run."""
        state = self.service.parts.engine.state(device)
        return state.pid if state.phase in (WorkerPhase.READY, WorkerPhase.BUSY) else None

    async def follows(self, device: str, worker: int | None) -> None:
        """The device has a fresh worker, after a run was stopped with this one."""
        while self.worker(device) in (None, worker):
            await self.settled()  # another process: one can only look again
        await self.settled()

    async def rows(self, session_id: str) -> list[tuple[str, float]]:
        """(kind, seconds) of the session's rows in the ledger."""
        await self.settled()

        def work(c: Any) -> list[tuple[str, float]]:
            wanted = select(t.ledger.c.kind, t.ledger.c.seconds).where(t.ledger.c.session_id == session_id)
            return [(row.kind, row.seconds) for row in c.execute(wanted)]

        return await self.service.parts.store.read(work)

    @contextmanager
    def preparation_stopped(self) -> Iterator[None]:
        """Nothing is prepared meanwhile: what is submitted stays accepted."""
        pids = [pid for pool in _pools(self.service.parts.engine) for pid in pool.pids]
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    async def tidy(self) -> None:
        """Leave idle devices to the next test."""
        await self.settled()
        records, dispatchers = self.service.parts.records, self.service.parts.lanes.dispatchers
        for session_id, kept in list(records.live_sessions.items()):
            await dispatchers[kept.device].feed(ev.SessionClosed(session_id, "the test"))
        for job_id, record in list(records.live_jobs.items()):
            with suppress(Conflict):  # it may end meanwhile
                await dispatchers[record.device].feed(ev.JobCancelled(job_id, "the test"))
        for dispatcher in dispatchers.values():
            for window in list(dispatcher.lane.reservations):
                await dispatcher.feed(ev.ReservationCancelled(window.id))
        for http in self._open:
            await http.aclose()
        self._open.clear()


def _pools(engine: Any) -> list[Any]:
    found = [value for value in vars(engine).values() if type(value).__name__ == "PreparerPool"]
    for value in vars(engine).values():
        if isinstance(value, dict):
            found += [v for v in value.values() if type(v).__name__ == "PreparerPool"]
    return found


Run = Callable[[Callable[[House], Coroutine[Any, Any, None]]], None]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, House]]:
    """One service for all of the tests: real workers are not started in no time."""
    clock = VirtualClock()
    settings = Settings(
        server=ServerSettings(data=tmp_path_factory.mktemp("edges"), preparers=1),  # all are stopped at times
        policy=PolicySettings(poll_hold=0, admission_hold=0.05),
        devices=DEVICES,
    )
    fatal: list[BaseException] = []
    with asyncio.Runner() as runner:
        service = Service(settings, clock=clock, on_fatal=fatal.append)
        runner.run(service.start())

        async def warm() -> House:
            house = House(service, clock)
            someone = await house.user("warm")
            for device in ("mock", "ibm"):  # loads the preparer too
                await someone.ended((await someone.submit(device))["id"])
            return house

        try:
            yield runner, runner.run(warm())
        finally:
            runner.run(service.stop())
    assert fatal == []


@pytest.fixture
def run(stage: tuple[asyncio.Runner, House]) -> Run:
    runner, house = stage

    def play(body: Callable[[House], Awaitable[None]]) -> None:
        async def whole() -> None:
            try:
                await body(house)
            finally:
                await house.tidy()

        runner.run(whole())

    return play


def refusal(reply: httpx.Response, code: int) -> str:
    """The message of a 4xx with this code."""
    assert 400 <= reply.status_code < 500, reply.text
    assert reply.json()["error"]["code"] == code, reply.text
    return str(reply.json()["error"]["message"])


# max_time


def test_r19_d2_the_details_say_the_system_limit_until_the_root_starts_and_then_its_limit(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        for more, limit in (({}, 10_000), ({"cost": 120}, 120)):
            session = await ann.open("slow")
            assert (await ann.session(session))["max_ttl"] == 8 * HOUR
            job = await ann.submit("slow", session_id=session, **more)
            await ann.running(job["id"])
            details = await ann.session(session)
            assert details["max_ttl"] == details["active_ttl"] == limit
            assert details["started_at"] is not None
            await ann.close(session)
            await ann.cancel(job["id"])

    run(body)


def test_r20_a_time_above_the_limit_is_refused_with_the_limit(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        reply = await ann.http.post("/sessions", json={"backend": "slow", "max_ttl": 28801})
        assert "28800" in reply.json()["error"]["message"]
        assert reply.status_code == 400
        session = await ann.open("slow", max_ttl=60)
        message = refusal(await ann.post_job("slow", session_id=session, cost=61), 1219)
        assert "61 s" in message
        assert "60 s" in message

    run(body)


# implicit sessions of the 2023 client


def test_an_implicit_session_has_the_id_of_its_root_job(run: Run) -> None:
    async def body(h: House) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        root = await ann.submit("mock", start_session=True, session_time=600)
        assert root["session_id"] == root["id"]
        session = root["id"]
        details = await ann.session(session)
        assert (details["id"], details["mode"], details["max_ttl"]) == (session, "dedicated", 600)
        await ann.ended(session)
        foreign = await bob.submit("mock")
        later = await ann.submit("mock", session_id=session)
        assert later["session_id"] == session
        assert (await ann.ended(later["id"]))["state"]["status"] == "Completed"
        assert await bob.status(foreign["id"]) == "Queued"  # R2
        assert await ann.state(session) == "active"
        await h.advance(600)
        assert await ann.state(session) == "closed"
        assert "max_time of 600 s" in (await ann.session(session))["state_reason"]

    run(body)


def test_an_implicit_session_and_its_root_job_have_steps_of_their_own_in_every_view(run: Run) -> None:
    """They have one id. The list is read from the store, the details are in memory until a restart."""

    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = (await ann.submit("mock", start_session=True, session_time=600))["id"]
        await ann.ended(session)
        await ann.close(session)
        steps = (await ann.session(session))["timestamps"]
        assert [step["status"] for step in steps] == ["open", "active", "closed"]
        (listed,) = (await ann.ask("GET", "/sessions"))["sessions"]
        assert listed["timestamps"] == steps
        who = h.service.accounts.principal(ann.user_id, None)
        told = [line.after for line in await h.service.jobs.history(who, session)]
        assert told == ["accepted", "queued", "running", "completed"]

    run(body)


def test_an_implicit_session_without_a_time_lasts_as_its_root_may_run(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        root = await ann.submit("mock", start_session=True)
        await ann.ended(root["id"])
        assert (await ann.session(root["id"]))["max_ttl"] == 10_000

    run(body)


def test_a_refused_implicit_session_leaves_nothing_behind(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        too_long = await ann.post_job("mock", start_session=True, session_time=28801)
        assert "28800" in refusal(too_long, 1219)
        session = await ann.open("mock")
        both = await ann.post_job("mock", start_session=True, session_id=session)
        assert both.status_code == 400
        await ann.close(session)
        states = [s["state"] for s in (await ann.ask("GET", "/sessions"))["sessions"]]
        assert set(states) == {"closed"}

    run(body)


# ageing out


def test_r26_a_session_never_used_ends_and_says_why(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("mock")
        await h.advance(1799.999)
        assert await ann.state(session) == "open"
        await h.advance(0.001)
        assert await ann.state(session) == "closed"
        details = await ann.session(session)
        assert details["accepting_jobs"] is False
        assert "not used within 1800 s" in details["state_reason"]
        assert [s["status"] for s in details["timestamps"]] == ["open", "closed"]
        assert "not used" in refusal(await ann.post_job("mock", session_id=session), 1217)

    run(body)


def test_r23_r27_r28_deactivated_and_resumed_on_the_wire(run: Run) -> None:
    async def body(h: House) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        session = await ann.open("mock", max_ttl=4000)
        await ann.ended((await ann.submit("mock", session_id=session))["id"])
        foreign = await bob.submit("mock")
        await h.advance(300)
        await bob.ended(foreign["id"])
        assert await ann.state(session) == "inactive"
        await ann.ended((await ann.submit("mock", session_id=session))["id"])
        details = await ann.session(session)
        assert details["state"] == "active"
        assert details["active_ttl"] == 3700  # R17
        steps = [s["status"] for s in details["timestamps"]]
        assert steps == ["open", "active", "inactive", "active"]

    run(body)


# ends


def test_r34_a_job_that_was_not_queued_yet_goes_on_as_a_plain_one(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("mock")
        await ann.ended((await ann.submit("mock", session_id=session))["id"])
        with h.preparation_stopped():
            late = await ann.submit("mock", session_id=session, tags=["late"])
            assert (await ann.job(late["id"]))["state"]["status"] == "Queued"
            await ann.close(session)
            assert await ann.state(session) == "closed"
            assert (await ann.job(late["id"]))["state"]["status"] == "Queued"
        assert (await ann.ended(late["id"]))["state"]["status"] == "Completed"

    run(body)


def test_r34_it_fails_at_its_start_when_the_cached_data_has_expired(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("mock", max_ttl=60)
        await ann.ended((await ann.submit("mock", session_id=session))["id"])
        with h.preparation_stopped():
            late = await ann.submit("mock", session_id=session, tags=["later"])
            await h.advance(60 + HOUR + 1)
        state = (await ann.ended(late["id"]))["state"]
        assert (state["status"], state["reason_code"]) == ("Failed", 1221)
        assert session in state["reason"]

    run(body)


def test_r33_r36_r37_a_hard_close_is_pending_until_the_running_job_ends(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("slow", max_ttl=2000)
        jobs = [(await ann.submit("slow", session_id=session, cost=100))["id"] for _ in range(3)]
        await ann.running(jobs[0])
        await ann.close(session)
        await ann.close(session)  # R38
        assert await ann.state(session) == "pending_closed"
        for job in jobs[1:]:
            state = (await ann.job(job))["state"]
            assert (state["status"], state["reason_code"]) == ("Failed", 1217)
            assert session in state["reason"]
            assert "closed by the user" in state["reason"]
        assert await ann.status(jobs[0]) == "Running"
        assert "1217" in str((await ann.post_job("slow", session_id=session)).json())  # R35
        await h.advance(100)  # its own limit ends it
        assert (await ann.job(jobs[0]))["status"] == "Cancelled - Ran too long"
        assert await ann.state(session) == "closed"

    run(body)


def test_r38a_draining_runs_what_is_there_and_ends_at_once(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("slow", max_ttl=2000)
        one, two = [(await ann.submit("slow", session_id=session, cost=100))["id"] for _ in range(2)]
        await ann.running(one)
        await ann.drain(session)
        await ann.drain(session)
        details = await ann.session(session)
        assert (details["state"], details["accepting_jobs"]) == ("active", False)
        refusal(await ann.post_job("slow", session_id=session), 1217)
        again = await ann.http.patch(f"/sessions/{session}", json={"accepting_jobs": True})
        assert again.status_code == 409
        await ann.cancel(two)
        await h.advance(100)
        assert await ann.state(session) == "closed"
        assert "its last job was done" in (await ann.session(session))["state_reason"]

    run(body)


def test_a_batch_locks_the_device_and_is_closed_hard(run: Run) -> None:
    async def body(h: House) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        batch = await ann.open("slow", mode="batch", max_ttl=3600)
        jobs = [(await ann.submit("slow", session_id=batch, cost=10))["id"] for _ in range(3)]
        foreign = (await bob.submit("slow", cost=10))["id"]
        await ann.running(jobs[0])
        await h.advance(10)
        await ann.running(jobs[1])
        assert await bob.status(foreign) == "Queued"
        assert (await ann.session(batch))["mode"] == "batch"
        await ann.close(batch)
        await h.advance(10)
        assert (await ann.ended(jobs[2]))["state"]["status"] == "Failed"
        await bob.running(foreign)

    run(body)


# the root


@pytest.mark.parametrize("when", ["running", "queued"])
def test_r40_cancelling_the_root_ends_the_session_and_every_message_names_it(run: Run, when: str) -> None:
    async def body(h: House) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        if when == "queued":
            await bob.running((await bob.submit("slow"))["id"])
        session = await ann.open("slow")
        root, other = [(await ann.submit("slow", session_id=session))["id"] for _ in range(2)]
        if when == "running":
            await ann.running(root)
        await ann.cancel(root)
        assert await ann.status(root) == "Cancelled"
        state = (await ann.ended(other))["state"]
        assert (state["status"], state["reason_code"]) == ("Failed", 1220)
        assert f"first job {root} was cancelled" in state["reason"]
        assert await ann.state(session) == "closed"
        assert root in (await ann.session(session))["state_reason"]
        assert root in refusal(await ann.post_job("slow", session_id=session), 1217)
        assert root in str((await ann.http.get(f"/jobs/{other}/results")).text)

    run(body)


@pytest.mark.parametrize("when", ["running", "queued"])
def test_r40_deleting_the_root_is_cancelling_it_for_its_session(run: Run, when: str) -> None:
    async def body(h: House) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        if when == "queued":
            await bob.running((await bob.submit("slow"))["id"])
        session = await ann.open("slow")
        root, other = [(await ann.submit("slow", session_id=session))["id"] for _ in range(2)]
        if when == "running":
            await ann.running(root)
            h.clock.advance(30)
        await ann.ask("DELETE", f"/jobs/{root}")
        assert (await ann.http.get(f"/jobs/{root}")).status_code == 404
        state = (await ann.ended(other))["state"]
        assert (state["status"], state["reason_code"]) == ("Failed", 1220)
        assert f"first job {root} was cancelled" in state["reason"]
        assert await ann.state(session) == "closed"
        assert root in (await ann.session(session))["state_reason"]
        assert root in refusal(await ann.post_job("slow", session_id=session), 1217)

    run(body)


def test_deleting_another_job_of_a_session_leaves_the_session(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("slow")
        root, second, third = [(await ann.submit("slow", session_id=session))["id"] for _ in range(3)]
        await ann.running(root)
        await ann.ask("DELETE", f"/jobs/{second}")
        assert await ann.state(session) == "active"
        await ann.cancel(third)
        assert await ann.status(root) == "Running"

    run(body)


def test_r41_a_root_that_could_not_be_prepared_counts_as_cancelled(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("mock")
        with h.preparation_stopped():
            root = await ann.submit("mock", session_id=session, params={"pubs": 3})
            other = await ann.submit("mock", session_id=session)
        assert (await ann.ended(root["id"]))["state"]["status"] == "Failed"
        state = (await ann.ended(other["id"]))["state"]
        assert (state["status"], state["reason_code"]) == ("Failed", 1220)
        assert f"first job {root['id']} failed before its data was prepared" in state["reason"]
        assert root["id"] in refusal(await ann.post_job("mock", session_id=session), 1217)

    run(body)


def test_r41_a_root_that_was_stopped_at_its_limit_leaves_a_usable_session(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("slow", max_ttl=2000)
        root = await ann.submit("slow", session_id=session, cost=10)
        await ann.running(root["id"])
        await h.advance(10)
        await ann.ended(root["id"])
        await ann.running((await ann.submit("slow", session_id=session))["id"])
        assert await ann.state(session) == "active"

    run(body)


# windows


def test_d12_at_a_windows_end_a_session_with_a_running_job_is_pending_inactive(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        start = h.clock.now() + 10
        booked = ev.ReservationBooked(f"r{uuid.uuid4().hex}", ann.project_id, ann.user_id, start, start + 900)
        await h.service.parts.lanes.dispatchers["slow"].feed(booked)
        await h.advance(10)
        session = await ann.open("slow", max_ttl=20_000)
        one, two = [(await ann.submit("slow", session_id=session, cost=1000))["id"] for _ in range(2)]
        await ann.running(one)
        await h.advance(900)
        assert await ann.state(session) == "pending_inactive"
        state = (await ann.ended(two))["state"]
        assert (state["status"], state["reason_code"]) == ("Failed", 1222)
        assert booked.reservation_id in state["reason"]
        operator = await h.service.sessions.find(
            replace(h.service.accounts.principal(ann.user_id, None), operator=True), 5
        )
        assert session in {view.id for view in operator}
        await h.advance(100)
        assert await ann.state(session) == "inactive"

    run(body)


# accounts


def test_d15_elapsed_time_is_the_sum_of_the_ledger_rows(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("slow", max_ttl=5000)
        for length in (10, 25):
            job = await ann.submit("slow", session_id=session, cost=length)
            await ann.running(job["id"])
            worker = h.worker("slow")
            await h.advance(length)
            ended = await ann.ended(job["id"])
            assert ended["usage"]["quantum_seconds"] == length
            await h.follows("slow", worker)  # nobody pays for a device that is not there
            await h.advance(40)  # held
        assert (await ann.session(session))["elapsed_time"] == 10 + 40 + 25 + 40  # the hold is under way
        await ann.close(session)
        rows = await h.rows(session)
        assert sorted(rows) == [("held", 40), ("held", 40), ("job", 10), ("job", 25)]
        assert (await ann.session(session))["elapsed_time"] == 115
        used = await ann.ask("GET", "/instances/usage")
        assert used["usage_consumed_seconds"] == 115

    run(body)


# profile ibm2026


def test_ibm2026_ttl_and_default_max_time(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        for mode, ttl in (("dedicated", 60), ("batch", 1)):
            session = await ann.open("ibm", mode=mode)
            assert (await ann.session(session))["interactive_ttl"] == ttl
            await ann.ended((await ann.submit("ibm", session_id=session, cost=30))["id"])
            assert (await ann.session(session))["max_ttl"] == 8 * HOUR
            await h.advance(ttl - 0.001)
            assert await ann.state(session) == "active"
            await h.advance(0.001)
            assert await ann.state(session) == "inactive"
            # only a dedicated session pays for its holds
            assert [k for k, _ in await h.rows(session) if k == "held"] == ["held"] * (mode == "dedicated")
            await ann.close(session)

    run(body)


def test_ibm2026_a_hard_close_cancels_queued_jobs(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("ibm-slow")
        one, two = [(await ann.submit("ibm-slow", session_id=session))["id"] for _ in range(2)]
        await ann.running(one)
        await ann.close(session)
        state = (await ann.ended(two))["state"]
        assert (state["status"], state["reason_code"]) == ("Cancelled", 1217)
        assert await ann.state(session) == "pending_closed"

    run(body)


def test_ibm2026_a_cancelled_root_leaves_the_session(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("ibm-slow")
        root, other = [(await ann.submit("ibm-slow", session_id=session))["id"] for _ in range(2)]
        await ann.running(root)
        await ann.cancel(root)
        await ann.running(other)
        assert await ann.state(session) == "active"

    run(body)


def test_ibm2026_a_session_whose_only_job_was_cancelled_while_queued_still_ages_out(run: Run) -> None:
    async def body(h: House) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        await bob.running((await bob.submit("ibm-slow"))["id"])
        session = await ann.open("ibm-slow")
        await ann.cancel((await ann.submit("ibm-slow", session_id=session))["id"])
        assert await ann.state(session) == "open"
        await h.advance(1800)
        assert await ann.state(session) == "closed"

    run(body)


def test_ibm2026_a_project_on_the_open_plan_has_no_sessions(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        project = h.service.accounts.project(ann.project_id)
        await h.service.accounts.put(projects=[replace(project, plan="open")])
        opened = await ann.http.post("/sessions", json={"backend": "ibm", "mode": "batch"})
        assert ann.project in refusal(opened, 1352)
        assert opened.status_code == 400
        refusal(await ann.post_job("ibm", start_session=True), 1352)
        await ann.ended((await ann.submit("ibm"))["id"])  # job mode is open
        await ann.open("mock")  # and so are devices whose profile says so

    run(body)


# what a user of the real client sees


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    devices: list[dict[str, Any]] = [
        {"name": "quick", "driver": "mock", "options": {"qubits": 5}, "interactive_ttl": 0.5},
        {"name": "busy", "driver": "mock", "options": {"qubits": 5, "seconds": 2.0}},
        {"name": "stuck", "driver": "mock", "options": {"qubits": 5, "seconds": 3600.0}},
    ]
    with Embedded(tmp_path_factory.mktemp("server"), devices=devices, wait="ready") as running:
        yield running


@pytest.fixture(scope="module")
def service(server: Embedded) -> Any:
    return server.service()


def circuit() -> Any:
    from qiskit import QuantumCircuit

    made = QuantumCircuit(2)
    made.measure_all()
    return made


def test_the_client_shows_a_closing_session_as_in_progress(service: Any) -> None:
    from qiskit_ibm_runtime import SamplerV2, Session

    session = Session(service.backend("busy"))
    assert session.status() == "Pending"
    one = SamplerV2(session).run([circuit()])
    two = SamplerV2(session).run([circuit()])
    while one.status() != "RUNNING":
        pass
    assert session.status() == "In progress, accepting new jobs"
    session.cancel()
    assert session.status() == "In progress, not accepting new jobs"
    assert session.details()["state"] == "pending_closed"
    assert two.status() == "ERROR"
    assert session.session_id in two.error_message()
    assert one.result() is not None  # R36
    assert session.status() == "Closed"
    assert session.usage() == pytest.approx(one.usage(), abs=0.01)


def test_r40_the_client_is_told_which_job_ended_the_session(service: Any) -> None:
    from qiskit_ibm_runtime import SamplerV2, Session
    from qiskit_ibm_runtime.exceptions import IBMRuntimeError, RuntimeJobFailureError

    session = Session(service.backend("stuck"))
    root = SamplerV2(session).run([circuit()])
    other = SamplerV2(session).run([circuit()])
    root.cancel()
    with pytest.raises(RuntimeJobFailureError, match=f"first job {root.job_id()} was cancelled"):
        other.result(timeout=30)
    with pytest.raises(IBMRuntimeError, match=root.job_id()):
        SamplerV2(session).run([circuit()])


def test_r23_the_client_sees_a_deactivated_session_as_pending_and_its_next_job_resumes_it(
    service: Any,
) -> None:
    from qiskit_ibm_runtime import SamplerV2, Session

    with Session(service.backend("quick"), max_time=600) as session:
        SamplerV2(session).run([circuit()]).result()
        while session.status() != "Pending":
            pass
        assert session.details()["state"] == "inactive"
        SamplerV2(session).run([circuit()]).result()
        assert session.status() == "In progress, accepting new jobs"
    assert session.status() == "Closed"
    details = session.details()
    assert details["usage_time"] == session.usage()


def test_usage_on_the_wire_is_the_ledgers(server: Embedded, service: Any) -> None:
    from qiskit_ibm_runtime import Batch, SamplerV2

    with Batch(service.backend("quick")) as batch:
        jobs = [SamplerV2(batch).run([circuit()]) for _ in range(3)]
        assert [job.result() is not None for job in jobs] == [True] * 3
    own = server.get(f"/sessions/{batch.session_id}")
    assert own["state"] == "closed"
    assert own["elapsed"] == pytest.approx(batch.usage())
    assert batch.usage() >= sum(job.usage() for job in jobs) - 1e-6
    assert json.dumps(own)
