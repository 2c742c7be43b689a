"""R48-R50: the share tree, its ledger, allocations. Virtual time."""

from __future__ import annotations

import pytest

from sojourn.core import Lane, Profile
from sojourn.core import events as ev
from sojourn.core.fair_share.queue import FairShareQueue, Waiting
from sojourn.core.fair_share.shares import EVEN, ProjectShare, Shares
from sojourn.core.fair_share.usage import UsageMeter, UsageWindow
from sojourn.core.profile import DAY, HOUR
from tests.harness.lane import LaneHarness


@pytest.fixture
def world() -> LaneHarness:
    """A device that is busy, so that what is submitted waits."""
    world = LaneHarness()
    world.submit("x", "xav")
    return world


def queue(
    *jobs: tuple[int, str, str], window: float = 100.0, half_life: float | None = None, shares: Shares = EVEN
) -> FairShareQueue:
    """Jobs as (number, project, user)."""
    fair = FairShareQueue(window, half_life, shares)
    for seq, project, user in jobs:
        fair.add(Waiting(seq, f"j{seq}", project, user, 60.0))
    return fair


def test_r48_a_projects_weight_divides_what_it_used(world: LaneHarness) -> None:
    world.shares(projects={"ann": ProjectShare(weight=3.0)})
    world.used(299.0, "ann")
    world.used(100.0, "bob")
    world.submit("b1", "bob")
    world.submit("a1", "ann")
    world.finish("x")
    assert world.running == "a1"


def test_r48_accounts_come_before_projects_and_projects_before_users(world: LaneHarness) -> None:
    lab = {name: ProjectShare(account="lab") for name in ("p", "q")}
    world.shares(projects={**lab, "r": ProjectShare(account="club")})
    world.used(10.0, "ann", "p")
    world.used(1.0, "amy", "p")
    world.used(100.0, "bob", "q")
    world.used(105.0, "cid", "r")
    for name, user, project in (("b", "bob", "q"), ("c", "cid", "r"), ("a", "ann", "p"), ("y", "amy", "p")):
        world.submit(name, user, project=project)
    for expected in ("x", "c", "y", "a", "b"):  # club used 105, lab 111; p 11, q 100; amy 1, ann 10
        world.finish(expected)


def test_r48_weight_0_means_only_when_nobody_else_waits(world: LaneHarness) -> None:
    world.shares(projects={"zoe": ProjectShare(weight=0.0)})
    world.used(1e6, "bob")
    world.submit("z1", "zoe")
    world.submit("b1", "bob")
    world.submit("b2", "bob")
    for expected in ("x", "b1", "b2", "z1"):
        world.finish(expected)


def test_r48_among_those_of_weight_0_the_least_used_goes_first() -> None:
    shares = Shares(users={("p", "ann"): 0.0, ("p", "bob"): 0.0})
    fair = queue((1, "p", "ann"), (2, "p", "bob"), shares=shares)
    fair.charge("p", "ann", 5.0, 10.0)
    assert fair.first(10.0) == "j2"


def test_r48_accounts_and_users_have_weights_too() -> None:
    projects = {"p": ProjectShare("lab"), "q": ProjectShare("club")}
    fair = queue((1, "p", "ann"), (2, "p", "bob"), (3, "q", "cid"), shares=Shares({"club": 0.5}, projects))
    fair.charge("p", "ann", 8.0, 10.0)
    fair.charge("q", "cid", 5.0, 10.0)
    assert list(fair.order(10.0)) == ["j2", "j1", "j3"]
    fair.set_shares(Shares(projects=projects, users={("p", "ann"): 2.0, ("p", "bob"): 0.0}))
    assert list(fair.order(10.0)) == ["j3", "j1", "j2"]


def test_r48_who_is_not_named_has_weight_1() -> None:
    shares = Shares(accounts={"a": 3.0}, users={("p", "u"): 3.0})
    weights = shares.account_weight("b"), shares.project("p").weight, shares.user_weight("p", "v")
    assert weights == (1.0, 1.0, 1.0)


