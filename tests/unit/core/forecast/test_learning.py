"""What forecasts learn: lengths of jobs, habits of sessions, how far they were off themselves."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from random import Random

import pytest

from sojourn.core.forecast import corrections, durations, habits, learned
from sojourn.core.forecast.corrections import Corrections, Factors, of_place
from sojourn.core.forecast.durations import Durations
from sojourn.core.forecast.habits import Habits, Next
from sojourn.core.forecast.learned import Learned, Left, Ran
from sojourn.core.forecast.samples import Sample
from sojourn.core.model import Job


def job(user: str = "ann", estimate: float | None = 10.0, limit: float = 1000.0) -> Job:
    return Job("j", 1, user, "p", "sampler", 0.0, limit, estimate=estimate)


def taught(runs: int, user: str = "ann", ratio: float = 3.0, program: str = "sampler") -> Durations:
    """Estimates that lie far apart, and are all off by the same factor."""
    made = Durations()
    for number in range(runs):
        estimate = 2.0**number
        made.note(user, program, estimate, ratio * estimate)
    return made


# samples


def test_a_sample_keeps_the_latest_values() -> None:
    sample = Sample((1.0, 2.0), most=3)
    sample.add(3.0)
    assert (len(sample), sample.mean, sample.at(0.5)) == (3, 2.0, 2.0)
    sample.add(10.0)
    assert (len(sample), sample.mean, sample.at(0.0), sample.at(1.0)) == (3, 5.0, 2.0, 10.0)
    assert sample.at(0.75) == 6.5
    assert sample.above(2.0) == [3.0, 10.0]


# lengths


def test_nothing_known_is_believed_to_take_about_its_estimate() -> None:
    length = Durations().length("ann", "sampler", 10.0)
    assert length.at(0.5) == 10.0
    assert length.at(0.1) < 7.0
    assert length.at(0.9) > 15.0
    assert not length.own


def test_without_an_estimate_nothing_known_is_seconds_to_minutes() -> None:
    length = Durations().length("ann", "sampler", None)
    assert (length.scale, length.at(0.5)) == (1.0, 5.0)


def test_the_ratio_to_the_estimate_is_learned_for_a_user_and_a_program() -> None:
    known = taught(durations.ENOUGH)
    assert known.length("ann", "sampler", 7.0).at(0.5) == 21.0
    assert known.length("ann", "sampler", 7.0).own


def test_a_user_who_is_not_known_yet_is_like_the_others_of_the_program_and_of_the_device() -> None:
    known = taught(durations.ENOUGH)
    for program in ("sampler", "estimator"):
        length = known.length("bob", program, 7.0)
        assert (length.at(0.5), length.own) == (21.0, False)


def test_a_few_runs_are_not_enough() -> None:
    assert taught(durations.ENOUGH - 1).length("ann", "sampler", 7.0).at(0.5) == 7.0


def test_where_jobs_take_as_long_whatever_was_estimated_the_seconds_count() -> None:
    known = Durations()
    for number in range(20):
        known.note("ann", "sampler", 2.0**number, 4.0)
    assert known.length("ann", "sampler", 1000.0).at(0.5) == 4.0
    assert known.length("ann", "sampler", None).at(0.5) == 4.0


def test_runs_without_an_estimate_teach_the_seconds_alone() -> None:
    known = Durations()
    for _ in range(durations.ENOUGH):
        known.note("ann", "sampler", None, 4.0)
    assert known.length("ann", "sampler", 1000.0).at(0.5) == 4.0


def test_a_mean_is_bounded_by_the_limit_and_the_same_as_the_lengths_own() -> None:
    for known in (Durations(), taught(20)):
        mean = known.means()
        for each in (job(), job("bob"), job(estimate=None), job(estimate=77.0)):
            length = known.length(each.user, each.program, each.estimate)
            assert mean(each) == pytest.approx(min(length.mean, each.limit))
        assert mean(job(limit=1.5)) == 1.5
        assert mean(job(estimate=77.0)) == mean(job(estimate=77.0))


def test_what_a_run_can_still_take_is_longer_than_it_has_lasted() -> None:
    length = Durations().length("ann", "sampler", 10.0)
    assert length.beyond(11.0) == [12.0, 16.0, 30.0]
    assert length.beyond(31.0) == []


def test_the_groups_are_bounded() -> None:
    known = Durations()
    for number in range(durations.GROUPS + 10):
        known.note(f"u{number}", "sampler", 1.0, 2.0)
    assert len(known._groups) == durations.GROUPS
    assert known.length("anybody", "sampler", 10.0).at(0.5) == 20.0  # what is used stays


# sessions


def drawn(known: Habits, idle: float = 0.0, mode: str = "dedicated", user: str = "ann") -> list[float | None]:
    random = Random(1)
    return [known.goes_on(mode, user, idle, random) for _ in range(400)]


def test_a_session_goes_on_as_often_and_after_such_pauses_as_before() -> None:
    known = Habits()
    for number in range(60):
        known.note("dedicated", "ann", Next.CLOSE if number % 4 == 0 else Next.JOB, 2.0)
    pauses = drawn(known)
    assert set(pauses) == {2.0, None}
    assert 0.65 < sum(pause is not None for pause in pauses) / 400 < 0.8


def test_what_is_past_does_not_come() -> None:
    known = Habits()
    for number in range(60):
        known.note("dedicated", "ann", Next.JOB, float(number % 10))
    assert min(pause for pause in drawn(known, idle=6.5) if pause is not None) == 7.0
    assert set(drawn(known, idle=100.0)) == {None}


def test_another_user_is_like_all_of_the_mode_and_another_mode_is_not() -> None:
    known = Habits()
    for _ in range(20):
        known.note("dedicated", "ann", Next.CLOSE, 0.5)
    random = Random(1)
    assert {known.closes("dedicated", "bob", 0.0, random) for _ in range(20)} == {0.5}
    assert {known.closes("batch", "bob", 0.0, random) for _ in range(40)} == {0.1, None}


def test_a_session_that_is_never_closed_is_left_to_its_ttl() -> None:
    known = Habits()
    for _ in range(20):
        known.note("dedicated", "ann", Next.LAPSE, inf)
    random = Random(1)
    assert known.closes("dedicated", "ann", 0.0, random) is None
    assert known.goes_on("dedicated", "ann", 0.0, random) is None
    assert known.further("dedicated", "ann", random) == 0
    assert known.pause("dedicated", "ann", random) == 0.0


def test_a_close_that_should_have_come_by_now_is_not_waited_for() -> None:
    known = Habits()
    for _ in range(20):
        known.note("dedicated", "ann", Next.CLOSE, 0.5)
    assert known.closes("dedicated", "ann", 1.0, Random(1)) is None


def test_how_many_jobs_follow_is_as_it_was_and_bounded() -> None:
    known, random = Habits(), Random(1)
    for number in range(60):
        known.note("dedicated", "ann", Next.CLOSE if number % 3 == 0 else Next.JOB, 1.0)
    counts = [known.further("dedicated", "ann", random) for _ in range(2000)]
    assert 1.5 < sum(counts) / 2000 < 2.3  # of three things two are jobs
    for _ in range(70):
        known.note("dedicated", "ann", Next.JOB, 1.0)
    assert max(known.further("dedicated", "ann", random) for _ in range(2000)) <= habits.MOST_FURTHER


def test_the_habits_are_bounded() -> None:
    known = Habits()
    for number in range(durations.GROUPS + 10):
        known.note("dedicated", f"u{number}", Next.CLOSE, 1.0)
    assert len(known._groups) == durations.GROUPS


# what was said and what came


def test_nothing_is_corrected_before_there_is_enough_to_compare() -> None:
    known = Corrections()
    for number in range(corrections.NEEDED - 1):
        known.said(f"j{number}", 0.0, (1.0, 2.0, 3.0), 0)
        known.came(f"j{number}", 20.0)
    assert set(known.factors()) == {Factors()}
    assert Factors().corrected((1.0, 2.0, 3.0)) == pytest.approx((1.0, 2.0, 3.0))


@pytest.mark.parametrize("seed", range(5))
def test_each_edge_goes_where_it_would_have_been_right(seed: int) -> None:
    """The truth is spread twice as wide as was said, and half as late again."""
    random, known = Random(seed), Corrections()

    def truth() -> float:
        return 150.0 * random.lognormvariate(0.0, 0.6)

    for number in range(corrections.KEPT):
        known.said(f"j{number}", 0.0, (80.0, 100.0, 120.0), 0)
        known.came(f"j{number}", truth())
    low, middle, high = of_place(known.factors(), 0).corrected((80.0, 100.0, 120.0))
    assert 130.0 < middle < 170.0
    inside = sum(low <= truth() <= high for _ in range(2000)) / 2000
    assert 0.72 < inside < 0.88


def test_the_next_jobs_are_corrected_apart_from_those_far_back() -> None:
    known = Corrections()
    for number in range(corrections.NEEDED):
        known.said(f"next{number}", 0.0, (10.0, 10.0, 10.0), 1)
        known.came(f"next{number}", 10.0)
        known.said(f"far{number}", 0.0, (10.0, 10.0, 10.0), 500)
        known.came(f"far{number}", 32.15)
    first, second, third = known.factors()
    assert first == Factors()
    assert second == of_place(known.factors(), 7) != first  # nothing is known of them: as all
    assert third == of_place(known.factors(), 20)
    assert third.expected == pytest.approx(3.0, rel=0.01)


def test_a_correction_keeps_the_order_of_jobs_and_of_edges() -> None:
    factors = Factors(4.0, 0.2, 0.1)
    low, middle, high = factors.corrected((10.0, 20.0, 30.0))
    assert low <= middle <= high
    middles = [factors.corrected((0.0, float(wait), 2.0 * wait))[1] for wait in range(50)]
    assert middles == sorted(middles)
    assert Factors(earliest=0.1).corrected((0.0, 1.0, 2.0))[0] == 0.0


def test_a_correction_is_bounded() -> None:
    known = Corrections()
    for number in range(corrections.NEEDED):
        known.said(f"j{number}", 0.0, (1.0, 1.0, 1.0), 0)
        known.came(f"j{number}", 1e9)
    assert set(known.factors()) == {Factors(*[corrections.MOST] * 3)}


def test_of_a_job_several_things_can_be_said_and_each_is_compared_once() -> None:
    known = Corrections()
    known.said("j", 0.0, (1.0, 2.0, 3.0), 0)
    known.said("j", 1.0, (1.0, 1.0, 1.0), 0)
    known.came("j", 2.0)
    known.came("j", 3.0)
    known.came("another", 3.0)
    assert len(known) == 2


def test_those_that_are_late_count_while_they_wait() -> None:
    known = Corrections()
    for number in range(corrections.NEEDED):
        known.said(f"j{number}", 0.0, (10.0, 10.0, 10.0), 0)
        known.came(f"j{number}", 10.0)
    waiting = [f"late{number}" for number in range(60)]
    for name in waiting:
        known.said(name, 0.0, (10.0, 10.0, 10.0), 0)
    assert known.factors(9.0, waiting)[0] == Factors()
    assert known.factors(31.05, ())[0] == Factors()  # they wait no longer
    assert known.factors(32.15, waiting)[0].expected == pytest.approx(3.0, rel=0.01)


def test_what_never_comes_is_forgotten() -> None:
    known = Corrections()
    known.said("gone", 0.0, (1.0, 2.0, 3.0), 0)
    known.said("twice", 0.0, (1.0, 2.0, 3.0), 0)
    known.said("twice", 1.0, (1.0, 2.0, 3.0), 0)
    for number in range(corrections.AWAITED - 1):
        known.said(f"j{number}", 1.0, (1.0, 2.0, 3.0), 0)
    known.came("gone", 5.0)
    assert len(known) == 0
    known.came("twice", 5.0)
    assert len(known) == 1


# rows


def ran(job_id: str, accepted: float, ended: float, session: str | None = "s") -> Ran:
    mode = "dedicated" if session else None
    return Ran(job_id, "ann", "sampler", 1.0, accepted, ended - 2.0, ended, session, mode)


def test_a_pause_is_the_time_between_a_job_of_a_session_and_the_next() -> None:
    known = Learned()
    for number in range(durations.ENOUGH + 1):
        known.ran(ran(f"j{number}", 10.0 * number - 6.0, 10.0 * number))
    assert set(drawn(known.habits)) == {4.0, None}
    assert known.durations.length("ann", "sampler", 5.0).at(0.5) == 10.0


def test_jobs_that_waited_for_each_other_and_plain_jobs_have_no_pause() -> None:
    known = Learned()
    for number in range(20):
        known.ran(ran(f"j{number}", 0.0, 10.0 * number + 5.0))
        known.ran(ran(f"p{number}", 1000.0, 1010.0, None))
    assert not known.habits._groups


def test_a_close_and_a_lapse_are_learned() -> None:
    known, random = Learned(), Random(1)
    for number in range(10):
        known.left(Left(f"s{number}", "ann", "dedicated", 10.5, 10.0, closed=True))
        known.left(Left(f"t{number}", "bob", "dedicated", 310.0, 10.0, closed=False))
    assert {known.habits.closes("dedicated", "ann", 0.0, random) for _ in range(20)} == {0.5}
    assert {known.habits.closes("dedicated", "bob", 0.0, random) for _ in range(20)} == {None}


def test_the_sessions_that_are_remembered_are_bounded() -> None:
    known = Learned()
    for number in range(learned.SESSIONS + 5):
        known.ran(ran(f"j{number}", 0.0, 5.0, f"s{number}"))
    assert len(known._ended) == learned.SESSIONS


def test_a_job_that_has_run_is_compared_with_what_was_said_of_it() -> None:
    known = Learned()
    known.corrections.said("j", 0.0, (1.0, 2.0, 3.0), 0)
    known.ran(ran("j", 0.0, 12.0))
    assert len(known.corrections) == 1


def test_lengths_and_pauses_are_those_of_the_user_and_the_program() -> None:
    known = Learned()
    for number in range(20):
        begun = 100.0 * number
        known.ran(Ran(f"a{number}", "ann", "sampler", 1.0, begun, begun, begun + 0.5, "s", "dedicated"))
        known.ran(
            Ran(
                f"b{number}",
                "bob",
                "estimator",
                1.0,
                begun + 1.0,
                begun + 1.0,
                begun + 31.0,
                "t",
                "dedicated",
            )
        )
    for user, program, seconds, pause in (("ann", "sampler", 0.5, 99.5), ("bob", "estimator", 30.0, 70.0)):
        length = known.durations.length(user, program, 1.0)
        assert (length.own, length.at(0.5)) == (True, seconds)
        assert set(drawn(known.habits, user=user)) == {pause, None}


def test_a_job_that_comes_at_the_very_end_of_the_one_before_comes_after_no_pause() -> None:
    known = Learned()
    for number in range(20):
        known.ran(ran(f"j{number}", 10.0 * (number - 1), 10.0 * number))
    assert set(drawn(known.habits)) == {0.0, None}


def test_a_job_of_a_session_of_which_the_mode_is_not_known_teaches_no_pause() -> None:
    known = Learned()
    for number in range(20):
        known.ran(replace(ran(f"j{number}", 10.0 * number - 6.0, 10.0 * number), mode=None))
    assert not known.habits._groups


def test_the_sessions_that_are_remembered_are_the_latest() -> None:
    known = Learned()
    for number in range(learned.SESSIONS + 5):
        known.ran(ran(f"j{number}", 0.0, 5.0, f"s{number}"))
    assert "s0" not in known._ended
    assert f"s{learned.SESSIONS + 4}" in known._ended


def test_the_groups_of_sessions_that_are_kept_are_the_latest() -> None:
    known = Habits()
    for number in range(durations.GROUPS + 10):
        known.note("dedicated", f"u{number}", Next.CLOSE, 1.0)
    assert ("dedicated", "u0") not in known._groups
    assert ("dedicated", f"u{durations.GROUPS + 9}") in known._groups
