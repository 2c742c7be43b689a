"""R54 in a real service, over restarts: which equal submits get the job of an earlier one.

The whole kind: every way in which a reply may end (answered, lost, still open, ended by a restart or by a
crash of the machine) before an equal submit arrives. Sockets are in tests/integration/api.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sojourn.api.ibm.submit import submit
from sojourn.service.errors import BadRequest
from sojourn.service.requests.exchange import Call, Exchange
from sojourn.service.views import JobFilter, Principal
from tests.harness.programs import job_body
from tests.harness.service import ServiceHarness

RunService = Callable[..., None]


async def send(h: ServiceHarness, who: Principal, exchange: Exchange | None = None, **more: Any) -> str:
    """The id in the reply. The exchange stays open when it is given, else the reply is received."""
    sent = exchange or Exchange(h.clock.now())
    job = await submit(h.service, who, job_body(**more), call=Call(exchange=sent))
    if exchange is None:
        sent.answer()
    return job.id


async def lose(h: ServiceHarness, who: Principal) -> str:
    exchange = Exchange(h.clock.now())
    job_id = await send(h, who, exchange)
    exchange.lose(h.clock.now())
    return job_id


async def count(h: ServiceHarness, who: Principal) -> int:
    return (await h.service.jobs.find(who, JobFilter())).count


def test_r54_a_submit_whose_reply_was_lost_makes_no_second_job(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        lost = await lose(h, ann)
        assert await send(h, ann) == lost
        assert await send(h, ann) != lost  # that reply was received
        assert await count(h, ann) == 2

    run_service(body)


def test_r54_equal_submits_without_a_loss_are_jobs_of_their_own(run_service: RunService) -> None:
    """One after the other, at the same time, and from callers of whose replies nothing is known."""

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        made = [await send(h, ann) for _ in range(3)]
        made += await asyncio.gather(*(send(h, ann) for _ in range(3)))
        unknown = [await submit(h.service, ann, job_body(), call=Call()) for _ in range(2)]
        assert len({*made, *(job.id for job in unknown)}) == 8

    run_service(body)


def test_r54_a_repetition_joins_a_submit_that_is_still_under_way(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        exchange = Exchange(h.clock.now())
        task = asyncio.ensure_future(send(h, ann, exchange))
        await asyncio.sleep(0)
        task.cancel()  # as the server does with a request that nobody waits for
        exchange.lose(h.clock.now())
        await send(h, ann)
        assert await count(h, ann) == 1

    run_service(body)


def test_r54_a_repetition_of_a_submit_that_is_refused_is_refused_too(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        exchange = Exchange(h.clock.now())
        first = asyncio.ensure_future(send(h, ann, exchange, backend="mock", tags=[""]))
        await asyncio.sleep(0)
        exchange.lose(h.clock.now())
        for attempt in (first, send(h, ann, backend="mock", tags=[""])):
            with pytest.raises(BadRequest, match="tag"):
                await attempt
        assert await count(h, ann) == 0

    run_service(body)


def test_a_job_that_its_owner_has_seen_is_not_a_repetitions(run_service: RunService) -> None:
    """An operator who looks at everybody's jobs does not count."""

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        boss = h.service.accounts.principal(h.service.accounts.user_id("operator"), None)
        lost = await lose(h, ann)
        await h.service.jobs.find(boss, JobFilter())
        await h.service.jobs.why(boss, lost)
        assert await send(h, ann) == lost
        again = await lose(h, ann)
        assert again != lost
        await h.service.jobs.find(ann, JobFilter())
        assert await send(h, ann) != again

    run_service(body)


def test_a_deleted_job_is_not_given_to_anybody(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        lost = await lose(h, ann)
        record = await h.service.lookup.job(ann, lost)
        while not record.job.state.final:
            waiter = asyncio.get_running_loop().create_future()
            record.waiters.add(waiter)
            await waiter
        await h.service.jobs.delete(ann, lost)
        assert await send(h, ann) != lost

    run_service(body)


Lives = Callable[[ServiceHarness, Principal, dict[str, str]], Any]


def over_a_restart(
    run_service: RunService, before: Lives, after: Lives, between: Callable[[ServiceHarness], None]
) -> None:
    users: list[Principal] = []
    made: dict[str, str] = {}

    async def first(h: ServiceHarness) -> None:
        users.append(await h.user("ann"))
        await before(h, users[0], made)
        between(h)

    async def second(h: ServiceHarness) -> None:
        h.clock.advance(2)
        await after(h, users[0], made)

    run_service(first, second)


def nothing(_: ServiceHarness) -> None:
    pass


def test_r54_after_a_restart_only_a_submit_without_a_reply_is_repeated(run_service: RunService) -> None:
    """A loop of equal submits goes on after the restart, and a client repeats the one that was lost."""

    async def before(h: ServiceHarness, ann: Principal, made: dict[str, str]) -> None:
        made["answered"] = await send(h, ann)
        made["lost"] = await lose(h, ann)
        made["answered last"] = await send(h, ann, tags=["other"])

    async def after(h: ServiceHarness, ann: Principal, made: dict[str, str]) -> None:
        assert await send(h, ann) == made["lost"]
        assert await send(h, ann) not in made.values()
        assert await send(h, ann, tags=["other"]) not in made.values()

    over_a_restart(run_service, before, after, nothing)


def test_r54_a_reply_that_was_being_written_at_the_restart_is_lost(run_service: RunService) -> None:
    async def before(h: ServiceHarness, ann: Principal, made: dict[str, str]) -> None:
        made["open"] = await send(h, ann, Exchange(h.clock.now()))

    async def after(h: ServiceHarness, ann: Principal, made: dict[str, str]) -> None:
        assert await send(h, ann) == made["open"]
        assert await send(h, ann) != made["open"]

    over_a_restart(run_service, before, after, nothing)


def test_r54_after_a_second_restart_the_first_life_is_still_known(run_service: RunService) -> None:
    users: list[Principal] = []
    made: list[str] = []

    async def first(h: ServiceHarness) -> None:
        users.append(await h.user("ann"))
        made.append(await send(h, users[0]))
        made.append(await lose(h, users[0]))

    async def second(h: ServiceHarness) -> None:
        pass

    async def third(h: ServiceHarness) -> None:
        assert await send(h, users[0]) == made[1]
        assert await send(h, users[0]) not in made

    run_service(first, second, third)


def test_r54_after_a_crash_of_the_machine_every_submit_counts_as_answered(run_service: RunService) -> None:
    """What was noted last may be missing then: a second job is better than a lost one."""

    async def before(h: ServiceHarness, ann: Principal, made: dict[str, str]) -> None:
        made["open"] = await send(h, ann, Exchange(h.clock.now()))

    async def after(h: ServiceHarness, ann: Principal, made: dict[str, str]) -> None:
        assert await send(h, ann) != made["open"]

    def crash(h: ServiceHarness) -> None:
        path = h.service.settings.server.data / "answered"
        path.write_text("another-boot " + path.read_text().partition(" ")[2])

    over_a_restart(run_service, before, after, crash)


def test_a_submit_with_a_key_is_no_candidate_after_a_restart(run_service: RunService) -> None:
    async def before(h: ServiceHarness, ann: Principal, made: dict[str, str]) -> None:
        made["keyed"] = (await h.submit(ann, job_body(), idempotency_key="k")).id

    async def after(h: ServiceHarness, ann: Principal, made: dict[str, str]) -> None:
        assert await send(h, ann) != made["keyed"]
        assert (await h.submit(ann, job_body(), idempotency_key="k")).id == made["keyed"]

    over_a_restart(run_service, before, after, nothing)