def test_r48_new_shares_count_at_once_and_keep_usage_and_queue(world: LaneHarness) -> None:
    world.used(100.0, "ann")
    world.submit("a1", "ann")
    world.used(60.0, "bob")
    world.submit("b1", "bob")
    assert world.lane.next_in_line() == "b1"
    world.shares(projects={"ann": ProjectShare(weight=2.0)})
    assert world.lane.next_in_line() == "a1"
    world.shares(projects={"ann": ProjectShare(account="other")})
    assert world.lane.next_in_line() == "b1"
    assert world.lane.fair.used("ann") == 100.0
    assert world.lane.fair.used("ann", "ann") == 100.0
    assert world.lane.fair.used("nobody") == 0.0


def test_r48_a_charge_counts_for_28_days_and_until_the_full_hour() -> None:
    fair = queue(window=28 * DAY)
    fair.charge("p", "ann", 10.0, 7200.5)
    fair.charge("p", "ann", 20.0, 10800.0)  # D18: these leave together
    fair.charge("p", "ann", 40.0, 10800.5)
    fair.expire(28 * DAY + 10799)
    assert fair.used("p") == 70.0
    fair.expire(28 * DAY + 10800)
    assert fair.used("p") == 40.0
    fair.expire(28 * DAY + 14400)
    assert fair.used("p") == 0.0


def test_r48_what_is_kept_of_charges_does_not_grow_with_their_number() -> None:
    usage: UsageWindow[str] = UsageWindow(28 * DAY, None, lambda _: None)
    for i in range(10_000):
        usage.charge(3600.0 + i % 3600, "ann" if i % 2 else "bob", 1e-9)
    assert sorted(usage) == [(3600.0, "bob", 3), (7200.0, "ann", 5000), (7200.0, "bob", 4997)]


@pytest.mark.parametrize("half_life", [None, HOUR])
def test_r48_a_meter_counts_as_the_queue_does(half_life: float | None) -> None:
    fair, meter = FairShareQueue(DAY, half_life), UsageMeter(DAY, half_life)
    assert (meter.window, meter.step, meter.memory) == (DAY, fair.step, fair.memory)
    now = 1000.0
    for i in range(500):
        project, user = f"p{i % 3}", f"u{i % 7}"
        now += 1000.0 if i % 2 else 0.5
        for usage in (fair, meter):
            usage.charge(project, user, 1.0 + i % 11, now - i % 5)
            if i % 100 == 50:
                usage.jump(DAY)
        now += DAY if i % 100 == 50 else 0.0
        fair.expire(now)
        meter.expire(now)
        assert meter.used(project) == pytest.approx(fair.used(project), rel=1e-12)
        assert meter.used(project, user) == pytest.approx(fair.used(project, user), rel=1e-12)
    assert meter.used("p0") > 0
    assert meter.used("nobody") == meter.used("p0", "nobody") == 0.0
    meter.expire(now + 300 * DAY)
    assert meter.used("p0") == pytest.approx(0.0, abs=1e-9)


def test_r48_a_meter_that_fades_can_be_asked_after_any_time() -> None:
    meter = UsageMeter(DAY, 1.0)
    for at in (1.0, 150.0, 400.0, 3000.0):  # after more half-lives, too, than a float has powers of two
        meter.charge("p", "u", 4.0, at)
        meter.expire(at + 1.0)
        assert meter.used("p") == meter.used("p", "u") == pytest.approx(2.0)
        meter.expire(at + 99.0)
        assert meter.used("p") < 1e-9


def test_r50_a_project_goes_on_after_any_number_of_half_lives() -> None:
    fair = FairShareQueue(DAY, 1.0, Shares(projects={"p": ProjectShare(allocation=5.0)}))
    fair.add(Waiting(1, "p1", "p", "u", 10.0))
    fair.charge("p", "u", 8.0, 100.0)
    assert fair.first(100.5) is None
    assert fair.first(100.0 + 5000.0) == "p1"
    assert fair.used("p") == pytest.approx(0.0)


