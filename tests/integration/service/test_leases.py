"""Leases: who may use a device that another scheduler gives out. The real store and workers, virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sojourn import codes
from sojourn.config import DeviceSettings
from sojourn.service.devices.leases import KEPT
from sojourn.service.errors import BadRequest, Conflict, Forbidden, NotFound
from sojourn.service.views import Principal
from sojourn.store import devices as stored
from sojourn.store.devices import LeaseState
from tests.harness.programs import job_body
from tests.harness.service import QUICK, ServiceHarness
from tests.integration.service.operations import HOUR, operator, state

RunService = Callable[..., None]
LAB = DeviceSettings(
    name="lab",
    driver="mock",
    options={"qubits": 5, "seconds": 3600.0},
    external_queue="sbatch --licenses=lab",
)
DEVICES = (LAB, QUICK)


def caller(h: ServiceHarness, name: str) -> Principal:
    return h.service.accounts.principal(h.service.accounts.user_id(name), None)


async def refused(h: ServiceHarness, who: Principal) -> Conflict:
    with pytest.raises(Conflict) as job:
        await h.submit(who, job_body("lab"))
    with pytest.raises(Conflict) as session:
        await h.service.sessions.open(who, device="lab", mode="dedicated", max_time=None)
    assert str(job.value) == str(session.value)
    return job.value


def test_only_the_user_who_holds_the_lease_is_admitted(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        why = await refused(h, ann)
        assert why.code == codes.NOT_LEASED
        assert "sbatch --licenses=lab" in why.message
        taken = await h.service.leases.take(
            operator(h), device="lab", name="slurm-1", user="ann", seconds=HOUR
        )
        assert (taken.state, taken.user, taken.until) == ("held", "ann", h.clock.now() + HOUR)
        job = await h.submit(ann, job_body("lab"))
        session = await h.service.sessions.open(ann, device="lab", mode="dedicated", max_time=None)
        in_session = await h.submit(ann, job_body("lab", session_id=session.id))
        assert {await state(h, ann, each) for each in (job, in_session)} <= {"queued", "running"}
        await refused(h, bob)
        assert (await h.ended(bob, (await h.submit(bob, job_body("mock"))).id)).state == "completed"

    run_service(body, devices=DEVICES)


def test_what_its_holder_has_left_ends_with_the_lease(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, op = await h.user("ann"), operator(h)
        await h.service.leases.take(op, device="lab", name="slurm-1", user="ann")
        running = await h.submit(ann, job_body("lab"))
        session = await h.service.sessions.open(ann, device="lab", mode="batch", max_time=None)
        queued = await h.submit(ann, job_body("lab", session_id=session.id))
        elsewhere = await h.submit(ann, job_body("mock"))
        await h.running(ann, running.id)
        ended = await h.service.leases.end(op, "lab", "slurm-1")
        assert (ended.state, ended.closed, ended.cancelled) == ("ended", 1, 1)
        assert "operator" in (ended.reason or "")
        for job, how in ((running, "cancelled"), (queued, "failed")):  # R33: with its session
            over = await h.ended(ann, job.id)
            assert over.state == how
            assert "the end of lease slurm-1" in (over.reason or "")
        assert (await h.service.sessions.get(ann, session.id)).state == "closed"
        assert (await h.ended(ann, elsewhere.id)).state == "completed"
        await refused(h, ann)
        again = await h.service.leases.end(op, "lab", "slurm-1")
        assert (again.state, again.closed, again.cancelled) == ("ended", 0, 0)

    run_service(body, devices=DEVICES)


def test_a_lease_that_is_not_ended_ends_by_itself(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, op = await h.user("ann"), operator(h)
        await h.service.leases.take(op, device="lab", name="slurm-1", user="ann", seconds=HOUR)
        job = await h.submit(ann, job_body("lab"))
        h.clock.advance(HOUR - 1)
        assert await state(h, ann, job) == "running"
        h.clock.advance(1)
        assert (await h.ended(ann, job.id)).state == "cancelled"
        await refused(h, ann)
        (lease,) = await h.service.leases.find(ann)
        assert "3600 s were over" in (lease.reason or "")

    run_service(body, devices=DEVICES)


def test_a_step_of_the_clock_makes_a_lease_neither_longer_nor_shorter(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, op = await h.user("ann"), operator(h)
        await h.service.leases.take(op, device="lab", name="slurm-1", user="ann", seconds=HOUR)
        h.clock.step(5 * HOUR)
        await h.settled()
        job = await h.submit(ann, job_body("lab"))
        h.clock.advance(HOUR - 1)
        assert await state(h, ann, job) == "running"
        h.clock.advance(1)
        assert (await h.ended(ann, job.id)).state == "cancelled"

    run_service(body, devices=DEVICES)


def test_a_device_has_one_holder_and_a_repeated_request_is_the_same_lease(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        await h.user("ann")
        await h.user("bob")
        op, leases = operator(h), h.service.leases
        first = await leases.take(op, device="lab", name="slurm-1", user="ann", seconds=HOUR)
        assert await leases.take(op, device="lab", name="slurm-1", user="ann", seconds=HOUR) == first
        for name, user in (("slurm-2", "bob"), ("slurm-2", "ann"), ("slurm-1", "bob")):
            with pytest.raises(Conflict, match="leased to ann") as taken:
                await leases.take(op, device="lab", name=name, user=user)
            assert taken.value.code == codes.LEASED
        await leases.end(op, "lab", "slurm-1")
        h.clock.advance(1)
        with pytest.raises(Conflict, match="another name"):
            await leases.take(op, device="lab", name="slurm-1", user="ann")
        await leases.take(op, device="lab", name="slurm-2", user="bob")
        assert [lease.name for lease in await leases.find(op)] == ["slurm-2", "slurm-1"]
        assert [lease.name for lease in await leases.find(caller(h, "ann"))] == ["slurm-1"]
        await leases.end(op, "lab", "slurm-2")
        h.clock.advance(KEPT + 1)
        await leases.take(op, device="lab", name="slurm-1", user="ann")

    run_service(body, devices=DEVICES)


def test_a_lease_may_be_for_one_project_only(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, op = await h.user("ann"), operator(h)
        with pytest.raises(BadRequest, match="not in project"):
            await h.service.leases.take(op, device="lab", name="a", user="ann", project=op.project)
        await h.service.leases.take(op, device="lab", name="b", user="ann", project=ann.project)
        await h.submit(ann, job_body("lab"))

    run_service(body, devices=DEVICES)


def test_leases_are_operators_and_for_devices_without_a_queue_of_their_own(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, op, leases = await h.user("ann"), operator(h), h.service.leases
        with pytest.raises(Forbidden):
            await leases.take(ann, device="lab", name="x", user="ann")
        with pytest.raises(Forbidden):
            await leases.end(ann, "lab", "x")
        with pytest.raises(Conflict, match="external_queue"):
            await leases.take(op, device="mock", name="x", user="ann")
        with pytest.raises(NotFound, match="no user 'zoe'"):
            await leases.take(op, device="lab", name="x", user="zoe")
        with pytest.raises(NotFound, match="no lease x"):
            await leases.end(op, "lab", "x")

    run_service(body, devices=DEVICES)


def test_a_lease_outlives_a_restart_and_ends_in_time(run_service: RunService) -> None:
    jobs: list[str] = []

    async def before(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.service.leases.take(operator(h), device="lab", name="slurm-1", user="ann", seconds=HOUR)
        jobs.append((await h.submit(ann, job_body("lab"))).id)
        h.clock.advance(HOUR / 2)

    async def between(h: ServiceHarness) -> None:
        jobs.append((await h.submit(caller(h, "ann"), job_body("lab"))).id)
        h.clock.advance(HOUR / 2 - 1)
        (lease,) = await h.service.leases.find(caller(h, "ann"))
        assert lease.state == "held"

    async def after(h: ServiceHarness) -> None:
        h.clock.advance(1)
        for job in jobs:
            assert (await h.ended(caller(h, "ann"), job)).state == "cancelled"
        await refused(h, caller(h, "ann"))

    run_service(before, between, after, devices=DEVICES)


def test_an_end_that_a_crash_cut_short_is_carried_out_at_the_next_start(run_service: RunService) -> None:
    jobs: list[str] = []

    async def before(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.service.leases.take(operator(h), device="lab", name="slurm-1", user="ann")
        jobs.append((await h.submit(ann, job_body("lab"))).id)
        store = h.service.parts.store
        held = await store.read(stored.lease, "lab", "slurm-1")
        assert held is not None  # what is on record when the end was committed, and nothing after it
        await store.write(stored.put_lease, replace(held, state=LeaseState.ENDING, ended_at=h.clock.now()))

    async def after(h: ServiceHarness) -> None:
        ann = caller(h, "ann")
        assert (await h.ended(ann, jobs[0])).state == "cancelled"
        (lease,) = await h.service.leases.find(ann)
        assert lease.state == "ended"
        await refused(h, ann)

    run_service(before, after, devices=DEVICES)


def test_a_device_that_gets_its_own_queue_back_keeps_its_jobs(run_service: RunService) -> None:
    jobs: list[str] = []

    async def before(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.service.leases.take(operator(h), device="lab", name="slurm-1", user="ann")
        jobs.append((await h.submit(ann, job_body("lab"))).id)

    async def after(h: ServiceHarness) -> None:
        ann = caller(h, "ann")
        assert (await h.service.jobs.get(ann, jobs[0])).state in ("queued", "running")
        (lease,) = await h.service.leases.find(ann)
        assert lease.state == "ended"
        await h.submit(await h.user("bob"), job_body("lab"))

    def lab(external: str | None) -> tuple[DeviceSettings, ...]:
        return (LAB.model_copy(update={"external_queue": external}), QUICK)

    run_service(before, devices=lab("Slurm"))
    run_service(after, devices=lab(None))
