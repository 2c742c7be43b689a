"""D23: who pays when a job's worker dies, how often one user's jobs may do it, who sees it. Real workers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import psutil
import pytest

from sojourn import codes
from sojourn.config import DeviceSettings
from sojourn.service.errors import BadRequest, TooMany
from sojourn.service.projects.usage import UsageQuery
from sojourn.service.views import JobView, Principal
from tests.harness.programs import job_body, sampler_params
from tests.harness.service import SLOW, ServiceHarness

RunService = Callable[..., None]


async def runs(h: ServiceHarness, who: Principal, job_id: str, attempt: int) -> None:
    record = await h.service.lookup.job(who, job_id)
    while (record.job.state, record.job.attempt) != ("running", attempt):
        waiter = asyncio.get_running_loop().create_future()
        record.waiters.add(waiter)
        await waiter


async def dies(h: ServiceHarness, who: Principal, job_id: str, attempt: int, after: float) -> None:
    """The worker dies `after` seconds (virtual) of this attempt."""
    await runs(h, who, job_id, attempt)
    engine = h.service.parts.engine
    while engine.state("slow").phase != "busy":
        await h.settled()
    h.clock.advance(after)
    os.kill(engine.state("slow").pid or 0, signal.SIGKILL)


async def killed(h: ServiceHarness, who: Principal) -> JobView:
    job = await h.submit(who, job_body("slow"))
    await dies(h, who, job.id, 1, 30.0)
    await dies(h, who, job.id, 2, 12.0)
    return await h.ended(who, job.id)


async def crashes_of(h: ServiceHarness, name: str) -> int:
    return next(user.crashes for user in h.service.users.all() if user.name == name)


def test_d23_a_job_whose_worker_dies_again_is_charged_for_both_runs(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await killed(h, ann)
        assert (job.state, job.reason_code, job.attempt) == ("failed", codes.WORKER_KILLED, 2)
        assert job.quantum_seconds == 42.0
        assert "SIGKILL: it was killed, most often because the machine ran out of memory" in (
            job.reason or ""
        )
        assert "in 2 runs of this job" in (job.reason or "")
        report = await h.service.usage.report(ann, UsageQuery(by=("job",)))
        assert [(row.keys, row.seconds, row.rows) for row in report.rows] == [((job.id,), 42.0, 2)]
        assert h.service.usage.window(ann).consumed_seconds == 42.0  # in the fair share of every device
        lane = h.service.parts.lanes.dispatchers["mock"].lane
        assert lane.used(ann.project_id) == 42.0

    async def after_a_restart(h: ServiceHarness) -> None:
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        assert h.service.usage.window(ann).consumed_seconds == 42.0
        assert await crashes_of(h, "ann") == 2

    run_service(body, after_a_restart)


def test_d23_a_first_death_counts_after_a_restart_and_the_lost_run_between_does_not(
    run_service: RunService,
) -> None:
    made: list[str] = []

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body("slow"))
        made.append(job.id)
        await dies(h, ann, job.id, 1, 30.0)
        await runs(h, ann, job.id, 2)
        h.clock.advance(100.0)

    async def after_a_restart(h: ServiceHarness) -> None:
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        assert await crashes_of(h, "ann") == 1
        await dies(h, ann, made[0], 3, 5.0)
        job = await h.ended(ann, made[0])
        assert (job.reason_code, job.quantum_seconds) == (codes.WORKER_KILLED, 35.0)

    run_service(body, after_a_restart)


def test_a_user_whose_jobs_keep_killing_workers_is_refused_for_a_while_and_nobody_else_is(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        await killed(h, ann)
        with pytest.raises(TooMany) as refusal:
            await h.submit(ann, job_body("mock"))
        assert "2 times within an hour; the limit is 2 (crashes_per_hour)" in refusal.value.message
        assert refusal.value.retry_after == pytest.approx(3600.0 - 12.0)  # until the first is an hour ago
        assert (await crashes_of(h, "ann"), await crashes_of(h, "bob")) == (2, 0)
        await h.ended(bob, (await h.submit(bob, job_body("mock"))).id)

    async def after_a_restart(h: ServiceHarness) -> None:
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        with pytest.raises(TooMany):
            await h.submit(ann, job_body("mock"))
        h.clock.advance(3600.0 - 12.0)
        await h.ended(ann, (await h.submit(ann, job_body("mock"))).id)
        assert await crashes_of(h, "ann") == 1

    run_service(body, after_a_restart, sections={"limits": {"crashes_per_hour": 2}})


def test_d24_deaths_count_for_an_hour_however_the_clock_is_set(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await killed(h, ann)
        h.clock.step(4 * 3600.0)
        with pytest.raises(TooMany) as refusal:
            await h.submit(ann, job_body("mock"))
        assert refusal.value.retry_after == pytest.approx(3600.0 - 12.0)

    async def after_a_restart(h: ServiceHarness) -> None:
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        with pytest.raises(TooMany):
            await h.submit(ann, job_body("mock"))
        h.clock.advance(3600.0 - 12.0)
        await h.ended(ann, (await h.submit(ann, job_body("mock"))).id)

    run_service(body, after_a_restart, sections={"limits": {"crashes_per_hour": 2}})


def test_a_death_with_the_fork_server_is_nobodys(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body("slow"))
        await h.running(ann, job.id)
        engine = h.engine
        while engine.state("slow").phase != "busy":
            await h.settled()
        forkserver = psutil.Process(engine.state("slow").pid).ppid()
        assert forkserver != os.getpid(), "nothing is forked here"
        os.kill(forkserver, signal.SIGKILL)
        await runs(h, ann, job.id, 2)
        assert (await h.service.lookup.job(ann, job.id)).job.crashes == 0
        assert await crashes_of(h, "ann") == 0
        await h.service.jobs.cancel(ann, job.id)

    run_service(body)


def test_a_job_that_cannot_fit_is_refused_at_submit_and_a_small_one_runs(run_service: RunService) -> None:
    """The memory of the machine, or of its control group, is what a run may take; here it is set."""
    big = DeviceSettings(
        name="big", driver="aer", options={"qubits": 30, "method": "statevector"}, memory_mb=2560
    )

    def text(qubits: int) -> str:
        return (
            f'OPENQASM 3.0; include "stdgates.inc"; qubit[{qubits}] q; bit[{qubits}] c; h q; c = measure q;'
        )

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        with pytest.raises(BadRequest, match=r"at least 8192 MB .* may take 2560 MB \(memory_mb"):
            await h.submit(ann, job_body("big", params=sampler_params([text(29), None, 1])))
        small = await h.submit(ann, job_body("big", params=sampler_params([text(2)])))
        assert (await h.ended(ann, small.id)).state == "completed"

    run_service(body, devices=(big, SLOW))