def test_r48_a_charge_matters_as_long_as_it_counts() -> None:
    assert queue(window=28 * DAY).memory == 28 * DAY + 3600.0
    fair = queue((1, "p", "ann"), half_life=10.0)
    fair.charge("p", "ann", 1000.0, 5.0)
    fair.expire(5.0 + fair.memory)
    assert fair.used("p") < 1e-12


def test_r48_a_late_report_leaves_the_window_in_its_turn() -> None:
    fair = queue()
    fair.charge("p", "ann", 1.0, 50.0)
    fair.charge("p", "ann", 2.0, 20.0)
    fair.expire(120.0)
    assert fair.used("p") == 1.0
    fair.expire(150.0)
    assert fair.used("p") == 0.0


def test_r48_with_a_half_life_usage_fades() -> None:
    fair = queue((1, "p", "ann"), (2, "q", "bob"), half_life=10.0)
    fair.charge("p", "ann", 8.0, 100.0)
    fair.charge("q", "bob", 5.0, 110.0)
    fair.expire(110.0)
    assert fair.used("p") == pytest.approx(4.0)
    assert fair.first(110.0) == "j1"
    fair.expire(130.0)
    assert fair.used("p") == pytest.approx(1.0)


def test_r48_fading_usage_is_rescaled_before_it_overflows() -> None:
    fair = queue((1, "p", "ann"), (2, "q", "bob"), half_life=1.0)
    fair.charge("p", "ann", 8.0, 100.0)
    for at in range(200, 5000, 100):
        fair.charge("q", "bob", 8.0, float(at))
        assert fair.first(float(at)) == "j1"
    assert fair.used("q") == pytest.approx(8.0)
    assert list(fair.order(5000.0)) == ["j1", "j2"]


def test_r48_the_tie_of_accounts_goes_to_the_oldest_job_that_may_start() -> None:
    projects = {
        "p": ProjectShare("lab", allocation=5.0),
        "q": ProjectShare("lab"),
        "r": ProjectShare("club"),
    }
    fair = queue((1, "p", "ann"), (2, "r", "cid"), (3, "q", "bob"), shares=Shares(projects=projects))
    fair.charge("p", "ann", 5.0, 10.0)
    fair.charge("r", "cid", 5.0, 10.0)
    assert fair.first(10.0) == "j2"


def test_r48_a_job_that_leaves_and_returns_waits_once() -> None:
    fair = queue((1, "p", "ann"), (2, "p", "ann"))
    fair.remove("j1")
    assert fair.first(0.0) == "j2"
    fair.add(Waiting(1, "j1", "p", "ann", 60.0))
    assert list(fair.order(0.0)) == ["j1", "j2"]
    assert len(fair) == 2
    assert "j1" in fair


def test_r48_shares_are_sane_numbers() -> None:
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"^a weight is a finite number that is not negative$"):
            Shares(accounts={"a": weight})
    with pytest.raises(ValueError, match=r"^an allocation is a number of seconds that is not negative$"):
        Shares(projects={"p": ProjectShare(allocation=-1.0)})


def test_r48_picking_and_forgetting_stay_exact_over_many_changes() -> None:
    fair = queue(*((i, f"p{i % 3}", f"u{i % 100}") for i in range(400)), window=50.0)
    for i in range(2000):
        fair.charge(f"p{i % 3}", f"u{i % 100}", 0.1, float(i))
    fair.expire(10_000.0)
    assert all(fair.used(f"p{i}") == 0.0 for i in range(3))
    assert fair.first(10_000.0) == "j0"


def test_r49_an_accounts_usage_is_the_sum_of_its_rows(world: LaneHarness) -> None:
    world.run_for(0.1, "x")
    world.open("A", "ann", project="lab")
    for i in range(3):
        world.submit(f"a{i}", "ann", "A", project="lab")
        world.run_for(0.7, f"a{i}")
        world.sleep(0.1)
    world.submit("b", "bob", project="lab")
    world.sleep(300)
    world.run_for(0.3, "b")
    rows = [c.seconds for c in world.charges if c.project == "lab"]
    assert world.lane.fair.used("lab") == pytest.approx(sum(rows), abs=1e-8)
    ann = [c.seconds for c in world.charges if c.user == "ann"]
    assert world.lane.fair.used("lab", "ann") == pytest.approx(sum(ann), abs=1e-8)


