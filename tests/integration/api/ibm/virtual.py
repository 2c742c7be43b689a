"""The whole application in virtual time, with real workers, and its callers over HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
from sqlalchemy import select

from sojourn.api.app import create_app
from sojourn.config import DeviceSettings
from sojourn.core import events as ev
from sojourn.execution.engine import WorkerPhase
from sojourn.service.errors import Conflict
from sojourn.service.service import Service
from sojourn.service.timing.clock import VirtualClock
from sojourn.store import tables as t
from tests.harness.programs import job_body

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


def refusal(reply: httpx.Response, code: int) -> str:
    """The message of a 4xx with this code."""
    assert 400 <= reply.status_code < 500, reply.text
    assert reply.json()["error"]["code"] == code, reply.text
    return str(reply.json()["error"]["message"])
