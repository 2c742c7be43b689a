"""One user's preparations do not take the service from the others, and end with their jobs. Real store,
preparers and workers; the jobs are honest ones that take long to prepare."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from structlog.testing import capture_logs

from sojourn.execution.engine import UserPreparations
from sojourn.service.errors import Conflict, Refusal
from sojourn.service.jobs.admission import LATER
from tests.harness.programs import job_body, sampler_params
from tests.harness.service import ServiceHarness

RunService = Callable[..., None]
COUNT = 50_000
"""Observables, each for a point of its own: some ten seconds of preparation."""


@functools.cache
def _params() -> str:
    circuit = QuantumCircuit(5)
    circuit.rz(Parameter("a"), 0)
    encoded = sampler_params((circuit, None, 1))["pubs"][0][0]
    letters = itertools.cycle(itertools.product("IXYZ", repeat=5))
    next(letters)
    observables = [{"".join(label): 1.0 + i} for i, label in zip(range(COUNT), letters, strict=False)]
    return json.dumps({"pubs": [[encoded, observables, [[0.1]] * COUNT, 1.0]], "version": 2})


def slow(**more: Any) -> bytes:
    rest = json.dumps({"program_id": "estimator", "backend": "mock", **more})
    return f'{rest[:-1]}, "params": {_params()}}}'.encode()


def of(h: ServiceHarness, user: str) -> UserPreparations | None:
    return next((found for found in h.service.parts.engine.preparations() if found.user == user), None)


def count(h: ServiceHarness, *users: str) -> int:
    """Preparations of these users that are in work or wait for a preparer."""
    found = h.service.parts.engine.preparations()
    return sum(each.in_work + each.waiting for each in found if each.user in users)


async def until(met: Callable[[], bool]) -> None:
    """Bodies are read from the store, and wait for room, before they are among the preparations."""
    async with asyncio.timeout(30.0):
        while not met():  # noqa: ASYNC110 - nothing says when
            await asyncio.sleep(0.01)


def long(lines: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What the log says of eve's preparations."""
    return [line for line in lines if line["event"] == "preparation.long" and line["user"] == "eve"]


async def quick(h: ServiceHarness, who: Any) -> float:
    """Seconds from the submit of a small job to its end."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    job = await h.submit(who, job_body())
    assert (await h.ended(who, job.id)).state == "completed"
    return loop.time() - begun


@pytest.mark.parametrize("preparers", [1, 2])
def test_a_job_waits_for_one_preparation_of_another_user_and_no_more(
    run_service: RunService, preparers: int
) -> None:
    limit = 2.0

    async def body(h: ServiceHarness) -> None:
        eve, ada = await h.user("eve"), await h.user("ada")
        await quick(h, ada)
        with capture_logs() as lines:
            jobs = [(await h.submit(eve, slow(tags=[str(i)]))).id for i in range(6)]
            waits, taken = [], []
            for _ in range(4):
                waits.append(await quick(h, ada))
                taken.append(len(long(lines)))
            ended = await h.ended(eve, jobs[0])
        assert max(waits) < limit + 30.0, "one preparation at its limit, and its preparer is replaced"
        assert taken[0] <= preparers + 1, "those in work, and one more while her budget lasts"
        assert preparers > 1 or taken[-1] == taken[0], "later ones wait for none of hers"
        assert ended.state == "failed"
        assert f"took more than {limit:g} s, the limit for" in (ended.reason or "")
        assert long(lines)[0].items() >= {"device": "mock", "given_up": False}.items()
        for job in jobs[1:]:
            await h.service.jobs.delete(eve, job)

    server = {"preparers": preparers, "prepare_small_seconds": limit, "prepare_seconds_per_mb": 0.0}
    run_service(body, server={**server, "prepare_burst": 1.0, "prepare_rate": 0.0}, admission_hold=0.05)


def test_a_job_that_ends_for_whatever_reason_is_prepared_no_further(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        eve, ada = await h.user("eve"), await h.user("ada")
        boss = replace(await h.user("boss"), operator=True)
        await quick(h, ada)
        cy = await h.user("cy")
        jobs = [(await h.submit(eve, slow(tags=[str(i)]))).id for i in range(3)]
        theirs = await h.submit(cy, slow())
        await until(lambda: count(h, "eve", "cy") == 4)
        await h.service.jobs.cancel(eve, jobs[0])
        await h.service.jobs.delete(eve, jobs[1])
        await h.service.revocation.revoke("cy", cancel_jobs=True)
        assert (await h.ended(boss, theirs.id)).state == "cancelled"
        with pytest.raises(Refusal):  # while it is prepared
            await asyncio.gather(h.submit(boss, slow()), h.service.revocation.revoke("boss"))
        await quick(h, ada)
        await until(lambda: count(h, "eve") == 1)  # what is given up may take a second to go
        await until(lambda: of(h, "cy") is of(h, "boss") is None)
        assert all(line["given_up"] for line in long(lines)), "none was prepared to its end"
        await h.service.jobs.cancel(eve, jobs[2])

    server = {"preparers": 2, "prepare_small_seconds": 60.0}
    with capture_logs() as lines:
        run_service(body, server=server, admission_hold=0.05)


def test_r55_after_a_restart_accepted_jobs_are_prepared_again_in_turns(run_service: RunService) -> None:
    number = LATER + 3
    jobs: list[str] = []

    async def before(h: ServiceHarness) -> None:
        eve = await h.user("eve")
        await h.user("ada")
        jobs.extend([(await h.submit(eve, slow(tags=[str(i)]))).id for i in range(number)])

    async def after(h: ServiceHarness) -> None:
        accounts = h.service.accounts
        eve, ada = (accounts.principal(accounts.user_id(name), None) for name in ("eve", "ada"))
        await quick(h, ada)
        await until(lambda: count(h, "eve") == LATER)  # the others' inputs wait in the store
        for job in jobs:
            with suppress(Conflict):
                await h.service.jobs.cancel(eve, job)
        await h.settled()
        await quick(h, ada)
        await until(lambda: of(h, "eve") is None)  # what is given up may take a second to go

    server = {"preparers": 2, "prepare_small_seconds": 60.0}
    run_service(before, after, server=server, admission_hold=0.05)
