"""What the service promises, with the real store and real workers, in virtual time."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from sojourn.config import DeviceSettings
from sojourn.service.errors import BadRequest, Conflict, NotFound, SessionClosed
from sojourn.service.views import JobFilter
from sojourn.store import jobs as stored_jobs
from sojourn.store.blobs import PART
from sojourn.store.database.access import READERS
from tests.harness.programs import job_body
from tests.harness.service import ServiceHarness

RunService = Callable[..., None]


def test_a_job_runs_and_its_result_comes_back(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body(tags=["x"], cost=60))
        done = await h.ended(ann, job.id)
        assert done.state == "completed"
        assert (done.tags, done.cost, done.num_circuits) == (("x",), 60, 1)
        assert b"PrimitiveResult" in await h.result(ann, job.id)
        assert [line.after for line in await h.service.jobs.history(ann, job.id)] == [
            "accepted",
            "queued",
            "running",
            "completed",
        ]

    run_service(body)


def test_a_refused_job_leaves_nothing_behind(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        for bad in (
            b"",
            b"{",
            b"[]",
            b"\xff\xfe",
            job_body(cost=-1),
            job_body(params={"pubs": 3}),
            job_body(x=1),
        ):
            with pytest.raises(BadRequest) as refusal:
                await h.submit(ann, bad)
            assert refusal.value.message
        with pytest.raises(NotFound, match="nowhere"):
            await h.submit(ann, job_body("nowhere"))
        assert (await h.service.jobs.find(ann, JobFilter())).count == 0

    run_service(body)


def test_another_users_job_and_session_do_not_exist(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        job = await h.submit(ann, job_body())
        session = await h.service.sessions.open(ann, device="mock", mode="dedicated", max_time=None)
        for call in (
            h.service.jobs.get,
            h.service.jobs.poll,
            h.service.jobs.result,
            h.service.jobs.params,
            h.service.jobs.cancel,
        ):
            with pytest.raises(NotFound):
                await call(bob, job.id)
        for of_session in (h.service.sessions.get, h.service.sessions.close, h.service.sessions.drain):
            with pytest.raises(NotFound):
                await of_session(bob, session.id)
        with pytest.raises(NotFound):
            await h.submit(bob, job_body(session_id=session.id))

    run_service(body)


def test_a_session_keeps_the_device_until_its_ttl_is_over(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        session = await h.service.sessions.open(ann, device="mock", mode="dedicated", max_time=None)
        first = await h.submit(ann, job_body(session_id=session.id))
        await h.ended(ann, first.id)
        other = await h.submit(bob, job_body())
        h.clock.advance(299)
        await h.settled()
        assert (await h.service.jobs.get(bob, other.id)).state == "queued"
        second = await h.submit(ann, job_body(session_id=session.id))
        await h.ended(ann, second.id)
        h.clock.advance(300)
        assert (await h.ended(bob, other.id)).state == "completed"
        assert (await h.service.sessions.get(ann, session.id)).state == "inactive"

    run_service(body)


def test_a_closed_session_refuses_and_says_why(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        session = await h.service.sessions.open(ann, device="mock", mode="batch", max_time=None)
        await h.service.sessions.close(ann, session.id)
        await h.service.sessions.close(ann, session.id)
        with pytest.raises(SessionClosed, match="closed by the user") as refusal:
            await h.submit(ann, job_body(session_id=session.id))
        assert refusal.value.code == 1217

    run_service(body)


def test_a_session_of_another_device_is_refused(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        session = await h.service.sessions.open(ann, device="slow", mode="dedicated", max_time=None)
        with pytest.raises(BadRequest, match="slow"):
            await h.submit(ann, job_body("mock", session_id=session.id))

    run_service(body)


def test_cancelling_a_running_job_frees_the_device(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        one = await h.submit(ann, job_body("slow"))
        two = await h.submit(ann, job_body("slow"))
        await h.running(ann, one.id)
        await h.service.jobs.cancel(ann, one.id)
        assert (await h.service.jobs.get(ann, one.id)).state == "cancelled"
        with pytest.raises(Conflict):
            await h.service.jobs.cancel(ann, one.id)
        await h.running(ann, two.id)

    run_service(body)


def test_cancelling_a_job_whose_inputs_are_being_read_frees_the_device(run_service: RunService) -> None:
    """Its run is not with the worker yet, so that there is nothing to kill: it must not begin afterwards."""

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        first = await h.submit(ann, job_body("slow"))
        params = json.loads(job_body("slow"))["params"] | {"options": {"default_shots": 77}}
        one = await h.submit(ann, job_body("slow", params=params))
        two = await h.submit(ann, job_body("slow"))
        await h.running(ann, first.id)
        records, store = h.service.parts.records, h.service.parts.store
        digest = records.live_jobs[one.id].meta.params_hash
        assert digest is not None
        records.blobs.drop(digest)  # as large inputs are, which are not kept in memory
        go = threading.Event()
        busy = [asyncio.ensure_future(store.read(lambda _: go.wait())) for _ in range(READERS)]
        try:
            await h.service.jobs.cancel(ann, first.id)
            await h.running(ann, one.id)
            await h.service.jobs.cancel(ann, one.id)
            await h.settled()
        finally:
            go.set()
        await asyncio.gather(*busy)
        async with asyncio.timeout(30):
            await h.running(ann, two.id)

    run_service(body)


def test_r52_a_job_that_runs_too_long_is_cancelled_with_1305(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body("slow", cost=60))
        await h.running(ann, job.id)
        h.clock.advance(60)
        done = await h.ended(ann, job.id)
        assert (done.state, done.reason_code, done.quantum_seconds) == ("cancelled", 1305, 60.0)

    run_service(body)


def test_usage_reaches_the_other_devices(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        used = await h.submit(ann, job_body("slow", cost=500))
        await h.running(ann, used.id)
        h.clock.advance(500)
        await h.ended(ann, used.id)
        assert h.service.usage.window(ann).consumed_seconds == 500.0
        assert h.service.usage.window(bob).consumed_seconds == 0.0
        lane = h.service.parts.lanes.dispatchers["mock"].lane
        assert lane.used(ann.project_id) == 500.0

    run_service(body)


def test_r54_an_idempotency_key_is_exact(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        one = await h.submit(ann, job_body(), idempotency_key="k1")
        await h.ended(ann, one.id)
        h.clock.advance(10_000)
        assert (await h.submit(ann, job_body(), idempotency_key="k1")).id == one.id
        assert (await h.submit(ann, job_body(), idempotency_key="k2")).id != one.id
        with pytest.raises(Conflict, match="k1"):
            await h.submit(ann, job_body(tags=["other"]), idempotency_key="k1")

    run_service(body)


def test_r55_what_was_acknowledged_survives_a_restart(run_service: RunService) -> None:
    made: dict[str, Any] = {}

    async def before(h: ServiceHarness) -> None:
        ann = made["ann"] = await h.user("ann")
        made["session"] = await h.service.sessions.open(ann, device="slow", mode="batch", max_time=5000)
        made["jobs"] = [
            (await h.submit(ann, job_body("slow", session_id=made["session"].id, tags=["t"]))).id
            for _ in range(3)
        ]
        await h.running(ann, made["jobs"][0])

    async def after(h: ServiceHarness) -> None:
        ann = made["ann"]
        views = [await h.service.jobs.get(ann, job) for job in made["jobs"]]
        assert [v.tags for v in views] == [("t",)] * 3
        await h.running(ann, made["jobs"][0])
        assert (await h.service.jobs.get(ann, made["jobs"][0])).attempt == 2
        session = await h.service.sessions.get(ann, made["session"].id)
        assert (session.state, session.max_time) == ("active", 5000)
        h.clock.advance(5000)
        await h.settled()
        assert (await h.service.sessions.get(ann, session.id)).state == "pending_closed"
        assert [(await h.service.jobs.get(ann, j)).state for j in made["jobs"]] == [
            "running",
            "failed",
            "failed",
        ]

    run_service(before, after)


def test_a_jobs_position_is_the_same_in_every_view(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        boss = h.service.accounts.principal(h.service.accounts.user_id("operator"), None)
        first = await h.submit(ann, job_body("slow"))
        await h.running(ann, first.id)
        waiting = [await h.submit(who, job_body("slow")) for who in (ann, ann, bob, ann)]
        everybodys = await h.service.jobs.find(boss, JobFilter(positions=True))
        listed = {job.id: job.position for job in everybodys.jobs}
        assert listed[first.id] is None
        assert sorted(listed[job.id] or 0 for job in waiting) == [1, 2, 3, 4]
        for job in waiting:
            assert (await h.service.jobs.get(boss, job.id)).position == listed[job.id]
            assert (await h.service.jobs.why(boss, job.id)).position == listed[job.id]
        page = await h.service.jobs.find(bob, JobFilter(limit=1, positions=True))
        assert [job.position for job in page.jobs] == [listed[waiting[2].id]]

    run_service(body)


def test_r56_a_private_jobs_inputs_are_never_given_and_its_result_once(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body(private=True))
        await h.ended(ann, job.id)
        with pytest.raises(NotFound, match="private"):
            await h.service.jobs.params(ann, job.id)
        looked = await h.result(ann, job.id, take=False)
        assert b"PrimitiveResult" in looked
        answers = await asyncio.gather(*(h.service.jobs.result(ann, job.id) for _ in range(4)))
        assert Counter(answers) == {b"": 3, looked: 1}
        assert await h.service.jobs.result(ann, job.id, take=False) == b""
        stored = await h.service.parts.store.read(stored_jobs.get, job.id)
        assert stored is not None
        assert (stored.meta.params_hash, stored.meta.result_hash) == (None, None)
        (why,) = (await h.service.jobs.get(ann, job.id)).warnings
        assert "given once (R56)" in why

    async def after_a_restart(h: ServiceHarness) -> None:
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        (job,) = (await h.service.jobs.find(ann, JobFilter())).jobs
        assert await h.service.jobs.result(ann, job.id) == b""
        assert "given once (R56)" in " ".join(job.warnings)

    run_service(body, after_a_restart)


def test_a_waiting_job_is_told_why_with_names(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        one = await h.submit(ann, job_body("slow"))
        await h.running(ann, one.id)
        two = await h.submit(bob, job_body("slow"))
        found = await h.service.jobs.why(bob, two.id)
        assert (found.position, found.depth) == (1, 1)
        assert [r.kind for r in found.reasons] == ["Running"]
        assert found.reasons[0].sentence == "a job of project anns is running"
        assert found.reasons[0].facts["job_id"] is None, "it is ann's to know which"
        own = await h.service.jobs.why(ann, (await h.submit(ann, job_body("slow"))).id)
        assert own.reasons[0].sentence == f"job {one.id} of project anns is running"
        (operator,) = [user for user in h.service.users.all() if user.operator]
        boss = h.service.accounts.principal(h.service.accounts.user_id(operator.name), None)
        assert (await h.service.jobs.why(boss, two.id)).reasons[0].facts["job_id"] == one.id
        assert (h.service.devices.get("slow", ann).running, h.service.devices.get("slow", boss).running) == (
            one.id,
            one.id,
        )
        seen = h.service.devices.get("slow", bob)
        assert (seen.running, seen.busy) == (None, True)
        assert (await h.service.jobs.why(ann, one.id)).reasons == ()

    run_service(body)


def test_a_dry_run_wakes_the_companion_of_its_device(run_service: Callable[..., None]) -> None:
    """The client sends it to `mock_<rest of the name>`; that worker sleeps until then."""
    device = DeviceSettings(name="ideal_five", driver="aer", options={"qubits": 5})

    async def body(home: ServiceHarness) -> None:
        ada = await home.user("bea" if home.service.accounts.has("ada") else "ada")
        job = await home.submit(ada, job_body("mock_five"))
        done = await home.ended(ada, job.id)
        assert (done.state, done.reason) == ("completed", None)

    run_service(body, body, devices=(device,))


def test_a_dry_run_in_a_session_is_refused_with_what_to_do(run_service: Callable[..., None]) -> None:
    device = DeviceSettings(name="ideal_five", driver="aer", options={"qubits": 5})

    async def body(home: ServiceHarness) -> None:
        ada = await home.user("ada")
        session = await home.service.sessions.open(ada, device="ideal_five", mode="dedicated", max_time=None)
        with pytest.raises(BadRequest, match="dry run stands outside of sessions"):
            await home.submit(ada, job_body("mock_five", session_id=session.id))

    run_service(body, devices=(device,))


def test_r54_one_idempotency_key_makes_one_job_however_many_bodies_come_at_once(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        same = [h.submit(ann, job_body(), idempotency_key="k") for _ in range(3)]
        other = [h.submit(ann, job_body(tags=[str(i)]), idempotency_key="k") for i in range(3)]
        answers = await asyncio.gather(*same, *other, return_exceptions=True)
        assert len({answer.id for answer in answers[:3] if not isinstance(answer, BaseException)}) == 1
        assert all(isinstance(answer, Conflict) for answer in answers[3:]), answers
        assert (await h.service.jobs.find(ann, JobFilter())).count == 1

    run_service(body)


def test_r54_a_key_whose_submit_was_refused_can_be_used_again(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        with pytest.raises(NotFound):
            await h.submit(ann, job_body("nowhere"), idempotency_key="k")
        assert (await h.submit(ann, job_body(), idempotency_key="k")).device == "mock"

    run_service(body)


@pytest.mark.parametrize(
    ("more", "numbers"),
    [
        ({"session_time": 60, "cost": 61}, "61 s; .* 60 s"),
        ({"cost": 500}, "500 s; .* 400 s"),  # R19: no time of its own, so at most the system limit
        ({"cost": 10801}, "10801 s; .* 10800 s"),
        ({"session_time": 401}, "401 s; .* 400 s"),
        ({"session_time": 0}, "session_time is 0 s"),
        ({"session_time": -5}, "session_time is -5 s"),
        ({"session_time": 10**400}, "session_time is 1000"),
    ],
)
def test_r20_a_refused_first_job_leaves_no_session(
    run_service: RunService, more: dict[str, Any], numbers: str
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        with pytest.raises(BadRequest, match=numbers) as refusal:
            await h.submit(ann, job_body(start_session=True, **more))
        assert refusal.value.code == 1219
        await h.settled()
        assert await h.service.sessions.find(ann, 10) == []

    run_service(body, max_time=400)


def test_a_time_for_a_session_that_the_job_does_not_start_is_refused(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        opened = await h.service.sessions.open(ann, device="mock", mode="dedicated", max_time=None)
        for more in ({}, {"start_session": False}, {"session_id": opened.id}):
            with pytest.raises(BadRequest, match="session_time is 600 s, but the job starts no session"):
                await h.submit(ann, job_body("mock", session_time=600, **more))
        await h.submit(ann, job_body("mock", session_time=None))

    run_service(body)


def test_a_lane_that_breaks_ends_the_service(run_service: RunService) -> None:
    """Half an event may be in its memory then, and nothing of it in the store."""

    async def body(h: ServiceHarness) -> None:
        with pytest.raises(KeyError):
            h.service.parts.lanes.dispatchers["mock"].feed("no event")  # type: ignore[arg-type]
        assert (await h.service.ready())["ready"] is False

    run_service(body, broken=KeyError)


def test_r53_a_job_that_is_cancelled_while_its_inputs_are_read_is_not_run(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        store, lane = h.service.parts.store, h.service.parts.lanes.dispatchers["slow"].lane
        first = await h.submit(ann, job_body("slow"))
        await h.running(ann, first.id)
        padded = job_body("slow").replace(b'"params": {', b'"params": {' + b" " * (40 * PART), 1)
        second = await h.submit(ann, padded)
        while (await h.service.jobs.get(ann, second.id)).state != "queued":
            await h.settled()
        read = threading.Event()
        blocked = [asyncio.ensure_future(store.read(lambda _: read.wait())) for _ in range(READERS)]
        await h.service.jobs.cancel(ann, first.id)
        await h.running(ann, second.id)
        await h.service.jobs.cancel(ann, second.id)
        read.set()
        await asyncio.gather(*blocked)
        async with asyncio.timeout(20):
            while lane.run is not None:
                await h.settled()

    run_service(body)
