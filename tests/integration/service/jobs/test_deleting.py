"""Deleting a job, and what is asked of it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from sojourn.service.errors import NotFound
from sojourn.store import jobs as stored_jobs
from tests.harness.programs import job_body
from tests.harness.service import ServiceHarness

RunService = Callable[..., None]


def test_a_job_that_is_deleted_meanwhile_is_not_found(run_service: RunService) -> None:
    """Whole kind: each request that has seen the job, and comes to the store after its deletion."""

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        service, jobs = h.service, []
        for private in (False, True):
            view = await h.submit(ann, job_body("mock", private=private))
            await h.ended(ann, view.id)
            await h.settled()
            jobs.append(view.id)
        first = await asyncio.gather(
            service.jobs.delete(ann, jobs[0]),
            service.jobs.set_tags(ann, jobs[0], ["a"]),
            return_exceptions=True,
        )
        assert [type(answer) for answer in first] == [type(None), NotFound]

        view = await h.submit(ann, job_body("mock"))
        await h.ended(ann, view.id)
        await h.settled()
        for job_id in (view.id, jobs[1]):
            meta = (await service.lookup.job(ann, job_id)).meta
            for digest in (meta.params_hash, meta.result_hash, meta.logs_hash):
                if digest is not None:
                    service.parts.records.blobs.drop(digest)
            await service.parts.store.write(stored_jobs.remove, job_id)
            for look in (service.jobs.params, service.jobs.result, partial(service.jobs.result, take=False)):
                with pytest.raises(NotFound):
                    await look(ann, job_id)
            with pytest.raises(NotFound):
                await service.jobs.set_tags(ann, job_id, [])

    run_service(body)


def test_a_job_that_is_deleted_while_its_end_is_committed_is_gone(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        for _ in range(5):
            view = await h.submit(ann, job_body("mock"))
            lane = h.service.parts.lanes.dispatchers["mock"].lane
            while view.id in lane.jobs:
                turn = asyncio.get_running_loop().create_future()
                asyncio.get_running_loop().call_soon(turn.set_result, None)
                await turn
            assert view.id in h.service.parts.records.live_jobs, "its end is decided and not yet on record"
            await h.service.jobs.delete(ann, view.id)
            await h.settled()
            with pytest.raises(NotFound):
                await h.service.jobs.get(ann, view.id)

    run_service(body)


def test_deleting_a_job_forgets_it_and_its_bytes(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        job = await h.submit(ann, job_body())
        await h.ended(ann, job.id)
        await h.service.jobs.delete(ann, job.id)
        with pytest.raises(NotFound):
            await h.service.jobs.get(ann, job.id)

    run_service(body)


def test_a_deleted_jobs_body_can_be_submitted_again(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        first = await h.submit(ann, job_body(), idempotency_key="k")
        await h.ended(ann, first.id)
        await h.service.jobs.delete(ann, first.id)
        assert (await h.submit(ann, job_body(), idempotency_key="k")).id != first.id

    run_service(body)
