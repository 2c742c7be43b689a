"""The application in virtual time, one for all tests of a module."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from sojourn.config import PolicySettings, ServerSettings, Settings
from sojourn.service.service import Service
from sojourn.service.timing.clock import VirtualClock
from tests.integration.api.ibm.virtual import DEVICES, House, Run


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
