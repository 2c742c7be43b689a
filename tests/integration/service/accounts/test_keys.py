"""API keys, revoked users and memberships with the real store, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from sojourn.config import AccessSettings
from sojourn.service.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotAuthenticated,
    NotFound,
    WrongCredentials,
)
from sojourn.service.views import JobFilter, Principal
from sojourn.store import tables as t
from tests.harness.programs import job_body
from tests.harness.service import ServiceHarness

RunService = Callable[..., None]
HOUR = 3600.0
DAY = 24 * HOUR


def operator(h: ServiceHarness) -> Principal:
    accounts = h.service.accounts
    return accounts.principal(accounts.user_id("operator"), None)


def by(h: ServiceHarness, api_key: str, crn: str | None = None) -> Principal:
    """The caller as a request with this key makes it."""
    key = h.service.accounts.keys.of_secret(api_key)
    return h.service.accounts.principal(key.user, crn, key)


def works(h: ServiceHarness, api_key: str) -> bool:
    return h.service.accounts.by_key(api_key) is not None


def test_each_of_several_keys_works_and_is_ended_alone(run_service: RunService) -> None:
    kept: list[str] = []

    async def body(h: ServiceHarness) -> None:
        first = (await h.service.users.add("ann", "lab")).api_key
        ann = by(h, first)
        laptop = await h.service.users.add_key(ann, "ann", name="laptop")
        other = await h.service.users.add_key(ann, "ann")
        listed = h.service.users.keys(ann, "ann")
        assert [(k.name, k.project, k.expires) for k in listed] == [
            ("key-1", "lab", None),
            ("laptop", None, None),
            ("key-2", None, None),
        ]
        assert [k.present for k in listed] == [True, False, False]
        assert all(secret not in repr(listed) for secret in (first, laptop.api_key, other.api_key))
        await h.service.users.revoke_key(by(h, laptop.api_key), "ann", "key-1")
        assert [works(h, key) for key in (first, laptop.api_key, other.api_key)] == [False, True, True]
        kept.extend((first, laptop.api_key))

    async def after(h: ServiceHarness) -> None:
        assert [works(h, key) for key in kept] == [False, True]

    run_service(body, after)


def test_a_key_ends_at_its_expiry_to_the_second_and_says_so(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = by(h, (await h.service.users.add("ann", "lab")).api_key)
        ends = h.clock.now() + DAY
        made = await h.service.users.add_key(ann, "ann", name="ci", expires=ends)
        h.clock.advance(DAY - 1)
        assert works(h, made.api_key)
        h.clock.advance(1)
        with pytest.raises(WrongCredentials, match="expired at 2025"):
            by(h, made.api_key)
        assert [k.expired for k in h.service.users.keys(ann, "ann")] == [False, True]
        again = await h.service.users.add_key(ann, "ann", name="ci")  # the name is free again
        assert [k.name for k in h.service.users.keys(ann, "ann")] == ["key-1", "ci"]
        assert works(h, again.api_key)
        with pytest.raises(BadRequest, match="is past"):
            await h.service.users.add_key(ann, "ann", expires=h.clock.now())

    run_service(body)


def test_a_key_that_expires_makes_none_that_outlives_it(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = by(h, (await h.service.users.add("ann", "lab")).api_key)
        ends = h.clock.now() + DAY
        short = by(h, (await h.service.users.add_key(ann, "ann", name="ci", expires=ends)).api_key)
        with pytest.raises(BadRequest, match="after the one that makes it"):
            await h.service.users.add_key(short, "ann", expires=ends + 1)
        with pytest.raises(BadRequest, match="after the one that makes it"):
            await h.service.users.rotate_key(short, "ann", "key-1", expires=ends + 1)
        assert (await h.service.users.add_key(short, "ann")).key.expires == ends
        assert (await h.service.users.rotate_key(short, "ann", "key-1")).key.expires == ends

    run_service(body)


@pytest.mark.parametrize("keep", [0.0, 600.0])
def test_a_rotated_key_has_its_name_and_the_old_one_works_as_long_as_was_said(
    run_service: RunService, keep: float
) -> None:
    kept: list[str] = []

    async def body(h: ServiceHarness) -> None:
        old = (await h.service.users.add("ann", "lab")).api_key
        made = await h.service.users.rotate_key(by(h, old), "ann", "key-1", keep=keep)
        assert (made.key.name, made.key.project) == ("key-1", "lab")
        assert works(h, made.api_key)
        assert works(h, old) is bool(keep)
        kept.extend((old, made.api_key))

    async def after(h: ServiceHarness) -> None:
        old, new = kept
        assert [works(h, old), works(h, new)] == [bool(keep), True]
        if keep:
            again = await h.service.users.rotate_key(by(h, new), "ann", "key-1", keep=keep)
            names = [k.name for k in h.service.users.keys(by(h, again.api_key), "ann")]
            assert sorted(names) == ["key-1", "key-1-old", "key-1-old-2"]
            assert works(h, old)  # a second rotation within the hour breaks no program of the first
        h.clock.advance(keep)
        assert [works(h, old), works(h, new)] == [False, not keep]

    run_service(body, after)


def test_names_and_numbers_of_keys_are_bounded_and_refused_with_the_limit(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = by(h, (await h.service.users.add("ann", "lab")).api_key)
        with pytest.raises(Conflict, match="has a key 'key-1'"):
            await h.service.users.add_key(ann, "ann", name="key-1")
        for wrong in ("", "a b", "-x", "x" * 65, "a/b"):
            with pytest.raises(BadRequest, match="not the name of a key"):
                await h.service.users.add_key(ann, "ann", name=wrong)
        with pytest.raises(BadRequest, match="not in a project 'chem'; projects: lab"):
            await h.service.users.add_key(ann, "ann", project="chem")
        with pytest.raises(NotFound, match=r"no key 'x'.* Keys: key-1"):
            await h.service.users.revoke_key(ann, "ann", "x")
        with pytest.raises(BadRequest, match="0 to 2592000 s"):
            await h.service.users.rotate_key(ann, "ann", "key-1", keep=31 * DAY)
        await h.service.users.add_key(ann, "ann")
        await h.service.users.add_key(ann, "ann", expires=h.clock.now() + 1)
        with pytest.raises(BadRequest, match=r"3 API keys; the limit is 3 \(access.keys_per_user\)"):
            await h.service.users.add_key(ann, "ann")
        h.clock.advance(1)  # one that has expired does not count
        assert (await h.service.users.add_key(ann, "ann")).key.name == "key-3"

    run_service(body, sections={"access": AccessSettings(keys_per_user=3)})


def test_keys_are_managed_by_their_user_and_by_operators_and_by_no_admin_of_a_project(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = by(h, (await h.service.users.add("ann", "lab")).api_key)
        ben = replace(by(h, (await h.service.users.add("ben", "lab")).api_key), admin=True)
        for name in ("ann", "nobody"):  # whether there is one is not told
            with pytest.raises(Forbidden, match="keys of 'ben' only"):
                h.service.users.keys(ben, name)
            with pytest.raises(Forbidden):
                await h.service.users.add_key(ben, name)
            with pytest.raises(Forbidden):
                await h.service.users.revoke_key(ben, name, "key-1")
            with pytest.raises(Forbidden):
                await h.service.users.rotate_key(ben, name, "key-1")
        made = await h.service.users.add_key(operator(h), "ann", name="spare")
        assert [k.name for k in h.service.users.keys(ann, "ann")] == ["key-1", "spare"]
        assert by(h, made.api_key).user == "ann"

    run_service(body)


def test_a_key_acts_in_the_project_that_it_was_made_for_unless_the_request_says_another(
    run_service: RunService,
) -> None:
    kept: list[str] = []

    async def body(h: ServiceHarness) -> None:
        chem = await h.service.users.add("lea", "chem")
        phys = await h.service.users.add("lea", "phys")
        kept.extend((chem.api_key, phys.api_key, chem.instance))

    async def after(h: ServiceHarness) -> None:
        chem, phys, instance = kept
        assert [by(h, key).project for key in (chem, phys)] == ["chem", "phys"]
        assert by(h, phys, instance).project == "chem"
        accounts = h.service.accounts
        key = accounts.keys.of_secret(phys)
        assert [p.name for p in accounts.projects_of(key.user, key)] == ["phys", "chem"]
        plain = await h.service.users.add_key(by(h, phys), "lea")
        assert by(h, plain.api_key).project == "chem"  # the first
        bound = await h.service.users.add_key(by(h, chem), "lea", project="phys")
        assert by(h, bound.api_key).project == "phys"
        await h.service.revocation.remove("lea", "phys")
        with pytest.raises(Forbidden, match="for project phys, which lea has left"):
            by(h, phys)
        assert by(h, phys, instance).project == "chem"

    run_service(body, after)


def test_the_last_use_is_kept_over_a_restart_and_written_once_in_ten_minutes(run_service: RunService) -> None:
    kept: list[str] = []

    async def body(h: ServiceHarness) -> None:
        secret = (await h.service.users.add("ann", "lab")).api_key
        start = h.clock.now()
        ann = by(h, secret)
        writes: list[float] = []
        while h.clock.now() < start + 1800:
            by(h, secret)
            (view,) = h.service.users.keys(ann, "ann")
            assert view.used is not None
            assert h.clock.now() - view.used < 600
            if view.used not in writes:
                writes.append(view.used)
            h.clock.advance(7)
        assert len(writes) == 3
        (view,) = h.service.users.keys(ann, "ann")
        assert view.used == writes[-1]
        kept.append(secret)

    async def after(h: ServiceHarness) -> None:
        async with asyncio.timeout(5):
            rows = await h.service.parts.store.read(
                lambda c: list(c.execute(select(t.api_keys.c.used_at).where(t.api_keys.c.name == "key-1")))
            )
        assert rows[0].used_at > h.clock.now() - 2400

    run_service(body, after)


def test_a_revoked_user_is_restored_with_projects_and_jobs_and_no_old_key(run_service: RunService) -> None:
    kept: list[str] = []

    async def body(h: ServiceHarness) -> None:
        old = (await h.service.users.add("eve", "lab")).api_key
        eve = by(h, old)
        job = await h.submit(eve, job_body())
        with pytest.raises(Conflict, match="has not been revoked"):
            await h.service.users.restore("eve")
        await h.service.revocation.revoke("eve")
        with pytest.raises(NotAuthenticated):
            h.service.accounts.principal(eve.user_id, None)
        with pytest.raises(BadRequest, match="has been revoked"):
            await h.service.users.add_key(operator(h), "eve")
        made = await h.service.users.restore("eve")
        assert (made.name, made.project) == ("eve", "lab")
        kept.extend((old, made.api_key, job.id))

    async def after(h: ServiceHarness) -> None:
        old, new, job = kept
        assert [works(h, old), works(h, new)] == [False, True]
        assert (await h.service.jobs.get(by(h, new), job)).user == "eve"

    run_service(body, after)


def test_the_name_of_a_revoked_user_is_given_anew_only_when_asked_and_inherits_nothing(
    run_service: RunService,
) -> None:
    kept: list[str] = []

    async def body(h: ServiceHarness) -> None:
        old = (await h.service.users.add("eve", "lab")).api_key
        job = await h.submit(by(h, old), job_body())
        with pytest.raises(Conflict, match="has not been revoked"):
            await h.service.users.add("eve", "lab", anew=True)
        await h.service.revocation.revoke("eve")
        with pytest.raises(Conflict, match=r"users restore eve.*users add eve --anew"):
            await h.service.users.add("eve", "lab")
        new = await h.service.users.add("eve", "lab", anew=True)
        kept.extend((old, new.api_key, job.id))

    async def after(h: ServiceHarness) -> None:
        old, new, job = kept
        assert not works(h, old)
        eve = by(h, new)
        assert (await h.service.jobs.find(eve, JobFilter())).count == 0
        with pytest.raises(NotFound):
            await h.service.jobs.get(eve, job)
        assert (await h.service.jobs.get(operator(h), job)).user == "eve.revoked-1"
        assert [(u.name, u.revoked) for u in h.service.users.all()][2:] == [
            ("eve.revoked-1", True),
            ("eve", False),
        ]
        await h.service.revocation.revoke("eve")
        await h.service.users.add("eve", "lab", anew=True)
        assert [u.name for u in h.service.users.all()][2:] == ["eve.revoked-1", "eve.revoked-2", "eve"]

    run_service(body, after)


def test_who_is_taken_out_of_a_project_is_told_what_is_left_and_acts_there_no_more(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        key = (await h.service.users.add("eve", "lab")).api_key
        other = await h.service.users.add("eve", "chem")
        eve = by(h, key)
        here = await h.submit(eve, job_body("slow"))
        there = await h.submit(by(h, other.api_key), job_body("slow"))
        session = await h.service.sessions.open(eve, device="mock", mode="batch", max_time=None)
        left = await h.service.revocation.remove("eve", "lab")
        assert [record.job.id for record in left.jobs] == [here.id]
        assert [record.session.id for record in left.sessions] == [session.id]
        for late in (
            h.submit(eve, job_body()),
            h.service.sessions.open(eve, device="mock", mode="batch", max_time=None),
        ):
            with pytest.raises(Forbidden, match="not in project lab any more"):
                await late
        ended = await h.service.revocation.remove("eve", "lab", close_sessions=True, cancel_jobs=True)
        assert (ended.closed, ended.cancelled, ended.jobs, ended.sessions) == (1, 1, (), ())
        assert (await h.service.jobs.get(by(h, other.api_key), there.id)).state in ("queued", "running")
        with pytest.raises(NotFound, match="no project"):
            await h.service.revocation.remove("eve", "nothing")
        with pytest.raises(Conflict, match="only project of operator"):
            await h.service.revocation.remove("operator", "operators")
        again = await h.service.users.add("eve", "lab")  # and back
        assert (await h.service.jobs.get(by(h, again.api_key), here.id)).state == "cancelled"

    run_service(body)


# The keys in files


@pytest.mark.parametrize("name", ["operator", "local"])
def test_a_key_file_that_is_removed_ends_the_key_that_was_in_it(
    run_service: RunService, tmp_path: Path, name: str
) -> None:
    path = tmp_path / f"{name}.key"
    kept: list[str] = []

    async def body(h: ServiceHarness) -> None:
        kept.append(path.read_text().strip())
        mine = await h.service.users.add_key(operator(h), name, name="mine")
        kept.append(mine.api_key)
        path.unlink()

    async def after(h: ServiceHarness) -> None:
        old, mine = kept[:2]
        new = path.read_text().strip()
        assert [works(h, key) for key in (old, mine, new)] == [False, True, True]
        assert path.stat().st_mode & 0o777 == 0o600
        kept.append(new)

    async def unchanged(h: ServiceHarness) -> None:
        assert path.read_text().strip() == kept[2]

    run_service(body, after, unchanged)


def test_a_rotated_operator_key_is_in_its_file(run_service: RunService, tmp_path: Path) -> None:
    path = tmp_path / "operator.key"

    async def body(h: ServiceHarness) -> None:
        old = path.read_text().strip()
        made = await h.service.users.rotate_key(operator(h), "operator", "operator.key", keep=0)
        assert path.read_text().strip() == made.api_key
        assert [works(h, old), works(h, made.api_key)] == [False, True]
        assert not (tmp_path / "operator.key.new").exists()

    run_service(body, body)


@pytest.mark.parametrize("committed", [False, True])
def test_a_rotation_of_a_key_file_that_was_interrupted_is_done_or_undone(
    run_service: RunService, tmp_path: Path, committed: bool
) -> None:
    """What a kill leaves between the new key's file, its commit and the old file's end."""
    path, fresh = tmp_path / "operator.key", tmp_path / "operator.key.new"
    kept: list[str] = []

    async def body(h: ServiceHarness) -> None:
        keys = h.service.accounts.keys
        user = h.service.accounts.user_id("operator")
        secret, left = keys.replacing(keys.named(user, "operator", "operator.key"), 0, None)
        fresh.write_text(secret.api_key)
        if committed:
            entry = h.service.audit.entry(None, "key.rotated", "user operator")
            await keys.replace(keys.named(user, "operator", "operator.key"), secret, left, entry)
        kept.append(secret.api_key if committed else path.read_text().strip())

    async def after(h: ServiceHarness) -> None:
        assert path.read_text().strip() == kept[0]
        assert works(h, kept[0])
        assert not fresh.exists()

    run_service(body, after)
