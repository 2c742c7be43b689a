"""No job takes the service from the others through the disk, and no project all of its room (R49, R50).

The room is that of the database file (`PRAGMA max_page_count`), which works without any privilege;
tests/acceptance/test_full_disk.py fills a real disk.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from qiskit import QuantumCircuit
from sqlalchemy import Connection, insert, select, update

from sojourn import codes
from sojourn.api.http.statuses import status_of
from sojourn.config import DeviceSettings
from sojourn.execution.engine import WorkerPhase, WorkerState
from sojourn.service.errors import BadRequest, NoRoom, TooLarge
from sojourn.service.jobs.texts import Large
from sojourn.service.projects.projects import ProjectChange
from sojourn.service.projects.usage import LONGEST_REPORT, UsageQuery
from sojourn.service.views import JobView, Principal
from sojourn.store import jobs
from sojourn.store import tables as t
from tests.harness.programs import job_body, sampler_params
from tests.harness.service import ServiceHarness
from tests.unit.store.test_full_disk import room

RunService = Callable[..., None]
SHOTS = 1_000_000
"""Of five bits each, and of three pubs: a result of 2 to 4 MB."""


def coins() -> QuantumCircuit:
    circuit = QuantumCircuit(5, 5)
    circuit.sx(range(5))
    circuit.measure(range(5), range(5))
    return circuit


def large(device: str = "mock") -> bytes:
    return job_body(device, params=sampler_params(*[(coins(), None, SHOTS)] * 3))


async def change(h: ServiceHarness, full: bool) -> str | None:
    """Wait until the service has seen that its disk is full, or is not any more."""
    disk = h.service.parts.disk
    while (disk.reason is not None) != full:
        await disk._look_once()
    return disk.reason


def test_a_result_without_room_fails_its_job_only_and_everything_goes_on_when_there_is_room(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        kept = await h.submit(ann, job_body())
        await h.ended(ann, kept.id)
        held = await h.submit(bob, job_body("slow"))
        await h.running(bob, held.id)
        session = await h.service.sessions.open(ann, device="mock", mode="batch", max_time=None)
        await room(h.service.parts.store, 100)
        job = await h.submit(ann, large())
        ended = await h.ended(ann, job.id)
        assert (ended.state, ended.reason_code, ended.quantum_seconds) == ("failed", codes.SYSTEM_FAILURE, 0)
        assert "could not be stored" in (ended.reason or "")
        assert "Nothing is charged" in (ended.reason or "")

        reason = await change(h, full=True)
        assert reason is not None
        ready = await h.service.ready()
        assert (ready["ready"], ready["disk"]["reason"]) == (False, reason)
        device = h.service.devices.get("mock")
        assert (device.operational, reason in device.message) == (False, True)
        with pytest.raises(NoRoom, match="no new jobs now") as refused:
            await h.submit(ann, job_body())
        assert status_of(refused.value) == 507, "which today's client does not repeat"

        # what is small goes on: looking, cancelling, deleting, ending sessions
        assert await h.service.jobs.result(ann, kept.id)
        await h.service.jobs.cancel(bob, held.id)
        assert (await h.ended(bob, held.id)).state == "cancelled"
        await h.service.jobs.delete(ann, job.id)
        await h.service.sessions.close(ann, session.id)
        assert (await h.service.sessions.get(ann, session.id)).state == "closed"

        await room(h.service.parts.store, 10_000)
        await change(h, full=False)
        assert (await h.service.ready())["disk"]["reason"] is None
        again = await h.submit(ann, large())
        assert (await h.ended(ann, again.id)).state == "completed"
        found = await h.service.jobs.result(ann, again.id)
        assert isinstance(found, Large)
        assert found.size > 2**20

    run_service(body)


def test_r56_private_inputs_that_a_full_disk_kept_are_forgotten_when_there_is_room(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, store = await h.user("ann"), h.service.parts.store
        job = await h.submit(ann, job_body(private=True))
        await h.ended(ann, job.id)

        def kept(c: Connection) -> None:  # as after an end whose inputs could not be deleted
            c.execute(insert(t.blobs).values(hash="kept", data=b"inputs"))
            c.execute(update(t.jobs).where(t.jobs.c.id == job.id).values(params_hash="kept"))

        await store.write(kept)
        await room(store, 100)
        large_one = await h.submit(ann, large())
        await h.ended(ann, large_one.id)
        await change(h, full=True)
        await room(store, 10_000)
        await change(h, full=False)
        await store.must_write(jobs.forget_params, "another")  # comes behind it
        assert (
            await store.read(lambda c: c.execute(select(t.blobs).where(t.blobs.c.hash == "kept")).first())
            is None
        )

    run_service(body)


def test_while_there_is_no_room_jobs_wait_and_are_not_run_for_nothing(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        first = await h.submit(ann, job_body("slow"))
        await h.running(ann, first.id)
        waits = await h.submit(ann, job_body("slow"))
        disk = h.service.parts.disk
        await room(h.service.parts.store, 0)
        disk.full("as the database may find at any time")
        reason = await change(h, full=True)
        assert reason is not None
        await h.service.jobs.cancel(ann, first.id)
        await h.ended(ann, first.id)
        why = await h.service.jobs.why(ann, waits.id)
        assert why.state == "queued"
        assert any(reason in r.sentence for r in why.reasons), [r.sentence for r in why.reasons]
        await room(h.service.parts.store, 10_000)
        await change(h, full=False)
        await h.running(ann, waits.id)
        assert (await h.service.jobs.get(ann, waits.id)).attempt == 1

    run_service(body)


def test_who_waits_is_told_why_the_device_is_down_as_the_reason_changes(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        desk, engine = h.service.parts.lanes.dispatchers["broken"], h.service.parts.engine
        desk.worker_changed(WorkerState(WorkerPhase.STARTING, "its worker ended, and is replaced"))
        while engine.state("broken").phase is not WorkerPhase.FAILED:
            await h.settled()
        reason = engine.state("broken").reason
        assert reason is not None
        assert desk.lane.lost_because == reason
        desk.hold("its disk is full")
        assert desk.lane.lost_because == "its disk is full"
        desk.worker_changed(engine.state("broken"))
        assert desk.lane.lost_because == "its disk is full"
        desk.hold(None)
        assert desk.lane.lost_because == reason

    broken = DeviceSettings(name="broken", driver="mock", options={"qubits": 0})
    run_service(body, devices=(broken,))


def test_inputs_without_room_are_refused_and_leave_nothing(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await room(h.service.parts.store, 100)
        padded = job_body()[:-1] + b" " * 10 + b"}"
        padded = padded.replace(b'"pubs"', b" " * 3_000_000 + b'"pubs"', 1)
        with pytest.raises(NoRoom, match="inputs cannot be stored"):
            await h.submit(ann, padded)
        await h.settled()
        count = await h.service.parts.store.read(lambda c: len(c.execute(t.blob_parts.select()).all()))
        assert count == 0
        assert h.service.parts.records.open_jobs.count((ann.project_id,)) == 0

    run_service(body)


def test_a_job_whose_result_cannot_fit_is_refused_at_its_submit(run_service: RunService) -> None:
    """When free space is known: the estimate is the most that the result can take."""

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        disk = h.service.parts.disk
        assert disk.view().usable_mb is not None
        await disk.stop()  # it looks no more
        disk._usable = disk._reserve // 2 + 1_000_000
        with pytest.raises(NoRoom, match=r"result can take up to .* MB"):
            await h.submit(ann, large())
        disk.check_result(900_000)

    run_service(body)


def limited(mb: float) -> dict[str, object]:
    return {"limits": {"stored_mb": mb}}


def boss(h: ServiceHarness) -> Principal:
    accounts = h.service.accounts
    return accounts.principal(accounts.user_id("operator"), None)


def test_r50_a_project_stores_no_more_than_its_limit_and_can_delete(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        size = len(job_body())

        async def done(who: Principal) -> JobView:
            return await h.ended(who, (await h.submit(who, job_body())).id)

        first = await done(ann)
        (used,) = [s for p, s in (await h.service.storage.stored()).items() if p == ann.project_id]
        assert used > size - 200, "inputs and result"
        own = ProjectChange(limits={"stored_mb": (used + 100) / 1e6})
        await h.service.projects.change(boss(h), "anns", own)
        with pytest.raises(TooLarge, match=r"project anns have stored .*stored_mb.*Delete") as refused:
            await h.submit(ann, job_body())
        assert status_of(refused.value) == 413
        assert (await done(bob)).state == "completed", "others have their own"
        await h.service.jobs.delete(ann, first.id)
        assert (await done(ann)).state == "completed"

    run_service(body)


def test_r50_nothing_is_run_for_a_project_whose_results_have_filled_its_limit(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        blocks = await h.submit(ann, job_body("slow"))
        waits = await h.submit(ann, job_body("slow"))
        await h.running(ann, blocks.id)
        (used,) = [s for p, s in (await h.service.storage.stored()).items() if p == ann.project_id]
        await h.service.projects.change(boss(h), "anns", ProjectChange(limits={"stored_mb": used / 1e6}))
        await h.service.jobs.cancel(ann, blocks.id)
        ended = await h.ended(ann, waits.id)
        assert (ended.state, ended.reason_code) == ("failed", codes.OVER_LIMIT)
        assert "stored_mb" in (ended.reason or "")

    run_service(body)


def test_r49_a_report_that_is_too_long_is_refused_before_all_of_it_is_fetched(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        now = h.clock.now()
        rows = [
            {
                **{"kind": "job", "device": "mock", "session_id": None, "started_at": now - 2.0},
                **{"user_id": bob.user_id, "project_id": ann.project_id, "job_id": f"j{n}"},
                **{"ended_at": now - 1.0, "seconds": 1.0},
            }
            for n in range(LONGEST_REPORT + 1)
        ]
        rows[0]["user_id"] = ann.user_id
        await h.service.parts.store.write(lambda c: c.execute(t.ledger.insert(), rows) and None)
        for by in (("job",), ("job", "day")):
            with pytest.raises(BadRequest, match=f"more than {LONGEST_REPORT} rows"):
                await h.service.usage.report(boss(h), UsageQuery(by=by))
        report = await h.service.usage.report(ann, UsageQuery(by=("job", "user")))
        assert sorted(row.seconds for row in report.rows) == [1.0, LONGEST_REPORT], "hers, and the others'"

    run_service(body)
