"""The audit trail with the real store, in virtual time: every act of administration once, and never a
secret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sojourn.config import DeviceSettings, ProjectSettings, ReservationSettings, RetentionSettings
from sojourn.service.accounts.audit import ADDRESSES
from sojourn.service.accounts.configuration import MOST
from sojourn.service.errors import BadRequest, Conflict, Refusal
from sojourn.service.projects.projects import MemberChange, ProjectChange
from sojourn.service.reservations.views import NewReservation
from sojourn.service.views import Principal
from tests.harness.programs import job_body
from tests.harness.service import ServiceHarness

RunService = Callable[..., None]
HOUR = 3600.0


def operator(h: ServiceHarness) -> Principal:
    accounts = h.service.accounts
    return accounts.principal(accounts.user_id("operator"), None)


async def told(h: ServiceHarness, **filters: Any) -> list[tuple[str, str, str]]:
    """(by, action, subject), the newest last."""
    await h.settled()
    return [(e.by, e.action, e.subject) for e in reversed(await h.service.audit.find(**filters))]


def test_every_act_of_administration_is_on_record_once_with_who_did_it(run_service: RunService) -> None:
    made: dict[str, str] = {}

    async def body(h: ServiceHarness) -> None:
        s, op = h.service, operator(h)
        await s.users.add("ann", "lab", who=op)
        key = await s.users.add_key(op, "ann", name="ci")
        await s.users.rotate_key(op, "ann", "ci", keep=0)
        await s.users.revoke_key(op, "ann", "ci")
        await s.projects.create(op, "chem", ProjectChange(weight=2.0))
        await s.projects.change(op, "lab", ProjectChange(members={"ann": MemberChange(admin=True)}))
        await s.projects.weigh(op, "uni", 3.0)
        ann = s.accounts.principal(s.accounts.user_id("ann"), None)
        start = h.clock.now() + 2 * HOUR
        window = await s.reservations.make(ann, NewReservation("mock", None, start, length=HOUR))
        await s.reservations.cancel(op, window.id or "")
        job, other = await h.submit(ann, job_body("slow")), await h.submit(ann, job_body("slow"))
        await s.jobs.cancel(op, other.id)
        await s.jobs.cancel(ann, job.id)  # her own is nobody's business
        session = await s.sessions.open(ann, device="slow", mode="batch", max_time=None)
        await s.sessions.drain(op, session.id)
        for mode in ("paused", "draining", "maintenance"):
            await s.control.halt(op, "mock", mode, "a fridge")
        await s.control.resume(op, "mock")
        await h.ended(op, (await s.control.calibrate(op, "mock")).id)
        await s.revocation.remove("ann", "lab", who=op)
        await s.revocation.revoke("ann", who=op)
        await s.users.restore("ann", who=op)
        made.update(job=other.id, session=session.id, window=window.id or "", key=key.api_key)

    async def after(h: ServiceHarness) -> None:
        everything = await told(h)
        found = [e for e in everything if e[1] != "look"]
        expected = [
            ("(service)", "user.added", "user operator"),
            ("(service)", "user.added", "user local"),
            ("operator", "user.added", "user ann"),
            ("operator", "key.added", "user ann"),
            ("operator", "key.rotated", "user ann"),
            ("operator", "key.revoked", "user ann"),
            ("operator", "project.added", "project chem"),
            ("operator", "project.changed", "project lab"),
            ("operator", "account.changed", "account uni"),
            ("ann", "reservation.made", f"reservation {made['window']}"),
            ("operator", "reservation.cancelled", f"reservation {made['window']}"),
            ("operator", "job.cancelled", f"job {made['job']}"),
            ("operator", "session.drained", f"session {made['session']}"),
            ("operator", "device.paused", "device mock"),
            ("operator", "device.draining", "device mock"),
            ("operator", "device.maintenance", "device mock"),
            ("operator", "device.resumed", "device mock"),
            ("operator", "device.calibrated", "device mock"),
            ("operator", "user.removed", "user ann"),
            ("operator", "user.revoked", "user ann"),
            ("operator", "user.restored", "user ann"),
        ]
        assert found == expected
        entries = await h.service.audit.find(limit=1000)
        assert made["key"] not in repr(entries)
        assert "sjn_" not in repr(entries)
        changed = next(e for e in entries if e.action == "project.changed")
        assert changed.detail["members"] == {"ann": {"admin": True}}
        assert {e[1] for e in await told(h, action="key")} == {"key.added", "key.rotated", "key.revoked"}
        assert await told(h, by="ann") == [expected[9]]
        assert (await told(h, subject="device mock"))[-1] == expected[17]
        newest, *_ = await h.service.audit.find(limit=1)
        assert (await h.service.audit.find(limit=1, before_id=newest.id))[0].action == "user.revoked"

    run_service(body, after, sections={"reservations": ReservationSettings(notice=HOUR)})


def test_what_is_refused_is_not_on_record(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        op = operator(h)
        await h.service.users.add("ann", "lab", who=op)
        before = await told(h)
        for late in (
            h.service.users.add("ann", "lab", who=op),
            h.service.revocation.revoke("operator", who=op),
            h.service.users.restore("ann", who=op),
            h.service.users.add_key(op, "ann", name="a b"),
            h.service.users.revoke_key(op, "ann", "none"),
            h.service.reservations.make(op, NewReservation("mock", "lab", 1.0, length=HOUR)),
            h.service.control.halt(op, "mock", "asleep"),
            h.service.projects.change(op, "lab", ProjectChange(plan="none")),
            h.service.revocation.remove("operator", "operators", who=op),
        ):
            with pytest.raises(Refusal):
                await late
        assert await told(h) == before

    run_service(body)


def test_an_operators_look_at_others_jobs_is_on_record_once_an_hour(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        await h.service.users.add("ann", "lab")
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        job = await h.submit(ann, job_body("slow"))
        session = await h.service.sessions.open(ann, device="slow", mode="batch", max_time=None)
        op = operator(h)
        for _ in range(3):
            await h.service.jobs.get(op, job.id)
            await h.service.jobs.why(op, job.id)
            await h.service.jobs.history(op, job.id)
            await h.service.sessions.get(op, session.id)
            await h.service.jobs.get(ann, job.id)
        looks = [("operator", "look", f"job {job.id}"), ("operator", "look", f"session {session.id}")]
        assert await told(h, action="look") == looks
        (entry, *_) = await h.service.audit.find(action="look")
        assert entry.detail == {"owner": "ann"}
        h.clock.advance(HOUR)
        await h.service.jobs.get(op, job.id)
        assert await told(h, action="look") == [*looks, looks[0]]

    run_service(body)


def test_failed_logins_of_a_minute_are_one_entry_however_many_and_from_wherever(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        for number in range(1000):
            h.service.audit.login_failed(f"10.0.0.{number % 100}")
        assert await told(h, action="login") == []
        h.clock.advance(60)
        await h.settled()
        (entry,) = await h.service.audit.find(action="login")
        assert (entry.by, entry.detail["count"]) == ("(nobody)", 1000)
        assert len(entry.detail["addresses"]) == ADDRESSES + 1
        assert entry.detail["addresses"]["others"] == 10 * (100 - ADDRESSES)
        h.clock.advance(600)
        assert len(await told(h, action="login")) == 1
        h.service.audit.login_failed("10.0.0.1")  # written at the stop

    async def after(h: ServiceHarness) -> None:
        assert len(await told(h, action="login")) == 2

    run_service(body, after)


def test_entries_end_after_audit_days_in_small_batches(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        for _ in range(1100):
            await h.service.audit.note(None, "test", "nothing")
        h.clock.advance(86_400)
        await h.service.audit.note(None, "test", "young")
        h.clock.advance(1)
        await h.service.parts.retention.run()
        assert await told(h) == [("(service)", "test", "young")]

    run_service(body, sections={"retention": RetentionSettings(audit_days=1)})


def test_an_admin_reserves_within_the_bounds_and_an_operator_beyond_them(run_service: RunService) -> None:
    """The bounds over the real store: what ended, was cancelled, or was made by an operator counts as it
    is."""

    async def body(h: ServiceHarness) -> None:
        s, op, now = h.service, operator(h), h.clock.now()
        await s.users.add("ann", "lab")
        await s.projects.change(op, "lab", ProjectChange(members={"ann": MemberChange(admin=True)}))
        ann = replace(s.accounts.principal(s.accounts.user_id("ann"), None))

        async def book(who: Principal, start: float, hours: float, device: str = "mock") -> str:
            made = await s.reservations.make(who, NewReservation(device, "lab", start, length=hours * HOUR))
            return made.id or ""

        for start, hours, why in (
            (now, 1, "reservations.notice"),
            (now + HOUR, 9, "reservations.longest"),
            (now + 28 * 24 * HOUR, 1, "reservations.horizon"),
        ):
            with pytest.raises(BadRequest, match=f"{why}.*An operator can make it") as refusal:
                await book(ann, start, hours)
            assert refusal.value.code == 1223
            await s.reservations.cancel(op, await book(op, start, hours))
        first = await book(ann, now + HOUR, 8)
        with pytest.raises(BadRequest, match=r"at most 1 of 2 \(reservations.devices = 0.5\)"):
            await book(ann, now + 5 * HOUR, 1, "slow")
        for day in range(1, 5):
            await book(ann, now + HOUR + day * 24 * HOUR, 8)
        with pytest.raises(BadRequest, match=r"147600 s reserved.*144000 s \(reservations.allowance\)"):
            await book(ann, now + 6 * 24 * HOUR, 1)
        await s.reservations.cancel(ann, first)  # it never began, so it has used nothing
        await book(ann, now + 6 * 24 * HOUR, 8)
        with pytest.raises(Conflict):
            await s.reservations.cancel(ann, first)
        await book(op, now + 7 * 24 * HOUR, 100)

    async def after(h: ServiceHarness) -> None:
        op = operator(h)
        found = await h.service.reservations.calendar(op)
        assert len(found) == 6  # what is beyond a bound that is lower now stays

    run_service(body, after)


def test_what_of_the_configuration_was_changed_before_a_start_is_on_record_and_no_option_of_a_device(
    run_service: RunService,
) -> None:
    secret = DeviceSettings(name="far", driver="mock", options={"qubits": 5, "seed": 1})
    other = DeviceSettings(name="far", driver="mock", options={"seed": 2, "seconds": 0.0})

    async def nothing(h: ServiceHarness) -> None:
        assert await told(h, action="server") == []

    async def changed(h: ServiceHarness) -> None:
        (entry,) = await h.service.audit.find(action="server")
        assert (entry.by, entry.subject) == ("(service)", "configuration")
        assert entry.detail == {
            "changed": {
                "devices.far.options.qubits": "removed",
                "devices.far.options.seconds": "added",
                "devices.far.options.seed": "changed",
                "policy.batch_ttl": [None, 7.0],
                "server.hung_seconds": [10.0, 12.0],
            }
        }

    run_service(nothing, nothing, devices=(secret,))
    run_service(changed, changed, devices=(other,), server={"hung_seconds": 12.0}, batch_ttl=7.0)


def test_many_changes_of_the_configuration_are_counted(run_service: RunService) -> None:
    def many(weight: float) -> dict[str, Any]:
        projects = (ProjectSettings(name=f"p{number}", weight=weight) for number in range(MOST + 5))
        return {"projects": tuple(projects)}

    async def nothing(h: ServiceHarness) -> None:
        pass

    async def changed(h: ServiceHarness) -> None:
        (entry,) = await h.service.audit.find(action="server")
        assert len(entry.detail["changed"]) == MOST
        assert entry.detail["more"] == 5

    run_service(nothing, sections=many(1.0))
    run_service(changed, sections=many(2.0))
