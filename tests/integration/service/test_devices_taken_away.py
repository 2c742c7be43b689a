"""Jobs and sessions of a device that is no longer configured (R55)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sojourn.service.errors import Conflict, NotFound
from sojourn.service.views import JobFilter
from tests.harness.programs import job_body
from tests.harness.service import QUICK, SLOW, ServiceHarness

RunService = Callable[..., None]


def test_r55_a_device_that_is_no_longer_configured_keeps_its_jobs(
    run_service: RunService, tmp_path: Path
) -> None:
    from tests.harness.service import QUICK, SLOW

    made: dict[str, Any] = {}

    async def before(h: ServiceHarness) -> None:
        made["ann"] = await h.user("ann")
        made["job"] = (await h.submit(made["ann"], job_body("slow"))).id

    async def without(h: ServiceHarness) -> None:
        assert (await h.service.jobs.get(made["ann"], made["job"])).state in ("queued", "running")
        with pytest.raises(NotFound):
            await h.submit(made["ann"], job_body("slow"))

    async def again(h: ServiceHarness) -> None:
        await h.running(made["ann"], made["job"])

    run_service(before, devices=(QUICK, SLOW))
    run_service(without, devices=(QUICK,))
    run_service(again, devices=(QUICK, SLOW))


def test_r55_what_has_ended_on_a_device_that_is_no_longer_configured_can_be_looked_at_and_deleted(
    run_service: RunService,
) -> None:
    made: dict[str, Any] = {}

    async def before(h: ServiceHarness) -> None:
        ann = made["ann"] = await h.user("ann")
        session = await h.service.sessions.open(ann, device="slow", mode="dedicated", max_time=None)
        job = await h.submit(ann, job_body("slow", session_id=session.id))
        await h.running(ann, job.id)
        await h.service.jobs.cancel(ann, job.id)
        await h.service.sessions.close(ann, session.id)
        await h.settled()
        made["job"], made["session"] = job.id, session.id

    async def without(h: ServiceHarness) -> None:
        ann, job, session = made["ann"], made["job"], made["session"]
        why = await h.service.jobs.why(ann, job)
        assert (why.device, why.state, why.position, why.depth) == ("slow", "cancelled", None, 0)
        assert why.reasons == ()
        for look in (h.service.jobs.get, h.service.jobs.poll):
            found = await look(ann, job)
            assert (found.device, found.state, found.position) == ("slow", "cancelled", None)
        assert [view.id for view in (await h.service.jobs.find(ann, JobFilter())).jobs] == [job]
        inputs = await h.service.jobs.params(ann, job)
        assert isinstance(inputs, bytes)
        assert b"pubs" in inputs
        assert await h.service.jobs.result(ann, job) == b""
        assert await h.service.jobs.logs(ann, job) == ""
        assert (await h.service.jobs.history(ann, job))[-1].after == "cancelled"
        with pytest.raises(Conflict, match="cancelled already"):
            await h.service.jobs.cancel(ann, job)
        await h.service.jobs.set_tags(ann, job, ["old"])
        for end in (h.service.sessions.drain, h.service.sessions.close):  # R38
            await end(ann, session)
        assert (await h.service.sessions.get(ann, session)).state == "closed"
        assert [view.id for view in await h.service.sessions.find(ann, 10)] == [session]
        await h.service.jobs.delete(ann, job)
        with pytest.raises(NotFound):
            await h.service.jobs.why(ann, job)

    run_service(before, devices=(QUICK, SLOW))
    run_service(without, devices=(QUICK,))


def test_sessions_of_a_device_that_was_taken_away_can_be_seen_and_closed(run_service: RunService) -> None:
    keys: list[str] = []
    ids: list[str] = []

    async def before(h: ServiceHarness) -> None:
        keys.append((await h.service.users.add("ann", "anns")).api_key)
        ann = h.service.accounts.principal(h.service.accounts.by_key(keys[0]) or "", None)
        for _ in range(2):
            session = await h.service.sessions.open(ann, device="slow", mode="dedicated", max_time=None)
            ids.append(session.id)
        await h.service.sessions.close(ann, ids[0])

    async def after(h: ServiceHarness) -> None:
        ann = h.service.accounts.principal(h.service.accounts.by_key(keys[0]) or "", None)
        for _ in range(2):
            assert {s.id for s in await h.service.sessions.find(ann, 10)} == set(ids)
            for session_id in ids:
                await h.service.sessions.drain(ann, session_id)
                await h.service.sessions.close(ann, session_id)
                assert (await h.service.sessions.get(ann, session_id)).state == "closed"

    run_service(before, devices=(QUICK, SLOW))
    run_service(after, after, devices=(QUICK,))


def test_a_job_of_a_device_that_was_taken_away_is_told_so(run_service: RunService) -> None:
    kept: list[str] = []

    async def before(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.running(ann, (await h.submit(ann, job_body("slow"))).id)
        kept.append((await h.submit(ann, job_body("slow"))).id)

    async def after(h: ServiceHarness) -> None:
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        why = await h.service.jobs.why(ann, kept[0])
        assert "not in the configuration any more. Cancel the job" in why.reasons[0].sentence

    run_service(before, devices=(QUICK, SLOW))
    run_service(after, devices=(QUICK,))