def test_r50_a_project_whose_allocation_is_used_up_waits_and_is_told(world: LaneHarness) -> None:
    world.shares(projects={"ann": ProjectShare(allocation=100.0)})
    world.used(100.0, "ann")
    world.submit("a1", "ann")
    world.submit("b1", "bob")
    (said,) = world.lane.job_warnings("a1")
    assert "allocation of 100 s" in said
    world.finish("x")
    assert world.running == "b1"
    world.finish("b1")
    assert world.running is None
    assert world.lane.order() == ["a1"]
    assert not world.lane.fair.blocked("nobody")


def test_d20_a_session_that_is_active_goes_on_when_the_allocation_is_used_up(world: LaneHarness) -> None:
    """And is not told that its jobs wait; it has to queue like others once it has lost the device."""
    world.finish("x")
    world.open("A", "ann")
    world.submit("a1", "ann", "A")
    world.shares(projects={"ann": ProjectShare(allocation=5.0)})
    world.run_for(5)
    world.submit("b1", "bob")
    assert world.lane.fair.blocked("ann")
    world.submit("a2", "ann", "A")
    assert world.lane.job_warnings("a2") == ()
    assert world.running == "a2"
    world.run_for(1)
    world.sleep(world.sessions["A"].ttl)
    assert world.running == "b1"
    world.submit("a3", "ann", "A")
    (said,) = world.lane.job_warnings("a3")
    assert "allocation of 5 s" in said
    world.finish("b1")
    assert world.running is None


def test_r50_it_goes_on_by_itself_when_usage_has_left_the_window(world: LaneHarness) -> None:
    world.shares(projects={"ann": ProjectShare(allocation=100.0)})
    world.used(100.0, "ann")
    world.finish("x")
    world.submit("a1", "ann")
    assert world.running is None
    world.sleep(28 * DAY - 1)
    assert world.running is None
    world.sleep(3600)
    assert world.running == "a1"


def test_r50_it_goes_on_by_itself_when_usage_has_faded() -> None:
    world = LaneHarness(half_life=1000.0)
    world.shares(projects={"ann": ProjectShare(allocation=100.0), "bob": ProjectShare(allocation=0.0)})
    world.used(400.0, "ann")
    world.submit("a1", "ann")
    world.submit("b1", "bob")
    world.sleep(1999)
    assert world.running is None
    world.sleep(2)
    assert world.running == "a1"
    world.run_for(1)
    assert world.lane.next_deadline() is None  # an allocation of nothing never comes back


def test_r50_an_operator_may_grant_more_at_once(world: LaneHarness) -> None:
    world.shares(projects={"ann": ProjectShare(allocation=0.0)})
    world.finish("x")
    world.submit("a1", "ann")
    assert world.running is None
    world.shares(projects={"ann": ProjectShare(allocation=1.0)})
    assert world.running == "a1"


def test_r50_not_even_in_a_window_of_its_own(world: LaneHarness) -> None:
    world.shares(projects={"ann": ProjectShare(allocation=100.0)})
    world.used(100.0, "ann")
    world.reserve("R", "ann", 0, 3600.0)
    world.submit("a1", "ann")
    world.finish("x")
    assert world.running is None
    assert world.lane.next_in_line() is None


def test_r55_a_lane_that_is_restored_knows_what_was_used_before() -> None:
    lane = Lane("device", Profile(fair_share_window=DAY))
    charges = [("ann", "lab", 30.0, 1000.0), ("bob", "lab", 12.0, 2000.0), ("ann", "lab", 5.0, 1500.0)]
    assert lane.restore([], [], charges=charges) == []
    assert (lane.used("lab"), lane.used("lab", "ann"), lane.used("other")) == (47.0, 35.0, 0.0)
    assert lane.usage_memory == DAY + lane.usage_step
    lane.handle(ev.Tick(), 1000.0 + lane.usage_memory)
    assert (lane.used("lab"), lane.used("lab", "ann")) == (17.0, 5.0)
