"""R48-R55 in their simple cases, and the machine's own promises. Virtual time."""

from __future__ import annotations

import pytest

from sojourn import codes
from sojourn.core import JobKind, JobState, Lane, Profile, SessionState
from sojourn.core import events as ev
from sojourn.core.effects import Charge, ChargeKind, JobChanged, Rejected, Start
from sojourn.core.transitions import JOB, SESSION, IllegalTransition
from tests.harness.lane import START, LaneHarness


def test_r48_the_least_used_project_goes_first_and_its_oldest_job(world: LaneHarness) -> None:
    world.submit("a1", "ann")
    world.submit("a2", "ann")
    world.submit("b1", "bob")
    world.submit("b2", "bob")
    world.run_for(10, "a1")
    assert world.running == "b1"
    world.run_for(4, "b1")
    assert world.running == "b2"  # bob has used 4 s, ann 10 s
    world.run_for(7, "b2")
    assert world.running == "a2"


def test_r48_ties_go_to_the_oldest_waiting_job(world: LaneHarness) -> None:
    world.submit("z", "zoe")
    world.submit("c1", "cid")
    world.submit("b1", "bob")
    world.finish("z")
    assert world.running == "c1"


def test_r48_usage_leaves_the_window_after_28_days(world: LaneHarness) -> None:
    world.submit("a1", "ann")
    world.run_for(1000, "a1")
    world.sleep(28 * 86400 + 3600)
    world.submit("x", "xav")
    world.run_for(1, "x")
    world.submit("x0", "xav")
    world.submit("x1", "xav")
    world.submit("a2", "ann")
    world.finish("x0")
    assert world.running == "a2"


def test_r48_usage_on_another_device_counts(world: LaneHarness) -> None:
    world.do(ev.UsageReported("ann", "ann", 100.0, world.now))
    world.submit("x", "xav")
    world.submit("a1", "ann")
    world.submit("b1", "bob")
    world.finish("x")
    assert world.running == "b1"


def test_r49_a_jobs_row_is_its_time_on_the_device(world: LaneHarness) -> None:
    world.submit("a1")
    world.run_for(12.5, "a1")
    (row,) = world.charges
    assert row == Charge(ChargeKind.JOB, "ann", "ann", START, START + 12.5, "a1", None)


@pytest.mark.parametrize(("used", "charged"), [(2.5, 2.5), (0.0, 0.0), (12.5, 12.5), (99.0, 12.5)])
@pytest.mark.parametrize("outcome", [ev.Outcome.COMPLETED, ev.Outcome.FAILED])
def test_r49_a_device_behind_another_queue_charges_what_it_says_it_worked(
    world: LaneHarness, outcome: ev.Outcome, used: float, charged: float
) -> None:
    """And never more than the time of the run."""
    world.open("A")
    world.submit("a1", "ann", "A")
    world.sleep(12.5)
    world.finish("a1", outcome, used=used)
    assert [(row.kind, row.end, row.seconds) for row in world.charges] == (
        [("job", START + 12.5, charged)] if charged else []
    )
    assert world.jobs["a1"].charged == charged
    assert world.sessions["A"].job_seconds == charged
    assert world.lane.used("ann") == charged


