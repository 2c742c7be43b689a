"""The order that forecasts expect is the one in which the fair-share queue gives jobs out."""

from __future__ import annotations

from random import Random

import pytest

from sojourn.core import JobKind, Lane, Profile
from sojourn.core import events as ev
from sojourn.core.fair_share.shares import ProjectShare, Shares
from sojourn.core.forecast.order import in_line
from sojourn.core.forecast.snapshot import take
from sojourn.core.model import Job
from tests.harness.lane import LaneHarness

WEIGHTS = (0.0, 1.0, 1.0, 2.0, 4.0)  # quotients of these are exact, so equal shares stay equal


def world(seed: int, *, allocations: bool) -> tuple[Lane, dict[str, float]]:
    """A device that is not up, with jobs of whole seconds, and what was used; many shares are equal."""
    r = Random(seed)
    projects = {
        f"p{i}": ProjectShare(
            account=r.choice(("a", "b")),
            weight=r.choice(WEIGHTS),
            allocation=float(r.randint(0, 60)) if allocations and r.random() < 0.5 else None,
        )
        for i in range(4)
    }
    people = [(project, f"u{i}") for project in projects for i in range(3)]
    users = {person: r.choice(WEIGHTS) for person in people}
    lane = Lane("device", Profile(), Shares({"a": r.choice(WEIGHTS), "b": 1.0}, projects, users))
    for project, user in people:
        if r.random() < 0.5:
            lane.handle(ev.UsageReported(user, project, float(r.randint(1, 20)), 1000.0), 1000.0)
    lengths: dict[str, float] = {}
    for number in range(60):
        project, user = r.choice(people)
        name = f"j{number}"
        lengths[name] = float(r.randint(1, 9))
        lane.handle(ev.JobAccepted(name, number, user, project, "sampler"), 1001.0)
        lane.handle(ev.JobPrepared(name), 1001.0)
    return lane, lengths


def given_out(lane: Lane, lengths: dict[str, float]) -> list[str]:
    """By the lane's own queue, each job charged before the next is chosen."""
    found: list[str] = []
    while (job_id := lane.fair.first(1002.0)) is not None:
        waiting = lane.fair.waiting[job_id]
        lane.fair.remove(job_id)
        lane.fair.charge(waiting.project, waiting.user, lengths[job_id], 1002.0)
        found.append(job_id)
    return found


@pytest.mark.parametrize("allocations", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_the_order_is_that_of_the_queue(seed: int, allocations: bool) -> None:
    lane, lengths = world(seed, allocations=allocations)
    line = in_line(take(lane, 1002.0), lambda job: lengths[job.id])
    order = [job.id for job in line.jobs]
    assert order == given_out(lane, lengths)
    before = 0.0
    for job, work in zip(line.jobs, line.work, strict=True):
        assert work == before
        before += lengths[job.id]
    assert {job.id for job in line.spent} == lengths.keys() - set(order)
    assert [job.seq for job in line.spent] == sorted(job.seq for job in line.spent)


def test_system_jobs_go_first_then_those_of_the_session_that_has_the_device() -> None:
    world = LaneHarness()
    world.open("s", "ann")
    world.submit("root", "ann", "s")
    world.submit("plain", "bob")
    world.submit("second", "ann", "s")
    world.submit("calibration", "system", kind=JobKind.SYSTEM)
    line = in_line(take(world.lane, world.now), _one)
    assert [job.id for job in line.jobs] == ["calibration", "second", "plain"]
    assert line.work == [0.0, 1.0, 2.0]


def test_nobody_waits() -> None:
    line = in_line(take(Lane("device", Profile()), 0.0), _one)
    assert (line.jobs, line.work, line.spent) == ([], [], [])


def _one(_: Job) -> float:
    return 1.0


def test_r31_a_session_brings_its_other_jobs_with_it() -> None:
    """Also those between which other jobs of the same user stand, and those for which its allocation does
    not suffice."""
    world = LaneHarness()
    world.shares(projects={"cid": ProjectShare(allocation=1.5)})
    world.submit("running", "ann")
    world.used(1.0, "ann")
    for user in ("bob", "cid"):
        world.open(f"s-{user}", user)
        for number in range(3):
            world.submit(f"s-{user}-{number}", user, f"s-{user}")
            world.submit(f"{user}-{number}", user)
    line = in_line(take(world.lane, world.now), _one)
    assert [job.id for job in line.jobs] == [
        *(f"s-bob-{number}" for number in range(3)),
        *(f"s-cid-{number}" for number in range(3)),
        *(f"bob-{number}" for number in range(3)),
    ]
    assert [job.id for job in line.spent] == [f"cid-{number}" for number in range(3)]
