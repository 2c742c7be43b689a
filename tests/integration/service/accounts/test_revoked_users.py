"""Users and their rights: who is revoked is out at once, and what is under way for them makes no job."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from sojourn.service.errors import Conflict, NotAuthenticated
from sojourn.service.views import JobFilter
from sojourn.store import tables as t
from sojourn.store.blobs import PART
from tests.harness.programs import job_body
from tests.harness.service import ServiceHarness

RunService = Callable[..., None]


def test_the_keys_of_the_first_users_are_readable_by_their_owner_only(
    run_service: RunService, tmp_path: Path
) -> None:
    async def body(h: ServiceHarness) -> None:
        for name in ("operator", "local"):
            path = tmp_path / f"{name}.key"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            user_id = h.service.accounts.by_key(path.read_text().strip())
            assert user_id is not None
            assert h.service.accounts.principal(user_id, None).user == name

    run_service(body, body)


@pytest.mark.parametrize("more", [{}, {"start_session": True}])
def test_a_submit_that_is_being_checked_when_its_user_is_revoked_makes_no_job(
    run_service: RunService, more: dict[str, Any]
) -> None:
    """Nor does a session come of it, or of any other request that was on its way."""

    async def body(h: ServiceHarness) -> None:
        eve = await h.user("eve")
        counted = h.service.parts.records.open_jobs
        submit = asyncio.ensure_future(h.submit(eve, job_body(**more)))
        while not counted.count((eve.project_id,)):
            await asyncio.wait({submit}, timeout=0)
        left = await h.service.revocation.revoke("eve", cancel_jobs=True)
        assert left.jobs == ()
        with pytest.raises(NotAuthenticated):
            await submit
        with pytest.raises(NotAuthenticated):
            await h.service.sessions.open(eve, device="mock", mode="batch", max_time=None)
        await h.settled()
        assert (await h.service.jobs.find(eve, JobFilter())).count == 0
        assert await h.service.sessions.find(eve, 10) == []
        assert not counted.count((eve.project_id,))

    run_service(body)


def test_a_submit_whose_large_inputs_are_being_written_when_its_user_is_revoked_makes_no_job(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        eve = await h.user("eve")
        store = h.service.parts.store
        padded = job_body().replace(b'"params": {', b'"params": {' + b" " * (16 * PART), 1)
        submit = asyncio.ensure_future(h.submit(eve, padded))
        while not await store.read(lambda c: c.execute(select(t.blob_parts.c.number)).first()):
            await asyncio.wait({submit}, timeout=0)
        left = await h.service.revocation.revoke("eve", cancel_jobs=True)
        assert left.jobs == ()
        with pytest.raises(NotAuthenticated):
            await submit
        await h.settled()
        assert (await h.service.jobs.find(eve, JobFilter())).count == 0
        assert await store.read(lambda c: c.execute(select(t.blob_parts.c.number)).first()) is None

    run_service(body)


def test_a_revoked_user_is_nobody_at_once(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        key = await h.service.users.add("eve", "evil")
        user_id = h.service.accounts.by_key(key.api_key)
        assert user_id is not None
        await h.service.revocation.revoke("eve")
        assert h.service.accounts.by_key(key.api_key) is None
        with pytest.raises(NotAuthenticated):
            h.service.accounts.principal(user_id, None)

    run_service(body)


def test_the_last_operator_cannot_be_revoked(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        with pytest.raises(Conflict, match="last operator"):
            await h.service.revocation.revoke("operator")
        await h.service.users.add("root", "operators", operator=True)
        await h.service.revocation.revoke("operator")
        with pytest.raises(Conflict, match="last operator"):
            await h.service.revocation.revoke("root")

    run_service(body)


def test_an_operators_rights_are_given_or_refused_and_never_forgotten(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        await h.user("ann")
        with pytest.raises(Conflict, match="not an operator"):
            await h.service.users.add("ann", "more", operator=True)
        assert [u.projects for u in h.service.users.all() if u.name == "ann"] == [("anns",)]

    run_service(body)
