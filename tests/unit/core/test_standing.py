"""Where a job stands is counted from what the queues keep: it is the place in the line, and costs as little
with ten thousand jobs as with two hundred."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial

import pytest

from sojourn.core import Job, JobKind
from sojourn.core import events as ev
from sojourn.core.calendar import Calendar, Reservation, ReservationMode
from sojourn.core.explanation.explain import explain
from sojourn.core.fair_share.queue import FairShareQueue
from sojourn.core.fair_share.ranks import rising
from sojourn.core.fair_share.shares import ProjectShare, Shares
from sojourn.core.model import Mode, Session
from sojourn.core.queues import Place, Queues
from tests.harness.lane import LaneHarness

WEIGHTS = (0.0, 1.0, 1.0, 3.0)


def random_queues(r: random.Random) -> tuple[Queues, float, bool]:
    """Everything at once: spent projects, equal shares, a session, system jobs, an open window, and jobs that
    were numbered in another order than they came."""
    jobs: dict[str, Job] = {}
    projects = [f"p{i}" for i in range(r.randint(1, 4))]
    shares = Shares(
        accounts={f"a{i}": r.choice(WEIGHTS) for i in range(2)},
        projects={
            p: ProjectShare(f"a{r.randrange(3)}", r.choice(WEIGHTS), r.choice((None, None, 3.0)))
            for p in projects
        },
        users={(p, "u0"): r.choice(WEIGHTS) for p in projects},
    )
    fair, calendar = FairShareQueue(1000.0, r.choice((None, 30.0)), shares), Calendar()
    queues = Queues(fair, calendar, jobs)
    if r.random() < 0.7:
        mode = r.choice(tuple(ReservationMode))
        calendar.add(Reservation("R", r.choice(projects), "u0", 130.0, 900.0, mode))
    if r.random() < 0.4:
        queues.active = Session("S", "u0", r.choice(projects), Mode.DEDICATED, 0.0, 300.0)
    numbers = list(range(r.randint(2, 40)))
    if r.random() < 0.2:
        r.shuffle(numbers)
    now = 100.0
    for seq in numbers:
        now += r.randrange(3)
        project, user = r.choice(projects), f"u{r.randrange(3)}"
        kind = JobKind.SYSTEM if r.random() < 0.1 else JobKind.USER
        inside = queues.active if r.random() < 0.2 else None
        job = Job(
            f"j{seq}", seq, user, inside.project if inside else project, "sampler", now, 10.0, kind=kind
        )
        job.session_id = "S" if inside else None
        jobs[job.id] = job
        queues.accepted(job)
        queues.add(job)
        if r.random() < 0.3:
            fair.charge(project, user, float(r.randrange(3)), now)
        if r.random() < 0.1:
            queues.discard(jobs.pop(r.choice(list(jobs))))
    return queues, now, r.random() < 0.7


def test_where_a_job_stands_is_its_place_in_the_line() -> None:
    seen = set()
    # in the last two, jobs of an open window were submitted before older ones that are not of it
    for seed in (*range(600), 2420, 2432):
        queues, now, system = random_queues(random.Random(seed))
        line = list(queues.line(now, system=system))
        for number, (place, job_id) in enumerate(line):
            standing = queues.standing(queues._jobs[job_id], now, system=system)
            assert (standing.place, standing.position) == (place, number), f"seed {seed}, {job_id}"
            before = [(p, queues._jobs[i]) for p, i in line[:number]]
            fair = [job.project for p, job in before if p in (Place.HOLDER, Place.QUEUE, Place.SPENT)]
            assert standing.by_project() == {p: fair.count(p) for p in fair}
            seen.add(place)
        wanted = [queues._jobs[job_id] for _, job_id in line]
        random.Random(seed).shuffle(wanted)
        found = queues.positions(wanted, now, system=system)
        assert found == {job_id: number for number, (_, job_id) in enumerate(line)}, f"seed {seed}"
    assert seen == set(Place)


def test_a_job_that_does_not_wait_has_no_position() -> None:
    world = LaneHarness()
    world.submit("runs")
    world.submit("waits")
    world.submit("is prepared", prepared=False)
    assert world.lane.positions(["unknown", "runs", "is prepared", "waits"]) == {"waits": 1}


def test_a_reservation_that_is_removed_again_is_gone_already() -> None:
    calendar = Calendar()
    calendar.add(Reservation("R", "p", "u", 0.0, 10.0))
    for _ in range(2):
        calendar.remove("R")
        assert len(calendar) == 0


def test_equal_measures_between_two_that_are_equal_are_not_taken() -> None:
    taken = []

    def measure(x: int) -> int:
        taken.append(x)
        return x // 500

    assert rising(measure, range(1000)) == [x // 500 for x in range(1000)]
    assert len(taken) < 15
    assert rising(measure, []) == []


def crowd(jobs: int) -> LaneHarness:
    """Half of the jobs are one user's, the others of twenty users of five projects with equal and with other
    shares; the holder of an open priority window and a session wait too."""
    world = LaneHarness()
    world.submit("x", "xav", limit=9000.0)
    world.reserve("R", "p1", 0.0, 3600.0, mode=ReservationMode.PRIORITY)
    for n in range(3):
        world.used(float(n), f"u{n}", "p0")
    world.open("S", "sue")
    for n in range(jobs):
        user, project = (f"u{n % 20}", f"p{n % 5}") if n % 2 else ("ann", "lab")
        world.submit(f"j{n}", user, project=project)
    return world


def fastest(ask: Callable[[], object]) -> float:
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        ask()
        times.append(time.perf_counter() - begin)
    return min(times)


def test_the_cost_of_a_look_does_not_grow_with_the_queue() -> None:
    """A walk would take fifty times as long in the longer one."""
    few, many = crowd(200), crowd(10_000)
    looks: tuple[Callable[[LaneHarness], object], ...] = (
        lambda w: explain(w.lane, "j198"),  # the user with half of the queue
        lambda w: explain(w.lane, "j199"),
        lambda w: explain(w.lane, f"j{len(w.jobs) - 2}"),
        lambda w: w.lane.positions([f"j{len(w.jobs) - 2 - 2 * n}" for n in range(90)]),
        lambda w: w.lane.next_in_line(),
    )
    for look in looks:
        short, long = fastest(partial(look, few)), fastest(partial(look, many))
        assert long < 8 * short, f"{1e6 * short:.0f} µs with 200 jobs, {1e6 * long:.0f} µs with 10,000"


def test_a_session_that_ends_is_not_asked_job_by_job_whether_one_of_them_runs() -> None:
    world = LaneHarness()
    world.open("S")
    world.submit("s1", "ann", "S")
    world.submit("s2", "ann", "S")
    world.submit("b1", "bob")
    world.drain("S")
    found = explain(world.lane, "b1")
    assert found is not None
    assert "SessionHolds" in [type(reason).__name__ for reason in found.reasons]
    world.cancel("s2")
    found = explain(world.lane, "b1")
    assert found is not None
    assert "SessionHolds" not in [type(reason).__name__ for reason in found.reasons]


def test_r24_a_queue_of_a_session_in_which_nothing_fits_is_looked_through_once() -> None:
    world = LaneHarness(reservation_minimum=10.0)
    world.open("S", max_time=20_000.0)
    for n in range(4000):
        world.submit(f"s{n}", "ann", "S", limit=5000.0)
    world.reserve("R", "bob", 4000.0, 3600.0)
    world.finish()
    assert world.running is None, "none of them fits before the window"
    assert fastest(lambda: world.used(0.0, "eve")) < 0.0005
    world.do(ev.DeviceLost("no worker"))
    world.submit("short", "ann", "S", limit=100.0)
    world.cancel("short")
    world.do(ev.DeviceReady())
    assert world.running is None
    assert fastest(lambda: world.used(0.0, "eve")) < 0.0005
    world.submit("s", "ann", "S", limit=100.0)
    assert world.running == "s"


@pytest.mark.parametrize("reservations", [3, 3000])
def test_r46_of_many_reservations_of_one_project_only_the_next_ones_are_looked_at(reservations: int) -> None:
    calendar = Calendar()
    calendar._by_id = {
        f"R{n}": Reservation(f"R{n}", "ann", "ann", 10.0 * n, 10.0 * n + 10) for n in range(reservations)
    }
    last = 10.0 * reservations + 10
    calendar.add(Reservation("last", "bob", "bob", last, last + 10))
    assert calendar.open_at(5.0) is calendar.get("R0")
    assert calendar.open_at(last - 5) is None
    assert calendar.open_at(10.0) is calendar.get("R1"), "one ends where the other begins"
    assert calendar.next_dedicated(5.0) is calendar.get("R1")
    assert calendar.next_dedicated(5.0, "ann") is calendar.get("last")
    assert calendar.next_dedicated(5.0, "bob") is calendar.get("R1")
    assert calendar.next_dedicated(last, "ann") is None
    assert calendar.next_dedicated(last - 1, "bob") is None
    assert calendar.overlapping(15.0, 9999.0) is calendar.get("R1")
    assert calendar.overlapping(last - 9, last) is None
    assert calendar.overlapping(last - 9, last + 1) is calendar.get("last")
    assert fastest(lambda: (calendar.gap(5.0), calendar.open_at(5.0), calendar.get("last"))) < 0.0005
    calendar.remove("R0")
    assert calendar.open_at(5.0) is None