def test_r49_held_idle_time_is_a_row_of_its_own_kind(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    world.run_for(10, "a1")
    world.sleep(20)
    world.submit("a2", "ann", "A")
    world.run_for(5, "a2")
    world.sleep(300)
    assert [(c.kind, c.seconds) for c in world.charges] == [
        ("job", 10.0),
        ("held", 20.0),
        ("job", 5.0),
        ("held", 300.0),
    ]


@pytest.mark.parametrize("outcome", [ev.Outcome.CRASHED, ev.Outcome.LOST])
def test_r49_a_system_failure_charges_nothing(outcome: ev.Outcome) -> None:
    world = LaneHarness(crash_reruns=0, rerun_lost=False)
    world.submit("a1")
    world.sleep(10)
    world.finish("a1", outcome)
    assert world.is_("a1", "failed")
    assert world.jobs["a1"].reason_code == codes.SYSTEM_FAILURE
    assert world.charges == []


def test_r49_a_result_that_cannot_be_stored_fails_its_job_without_a_charge_and_the_next_one_runs() -> None:
    world = LaneHarness(crash_reruns=5)
    world.submit("a1")
    world.submit("b1", "bob")
    world.sleep(10)
    world.finish("a1", ev.Outcome.UNSTORED, reason="The disk is full.")
    job = world.jobs["a1"]
    assert (job.state, job.reason_code, job.reason) == ("failed", codes.SYSTEM_FAILURE, "The disk is full.")
    assert world.charges == []
    assert world.running == "b1"


@pytest.mark.parametrize("said", [None, "the device was lost"])
def test_r55_a_job_whose_runs_are_lost_is_started_ten_times_at_most(
    world: LaneHarness, said: str | None
) -> None:
    world.submit("a1")
    for _ in range(9):
        world.finish("a1", ev.Outcome.LOST, reason=said)
        assert world.is_("a1", "running")
    world.finish("a1", ev.Outcome.LOST, reason=said)
    job = world.jobs["a1"]
    assert (job.state, job.attempt, job.reason_code) == ("failed", 10, codes.SYSTEM_FAILURE)
    assert "started 10 times" in (job.reason or "")
    assert "most_attempts" in (job.reason or "")
    assert (job.reason or "").endswith(f"ends them. The last one: {said}" if said else "ends them.")
    assert world.charges == []


def test_r49_a_user_error_and_a_cancel_charge_what_was_used(world: LaneHarness) -> None:
    world.submit("a1")
    world.sleep(3)
    world.finish("a1", ev.Outcome.FAILED, reason="bad angle", code=1)
    world.submit("a2")
    world.sleep(4)
    world.cancel("a2")
    assert [c.seconds for c in world.charges] == [3.0, 4.0]


def test_d23_a_job_whose_worker_dies_again_pays_for_both_runs(world: LaneHarness) -> None:
    world.submit("a1")
    world.sleep(30)
    world.finish("a1", ev.Outcome.CRASHED)
    assert world.charges == []
    world.sleep(12.5)
    world.finish("a1", ev.Outcome.CRASHED, reason="The worker died (SIGSEGV).")
    job = world.jobs["a1"]
    assert (job.state, job.reason_code) == (JobState.FAILED, codes.WORKER_KILLED)
    assert job.reason is not None
    assert job.reason.startswith("The worker died (SIGSEGV). That has happened in 2 runs of this job")
    assert "the 42.5 s that they took are charged" in job.reason
    assert [(c.kind, c.start - START, c.end - START) for c in world.charges] == [
        ("job", 0.0, 30.0),
        ("job", 30.0, 42.5),
    ]
    assert job.charged == world.lane.fair.used("ann") == 42.5


def test_d23_the_first_run_is_charged_where_it_was_and_not_over_the_run_of_another(
    world: LaneHarness,
) -> None:
    """The least used goes first, so between the two runs another user's job has the device."""
    world.submit("a1")
    world.used(100.0, "ann")
    world.submit("b1", "bob")
    world.sleep(10)
    world.finish("a1", ev.Outcome.CRASHED)
    world.run_for(5, "b1")
    world.sleep(1)
    world.finish("a1", ev.Outcome.CRASHED)
    assert [(c.user, c.start - START, c.end - START) for c in world.charges] == [
        ("bob", 10.0, 15.0),
        ("ann", 0.0, 10.0),
        ("ann", 15.0, 16.0),
    ]


def test_d23_a_job_that_survives_its_second_run_pays_for_that_one_alone(world: LaneHarness) -> None:
    world.submit("a1")
    world.sleep(30)
    world.finish("a1", ev.Outcome.CRASHED)
    world.run_for(5, "a1")
    assert [c.seconds for c in world.charges] == [5.0]
    assert world.jobs["a1"].charged == 5.0


@pytest.mark.parametrize("said", [None, "The kernel killed it (SIGKILL)."])
def test_d23_a_job_that_kills_its_workers_is_told_what_it_cost_and_what_to_do(said: str | None) -> None:
    world = LaneHarness(crash_reruns=1, charged_crashes=2)
    world.submit("a1")
    world.sleep(1)
    world.finish("a1", ev.Outcome.CRASHED, reason=said)
    assert world.jobs["a1"].crashed == ((START, START + 1, 0.0),)
    world.sleep(2.0006)
    world.finish("a1", ev.Outcome.CRASHED, reason=said)
    assert world.jobs["a1"].reason == (
        f"{said or 'The worker died of it.'} That has happened in 2 runs of this job, so it is taken for the "
        "job's doing, and the 3.001 s that they took are charged. Submit less in one job, such as fewer "
        "qubits, circuits or shots; if it should run, give the operator the job's id."
    )


@pytest.mark.parametrize("reruns", [0, 2])
def test_d23_one_death_proves_nothing_and_the_profile_says_how_many_do(reruns: int) -> None:
    world = LaneHarness(crash_reruns=reruns, charged_crashes=3)
    world.submit("a1")
    for _ in range(reruns + 1):
        world.sleep(1)
        world.finish("a1", ev.Outcome.CRASHED)
    paid = reruns == 2
    assert world.jobs["a1"].reason_code == (codes.WORKER_KILLED if paid else codes.SYSTEM_FAILURE)
    assert [c.seconds for c in world.charges] == ([1.0, 1.0, 1.0] if paid else [])


def test_r49_a_run_of_less_than_a_second_is_charged_as_it_was(world: LaneHarness) -> None:
    world.submit("a1")
    world.run_for(0.25, "a1")
    assert [c.seconds for c in world.charges] == [0.25]
    assert world.lane.fair.used("ann") == 0.25


def test_r49_what_the_system_runs_is_a_row_and_nobodys_share(world: LaneHarness) -> None:
    world.submit("calibration", "ann", kind=JobKind.SYSTEM)
    world.run_for(10, "calibration")
    assert [(c.kind, c.seconds) for c in world.charges] == [(ChargeKind.SYSTEM, 10.0)]
    assert world.lane.fair.used("ann") == 0.0


def test_d23_a_profile_can_charge_nobody_for_a_death() -> None:
    world = LaneHarness(charged_crashes=0)
    world.submit("a1")
    for _ in range(2):
        world.sleep(1)
        world.finish("a1", ev.Outcome.CRASHED)
    assert world.jobs["a1"].reason_code == codes.SYSTEM_FAILURE
    assert (world.charges, world.jobs["a1"].crashed) == ([], ())


@pytest.mark.parametrize("outcome", [ev.Outcome.LOST, ev.Outcome.STOPPED])
def test_d23_a_run_that_the_service_lost_proves_nothing(world: LaneHarness, outcome: ev.Outcome) -> None:
    world.submit("a1")
    for each in (ev.Outcome.CRASHED, outcome, outcome):
        world.sleep(1)
        world.finish("a1", each)
        assert world.running == "a1"
    world.run_for(1, "a1")
    assert [c.seconds for c in world.charges] == [1.0]


def test_d23_what_counts_against_a_job_survives_a_restart(world: LaneHarness) -> None:
    world.submit("a1")
    world.sleep(3)
    world.finish("a1", ev.Outcome.CRASHED)
    world.sleep(2)
    world.restart(down=5.0)  # this run is lost, and nobody's
    world.do(ev.DeviceReady())
    world.sleep(4)
    world.finish("a1", ev.Outcome.CRASHED)
    assert world.jobs["a1"].reason_code == codes.WORKER_KILLED
    assert [(c.start - START, c.end - START) for c in world.charges] == [(0.0, 3.0), (10.0, 14.0)]


def test_d23_a_calibration_whose_worker_dies_is_a_failure_of_the_system(world: LaneHarness) -> None:
    world.submit("c1", program="calibrate", kind=JobKind.SYSTEM)
    for _ in range(2):
        world.sleep(1)
        world.finish("c1", ev.Outcome.CRASHED)
    assert world.jobs["c1"].reason_code == codes.SYSTEM_FAILURE
    assert world.charges == []


def test_d23_both_runs_are_usage_of_the_jobs_session(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    for _ in range(2):
        world.sleep(4)
        world.finish("a1", ev.Outcome.CRASHED)
    assert world.sessions["A"].job_seconds == 8.0
    assert [c.session_id for c in world.charges] == ["A", "A"]


def test_r51_a_job_goes_through_its_states_in_order(world: LaneHarness) -> None:
    world.submit("a1")
    world.finish("a1")
    assert [s for e, s, _ in world.steps if e == "a1"] == ["accepted", "queued", "running", "completed"]


def test_r52_a_job_that_runs_too_long_is_stopped(world: LaneHarness) -> None:
    world.submit("a1", limit=60.0)
    world.submit("b1", "bob")
    world.sleep(59)
    assert world.is_("a1", "running")
    world.sleep(1)
    job = world.jobs["a1"]
    assert (job.state, job.reason_code) == (JobState.CANCELLED, codes.RAN_TOO_LONG)
    assert "60 s" in (job.reason or "")
    assert world.stopped == ["a1"]
    assert world.running is None  # the worker has not let go yet
    assert world.is_("b1", "queued")
    world.finish("a1", ev.Outcome.STOPPED)
    assert world.running == "b1"


@pytest.mark.parametrize("state", ["accepted", "queued", "running"])
def test_r53_cancel_works_in_every_state_before_the_end(world: LaneHarness, state: str) -> None:
    if state == "queued":
        world.submit("b1", "bob")
    world.submit("a1", prepared=state != "accepted")
    assert world.is_("a1", state)
    assert world.cancel("a1") is None
    assert world.is_("a1", "cancelled")
    refused = world.cancel("a1")
    assert refused is not None
    assert refused.code == codes.CONFLICT


def test_r53_a_result_that_loses_the_race_against_a_cancel_is_dropped(world: LaneHarness) -> None:
    world.submit("a1")
    world.cancel("a1")
    effects = world.finish("a1")
    assert effects == []
    assert world.is_("a1", "cancelled")


def test_r53_preparation_that_ends_after_a_cancel_changes_nothing(world: LaneHarness) -> None:
    world.submit("a1", prepared=False)
    world.cancel("a1")
    world.prepare("a1")
    world.do(ev.JobUnfit("a1", "too late", 1))
    assert world.is_("a1", "cancelled")


def test_r55_a_crash_reruns_the_job_once_before_the_others(world: LaneHarness) -> None:
    world.submit("a1")
    world.submit("a2")
    world.finish("a1", ev.Outcome.CRASHED)
    assert world.running == "a1"
    assert world.jobs["a1"].attempt == 2
    world.finish("a1", ev.Outcome.CRASHED, reason="SIGSEGV")
    assert world.is_("a1", "failed")
    assert "SIGSEGV" in (world.jobs["a1"].reason or "")
    assert world.running == "a2"


def test_r55_a_late_report_of_an_earlier_attempt_is_ignored(world: LaneHarness) -> None:
    world.submit("a1")
    world.finish("a1", ev.Outcome.CRASHED)
    assert world.do(ev.RunEnded("a1", 1, ev.Outcome.COMPLETED)) == []
    assert world.is_("a1", "running")


def restarted(world: LaneHarness) -> LaneHarness:
    """The same facts in a new process."""
    after = LaneHarness()
    after.lane = Lane("device", world.lane.profile)
    after.now = world.now
    after.jobs, after.sessions = dict(world.jobs), dict(world.sessions)
    lost = after.lane.restore(
        [j for j in world.jobs.values() if not j.state.final],
        [s for s in world.sessions.values() if s.state != "closed"],
    )
    after.do(ev.Tick())
    for event in lost:
        after.do(event)
    after.do(ev.DeviceReady())
    return after


def test_r55_after_a_restart_the_lost_run_is_run_again_first(world: LaneHarness) -> None:
    world.submit("a1")
    world.submit("a2")
    after = restarted(world)
    assert after.running == "a1"
    assert after.jobs["a1"].attempt == 2
    after.finish("a1")
    assert after.running == "a2"


def test_r55_hardware_fails_a_lost_run(world: LaneHarness) -> None:
    hardware = LaneHarness(rerun_lost=False)
    hardware.submit("a1")
    after = restarted(hardware)
    assert after.is_("a1", "failed")
    assert after.jobs["a1"].reason_code == codes.SYSTEM_FAILURE


def test_r55_an_active_session_survives_a_restart_with_its_clocks(world: LaneHarness) -> None:
    world.open("A", max_time=1000.0)
    world.submit("a1", "ann", "A")
    world.run_for(10, "a1")
    world.submit("b1", "bob")
    world.now += 100
    after = restarted(world)
    assert after.is_("A", "active")
    assert after.running is None
    after.sleep(199)
    assert after.is_("A", "active")
    after.sleep(1)
    assert after.is_("A", "inactive")
    assert after.running == "b1"


def test_r55_overdue_timers_fire_first_and_at_their_own_time(world: LaneHarness) -> None:
    world.open("A", max_time=1000.0)
    world.submit("a1", "ann", "A")
    world.run_for(10, "a1")
    world.submit("b1", "bob")
    world.now += 100_000
    after = restarted(world)
    assert ("A", "inactive", START + 310) in after.steps
    assert ("A", "closed", START + 1000) in after.steps
    assert after.running == "b1"


def test_r55_a_session_that_ended_meanwhile_lets_its_lost_job_finish_as_a_plain_one(
    world: LaneHarness,
) -> None:
    world.open("A", max_time=100.0)
    world.submit("a1", "ann", "A")
    world.now += 500
    after = restarted(world)
    assert after.is_("A", "closed")
    assert after.running == "a1"
    after.finish("a1")
    assert after.is_("a1", "completed")


def test_a_device_that_is_lost_starts_nothing_until_it_is_back(world: LaneHarness) -> None:
    world.do(ev.DeviceLost("the cryostat is warm"))
    world.submit("a1")
    assert world.running is None
    world.do(ev.DeviceReady())
    assert world.running == "a1"


def test_a_session_whose_ttl_runs_out_while_its_job_waits_for_the_device_keeps_it(world: LaneHarness) -> None:
    world.open("A")
    world.submit("a1", "ann", "A")
    world.finish("a1")
    world.do(ev.DeviceLost("restarting"))
    world.submit("a2", "ann", "A")
    world.sleep(1000)
    assert world.is_("A", "active")
    world.cancel("a2")
    world.sleep(0)
    assert world.is_("A", "inactive")


def test_a_rejected_event_changes_nothing_but_due_deadlines_still_fire(world: LaneHarness) -> None:
    world.open("A")
    world.now += 1801
    effects = world.do(ev.JobAccepted("x", 99, "ann", "ann", "sampler", "A"))
    assert any(isinstance(e, Rejected) for e in effects)
    assert not any(isinstance(e, JobChanged | Start) for e in effects)
    assert world.is_("A", "closed")


def test_time_never_runs_backwards_in_a_lane(world: LaneHarness) -> None:
    world.submit("a1")
    world.now -= 50
    world.finish("a1")
    assert world.jobs["a1"].ended_at == START


def test_an_illegal_step_raises_with_the_story(world: LaneHarness) -> None:
    world.submit("a1")
    job = world.lane.state.jobs["a1"]
    with pytest.raises(IllegalTransition, match=r"accepted -> queued; .* queued -> running") as error:
        world.lane.state.move_job(job, JobState.ACCEPTED, world.now, "a bug")
    assert len(error.value.story) == 3


def test_the_tables_name_every_state() -> None:
    assert set(JOB) == set(JobState)
    for table in (JOB, SESSION):
        for targets in table.values():
            assert targets <= set(table)


def test_position_follows_the_order_in_which_jobs_start(world: LaneHarness) -> None:
    world.submit("x", "xav")
    for i in range(4):
        world.submit(f"a{i}", "ann")
        world.submit(f"b{i}", "bob")
    order = world.lane.order()
    assert world.lane.next_in_line() == order[0]
    world.finish("x")
    assert world.running == order[0]


def test_profiles_are_data() -> None:
    assert Profile().limit_of("sampler") == 10_000
    assert Profile().limit_of("estimator") == 18_000


def test_an_illegal_step_of_a_session_raises_with_the_story(world: LaneHarness) -> None:
    world.open("A")
    session = world.lane.state.sessions["A"]
    with pytest.raises(IllegalTransition, match="session A cannot go from open to inactive") as raised:
        world.lane.state.move_session(session, SessionState.INACTIVE, world.now, "test")
    assert len(raised.value.story) == 1


def test_a_run_that_was_stopped_from_outside_is_run_again_or_fails_as_the_profile_says(
    world: LaneHarness,
) -> None:
    world.submit("a1")
    world.finish("a1", ev.Outcome.STOPPED)
    assert world.running == "a1"
    assert world.jobs["a1"].attempt == 2


def test_reminders_of_jobs_that_have_ended_do_not_pile_up_behind_a_far_deadline(world: LaneHarness) -> None:
    world.open("A")
    for i in range(1000):
        world.submit(f"b{i}", "bob", limit=10_800.0)
        world.run_for(0.001, f"b{i}")
    assert len(world.lane.state.timers) < 300
    assert world.lane.next_deadline() == world.sessions["A"].unused_at


def test_r34_a_job_that_outlived_its_session_is_not_charged_to_it(world: LaneHarness) -> None:
    world.open("A")
    world.submit("root", "ann", "A")
    world.run_for(1, "root")
    world.submit("a2", "ann", "A", prepared=False)
    world.close("A")
    world.prepare("a2")
    world.run_for(5, "a2")
    assert [(c.job_id, c.session_id) for c in world.charges if c.kind == "job"] == [
        ("root", "A"),
        ("a2", None),
    ]
    assert world.sessions["A"].usage(world.now) == 1.0
