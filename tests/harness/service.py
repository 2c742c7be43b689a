"""A real service with a real store and real workers, in virtual time."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sojourn.api.ibm.submit import submit
from sojourn.config import DeviceSettings, PolicySettings, ServerSettings, Settings
from sojourn.execution.local.engine import LocalEngine
from sojourn.service.requests.exchange import Call
from sojourn.service.service import Service
from sojourn.service.timing.clock import VirtualClock
from sojourn.service.views import JobView, Principal


class ServiceHarness:
    """The service and two users, with the few words that the tests need."""

    def __init__(self, service: Service, clock: VirtualClock) -> None:
        self.service = service
        self.clock = clock

    async def user(self, name: str) -> Principal:
        key = await self.service.users.add(name, f"{name}s")
        user_id = self.service.accounts.by_key(key.api_key)
        assert user_id is not None
        return self.service.accounts.principal(user_id, None)

    async def submit(self, who: Principal, body: bytes, **more: Any) -> JobView:
        key = more.pop("idempotency_key", uuid.uuid4().hex)  # these tests mean every submit
        return await submit(self.service, who, body, call=Call(), idempotency_key=key, **more)

    @property
    def engine(self) -> LocalEngine:
        """For tests that look into it."""
        engine = self.service.parts.engine
        assert isinstance(engine, LocalEngine)
        return engine

    async def result(self, who: Principal, job_id: str, *, take: bool = True) -> bytes:
        """A result that is small enough to come whole."""
        found = await self.service.jobs.result(who, job_id, take=take)
        assert isinstance(found, bytes)
        return found

    async def ended(self, who: Principal, job_id: str) -> JobView:
        """Wait for the real worker to be done with it."""
        record = await self.service.lookup.job(who, job_id)
        while not record.job.state.final:
            waiter = asyncio.get_running_loop().create_future()
            record.waiters.add(waiter)
            await waiter
        return await self.service.jobs.get(who, job_id)

    async def running(self, who: Principal, job_id: str) -> None:
        record = await self.service.lookup.job(who, job_id)
        while record.job.state != "running":
            waiter = asyncio.get_running_loop().create_future()
            record.waiters.add(waiter)
            await waiter

    async def settled(self) -> None:
        """Everything that was decided is committed."""
        await self.service.parts.store.write(lambda _: None)


def settings(
    data: Path,
    *devices: DeviceSettings,
    sections: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    **policy: Any,
) -> Settings:
    """`sections` are further ones of the configuration, as in the file; `server` more keys of that one."""
    return Settings(
        **(sections or {}),
        server=ServerSettings(data=data, **(server or {})),
        policy=PolicySettings(**policy),
        devices=devices or (DeviceSettings(name="mock", driver="mock", options={"qubits": 5}),),
    )


SLOW = DeviceSettings(name="slow", driver="mock", options={"qubits": 5, "seconds": 3600.0})
QUICK = DeviceSettings(name="mock", driver="mock", options={"qubits": 5})

Body = Callable[[ServiceHarness], Awaitable[None]]


@pytest.fixture
def run_service(tmp_path: Path) -> Callable[..., None]:
    """Run a test's coroutine in a running service; several bodies are separated by restarts.

    `broken` is the error that makes the service end; none is expected unless it is given.
    """

    def run(
        *bodies: Body,
        devices: tuple[DeviceSettings, ...] = (QUICK, SLOW),
        sections: dict[str, Any] | None = None,
        server: dict[str, Any] | None = None,
        broken: type[BaseException] | None = None,
        **policy: Any,
    ) -> None:
        clock = VirtualClock()
        policy.setdefault("admission_hold", 60.0)  # a submit is answered when its job was looked at

        async def one(body: Body) -> None:
            fatal: list[BaseException] = []
            told = settings(tmp_path, *devices, sections=sections, server=server, **policy)
            service = Service(told, clock=clock, on_fatal=fatal.append)
            async with service:
                await body(ServiceHarness(service, clock))
            assert [type(error) for error in fatal] == ([broken] if broken else [])

        for body in bodies:
            asyncio.run(one(body))

    return run
