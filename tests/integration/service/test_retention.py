"""What old calibrations said and what the journal holds are kept for a time, if the configuration says so.

The inputs, results and steps of jobs are in `test_usage.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sojourn.api.http.statuses import status_of
from sojourn.journal import replay
from sojourn.journal.encoding import decode
from sojourn.journal.recorder import export
from sojourn.service.errors import Expired
from sojourn.service.views import Principal
from sojourn.store import calibrations, journal
from tests.harness.programs import job_body
from tests.harness.service import QUICK, ServiceHarness
from tests.integration.service.operations import DRIFTING, calibrated

RunService = Callable[..., None]
DAY = 86_400.0


def person(h: ServiceHarness, name: str) -> Principal:
    return h.service.accounts.principal(h.service.accounts.user_id(name), None)


def test_an_old_calibrations_properties_are_answered_with_410_and_its_row_stays(
    run_service: RunService,
) -> None:
    start: list[float] = []

    async def body(h: ServiceHarness) -> None:
        await h.service.devices.description("manila")
        start.append(h.clock.now())
        for _ in range(4):  # cal-2 on the first day, …, cal-5 on the fourth
            h.clock.advance(DAY)
            assert (await calibrated(h, "manila")).state == "completed"
        h.clock.advance(DAY / 2)
        await h.service.parts.retention.run()
        await asked(h)
        await h.service.parts.retention.run()  # there is nothing more to delete
        await asked(h)

    async def asked(h: ServiceHarness) -> None:
        ask = h.service.devices.calibrated
        with pytest.raises(Expired, match=r"'cal-2' of manila .*calibrations_days.* 'cal-5'") as refusal:
            await ask("manila", calibration_id="cal-2")
        assert status_of(refusal.value) == 410
        with pytest.raises(Expired, match="'cal-2'"):  # and never another one's instead
            await ask("manila", at=start[0] + 1.5 * DAY)
        for wanted, at in (("cal-1", 0.5), ("cal-1", -99.0), ("cal-3", 2.5), ("cal-4", 3.5), ("cal-5", 4.5)):
            name, described = await ask("manila", at=start[0] + at * DAY)
            assert name == wanted
            assert described.properties
        assert [c.id for c in h.service.devices.calibrations("manila")] == [
            f"cal-{n}" for n in (5, 4, 3, 2, 1)
        ]

    async def after_a_restart(h: ServiceHarness) -> None:
        await h.service.devices.description("manila")
        await asked(h)

    # cal-2 was followed 2.5 days ago, cal-3 1.5 days
    run_service(body, after_a_restart, devices=(DRIFTING,), sections={"retention": {"calibrations_days": 2}})


def test_bytes_that_a_kept_calibration_or_a_job_names_stay(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        """`mock` measures nothing: all of its calibrations say the same."""
        await h.service.devices.description("mock")
        for _ in range(3):
            h.clock.advance(DAY)
            await calibrated(h, "mock")
        h.clock.advance(9 * DAY)
        assert await h.service.parts.store.read(calibrations.old, h.clock.now()) == []
        await h.service.parts.retention.run()
        assert (await h.service.devices.calibrated("mock", calibration_id="cal-2"))[1].num_qubits == 5

    run_service(body, devices=(QUICK,), sections={"retention": {"calibrations_days": 1}})


def test_the_journal_is_deleted_up_to_a_start_and_what_is_left_replays(
    run_service: RunService, tmp_path: Path
) -> None:
    database = tmp_path / "sojourn.db"
    began: list[float] = []

    async def life(h: ServiceHarness) -> None:
        if not began:
            await h.user("ann")
        began.append(h.clock.now())
        ann = person(h, "ann")
        for _ in range(2):
            await h.ended(ann, (await h.submit(ann, job_body())).id)
            h.clock.advance(DAY)

    async def third(h: ServiceHarness) -> None:
        await life(h)
        before = list(export(database))
        assert min(decode(line).at for line in before) == began[0]
        h.clock.advance(1.5 * DAY)  # the second start is 5.5 days old, the third 3.5
        await h.service.parts.retention.run()
        left = [decode(line) for line in export(database)]
        assert {line.device for line in left} >= {"mock", "slow"}
        for device in ("mock", "slow"):
            own = [line for line in left if line.device == device]
            assert type(own[0].what).__name__ == "Restored"
            assert own[0].at == began[1]  # what is older than the third start is needed from here on
        report = replay(export(database))
        assert report.difference is None
        assert report.lives == 2 * len(report.devices)

    async def fourth(h: ServiceHarness) -> None:
        await life(h)
        assert replay(export(database)).difference is None

    run_service(
        life,
        life,
        third,
        fourth,
        sections={"retention": {"journal_days": 5}},
        server={"journal": True},
    )


def test_a_journal_without_an_old_start_is_kept_whole(run_service: RunService, tmp_path: Path) -> None:
    async def body(h: ServiceHarness) -> None:
        await h.user("ann")
        await h.ended(person(h, "ann"), (await h.submit(person(h, "ann"), job_body())).id)
        before = list(export(tmp_path / "sojourn.db"))
        h.clock.advance(5 * DAY)
        await h.service.parts.retention.run()
        after = list(export(tmp_path / "sojourn.db"))
        assert after[: len(before)] == before

    run_service(body, sections={"retention": {"journal_days": 6}}, server={"journal": True})


def test_a_life_that_is_half_deleted_is_left_out_of_the_export(
    run_service: RunService, tmp_path: Path
) -> None:
    database = tmp_path / "sojourn.db"

    async def life(h: ServiceHarness) -> None:
        await h.ended(person(h, "local"), (await h.submit(person(h, "local"), job_body())).id)

    async def again(h: ServiceHarness) -> None:
        await life(h)
        store = h.service.parts.store
        begins = await store.read(journal.beginnings, h.clock.now() + 1)
        some = await store.read(journal.old, "mock", begins["mock"], limit=2)
        assert len(some) == 2
        await store.write(journal.remove, some)  # where a batch ends, and the server too
        report = replay(export(database))
        assert report.difference is None
        assert report.lives == 3  # slow lived twice

    run_service(life, again, server={"journal": True})
