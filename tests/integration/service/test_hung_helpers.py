"""What a helper's hang costs is a system failure (R55): the job is run again, or fails with the system's code
where the profile says so, and nobody is charged."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import psutil

from sojourn import codes
from sojourn.execution.engine import WorkerPhase
from sojourn.service.views import JobView, Principal
from tests.harness.programs import job_body
from tests.harness.service import SLOW, ServiceHarness

RunService = Callable[..., None]
STRICT = {"profiles": {"strict": {"base": "ibm2023", "rerun_lost": False}}}


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - the engine reports to one listener, which is the service
        await asyncio.sleep(0)


async def stop_at_work(h: ServiceHarness, who: Principal) -> JobView:
    """A job whose worker is stopped after it has run for 100 s."""
    job = await h.submit(who, job_body("slow"))
    await h.running(who, job.id)
    await until(lambda: h.service.parts.engine.state("slow").phase is WorkerPhase.BUSY)
    h.clock.advance(100)
    os.kill(h.service.parts.engine.state("slow").pid or 0, signal.SIGSTOP)
    return job


def test_r55_a_job_whose_worker_was_stopped_is_run_again_and_charged_to_nobody(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await stop_at_work(h, ann)
        record = await h.service.lookup.job(ann, job.id)
        while record.job.attempt < 2:
            waiter = asyncio.get_running_loop().create_future()
            record.waiters.add(waiter)
            await waiter
            if record.job.state == "queued":
                found = (await h.service.ready())["devices"]["slow"]
                assert found == {
                    "phase": "starting",
                    "reason": "its worker was stopped for 2 s, and is replaced",
                }
        assert h.service.usage.window(ann).consumed_seconds == 0
        await h.service.jobs.cancel(ann, job.id)
        await h.settled()
        assert h.service.usage.window(ann).consumed_seconds == 0, "the second attempt has just begun"

    run_service(body, devices=(SLOW,))


def test_r55_where_lost_jobs_are_not_run_again_it_fails_with_the_systems_code_and_is_free(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.ended(ann, (await stop_at_work(h, ann)).id)
        assert (job.state, job.reason_code) == ("failed", codes.SYSTEM_FAILURE)
        assert "was stopped for 2 s" in (job.reason or "")
        assert h.service.usage.window(ann).consumed_seconds == 0

    run_service(body, devices=(SLOW,), sections=STRICT, profile="strict")


def test_without_a_preparer_the_service_is_not_ready_and_says_why(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.submit(ann, job_body("slow"))
        engine = h.engine
        pids = engine._pools[None].pids
        fork_server = psutil.Process(pids[0]).ppid()  # a second passes before the next one has its imports
        for pid in (*pids, fork_server):  # what is stopped is missed at the same look
            os.kill(pid, signal.SIGSTOP)
        await until(lambda: not engine.preparers()["up"])
        assert not (await h.service.ready())["ready"]
        await until(lambda: engine.preparers()["reason"] is not None)
        assert "was stopped for 2 s" in engine.preparers()["reason"]
        await until(lambda: engine.preparers()["up"] == len(pids))
        assert (await h.service.ready())["preparers"]["reason"] is None

    run_service(body, devices=(SLOW,))
