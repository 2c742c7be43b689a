"""Describes the limit of a job: how long it may run, where that comes from, what fits before a reservation.

The numbers themselves are the profile's.
"""

from __future__ import annotations

from enum import StrEnum

from sojourn.core.model import Job
from sojourn.core.profile import Profile
from sojourn.core.wording.formatting import at_time, seconds


class LimitSource(StrEnum):
    """What a job's limit comes from."""

    STATED = "stated"  # its max_execution_time
    PROJECT = "project"  # the longest run that its project, or its session, allows
    PROGRAM = "program"  # the default of its program
    ESTIMATE = "estimate"  # D22


_UNSTATED = "as it states no max_execution_time"


def source_of(job: Job, profile: Profile) -> LimitSource | None:
    """None when the numbers of the profile have changed since and do not explain the job's limit."""
    if job.own_limit is not None and job.stated:
        return LimitSource.STATED
    if job.limit == profile.run_limit(job.program, job.own_limit):
        return LimitSource.PROGRAM if job.own_limit is None else LimitSource.PROJECT
    return LimitSource.ESTIMATE if job.limit == profile.from_estimate(job) else None


def named(limit: float, source: LimitSource | None, estimate: float | None) -> str:
    """`limit of 60 s (its max_execution_time)`; times in seconds."""
    match source:
        case LimitSource.STATED:
            why = " (its max_execution_time)"
        case LimitSource.PROJECT:
            why = f" (the longest that its project or session allows, {_UNSTATED})"
        case LimitSource.PROGRAM:
            why = f" (the default of its program, {_UNSTATED})"
        case LimitSource.ESTIMATE:
            why = f" (from its estimate of {_about(estimate or 0.0)}, {_UNSTATED})"
        case _:
            why = ""
    return f"limit of {seconds(limit)}{why}"


def limit_of(job: Job, profile: Profile) -> str:
    """The job's own limit, named."""
    return named(job.limit, source_of(job, profile), job.estimate)


def fitting(gap: float, estimate: float | None) -> int | None:
    """The longest max_execution_time with which the job would fit into `gap` seconds: it is a whole number,
    at least 1. None when there is none, or when the job is estimated to take longer."""
    most = int(gap)
    return most if most >= 1 and (estimate is None or estimate <= most) else None


def remedy(gap: float, estimate: float | None, source: LimitSource | None) -> str:
    """The end of a sentence about a job that does not fit into `gap` seconds: what would."""
    most = fitting(gap, estimate)
    if most is not None:
        known = ""
        if estimate is not None and source is not LimitSource.ESTIMATE:  # else it was named with the limit
            known = f"its estimate is {_about(estimate)}: "
        return f"; {known}submitted with a max_execution_time of at most {most} s it would fit now"
    if estimate is not None and estimate > gap:
        return f", and its estimate of {_about(estimate)} does not either"
    return ""


def overrun(job: Job, profile: Profile, at: float) -> str:
    """R52: why the job was stopped at `at`, and, of one that stated no limit, how to get a longer one."""
    why = f"The job ran longer than its {limit_of(job, profile)} and was stopped at {at_time(at)}."
    longest = profile.job_cap if job.own_limit is None else min(job.own_limit, profile.job_cap)
    if job.limit >= longest:
        return why
    return f"{why} State what it needs as max_execution_time, at most {seconds(longest)}."


def killed(job: Job, how: str | None) -> str:
    """D23: why a job is charged for runs of which its worker died. `how` is a sentence about the last one."""
    runs, used = len(job.crashed), sum(end - start for start, end, _ in job.crashed)
    return (
        f"{how or 'The worker died of it.'} That has happened in {runs} runs of this job, so it is taken for "
        f"the job's doing, and the {seconds(round(used, 3))} that they took are charged. Submit less in one "
        "job, such as fewer qubits, circuits or shots; if it should run, give the operator the job's id."
    )


def too_often(job: Job, profile: Profile, why: str | None) -> str:
    """R55: why a job whose runs were lost again and again is not started once more."""
    last = f" The last one: {why}" if why else ""
    return (
        f"The job was started {job.attempt} times and each run was lost: the service or the device's worker "
        f"ended. No job is started more than {profile.most_attempts} times (most_attempts), since the job "
        f"itself may be what ends them.{last}"
    )


def not_twice(why: str) -> str:
    """R55: why a job whose run was lost is not run again on an instrument."""
    return (
        f"{why.rstrip('.')}. The device may have carried it out, in part or as a whole, and a job on it is "
        "not repeated unasked. Nothing is charged; submit it again if it should run once more."
    )


def left_before(gap: float) -> str:
    """The time that is left, to a tenth of a second."""
    return seconds(round(gap, 1))


def _about(estimate: float) -> str:
    """An estimate as people read it: to a millisecond."""
    return seconds(max(0.001, round(estimate, 3)))
