"""Explains why a job waits, from the lane itself, so the reasons are as true as its next decision.

Reads a lane and changes nothing. Position, depth and reasons come from one look at one moment, which goes
through nobody's jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from sojourn.core.calendar import ReservationMode
from sojourn.core.explanation.reasons import (
    AllocationUsed,
    Clearing,
    DeviceDown,
    DeviceStopped,
    DoesNotFit,
    JobsAhead,
    NoWeight,
    OverShare,
    Preparing,
    Reason,
    Reserved,
    Running,
    SessionHolds,
    SystemJobsAhead,
)
from sojourn.core.fair_share.ranks import outweighed
from sojourn.core.fair_share.tree import Node
from sojourn.core.lane import Lane
from sojourn.core.model import DeviceMode, Job, JobKind, JobState, Session
from sojourn.core.queues import Place, Standing
from sojourn.core.wording.limits import fitting, source_of


@dataclass(frozen=True, slots=True)
class Explanation:
    """`position` jobs are before it (the running one counts); `depth` wait on the device in all.

    `starts_at` is when it starts if nothing else happens, where only reservations keep it.
    """

    job_id: str
    position: int | None
    depth: int
    reasons: tuple[Reason, ...]
    starts_at: float | None = None


def explain(lane: Lane, job_id: str, now: float = 0.0) -> Explanation | None:
    """Why the job waits on this lane, as of the lane's last event; None unless it is accepted or queued.

    What is left before a reservation is counted from `now`, if that is later than the last event.
    """
    now = max(now, lane.now)
    job = lane.state.jobs.get(job_id)
    if job is None or job.state is JobState.RUNNING:
        return None
    if job.state is JobState.ACCEPTED:
        return Explanation(job_id, None, lane.depth, (Preparing(), *_of_device(lane)))
    standing = lane.standing(job)
    of_queue = _of_queue(lane, job, standing)
    reasons = (*_of_device(lane), *_of_time(lane, job, standing.place, now), *_of_run(lane), *of_queue)
    only_reservations = all(isinstance(reason, Reserved | DoesNotFit) for reason in reasons)
    starts_at = _starts_at(lane, job, now) if only_reservations else None
    return Explanation(job_id, standing.position + (lane.running is not None), lane.depth, reasons, starts_at)


def _of_device(lane: Lane) -> list[Reason]:
    found: list[Reason] = []
    if lane.status is not None and lane.status.mode is not DeviceMode.DRAINING:
        found.append(DeviceStopped(lane.status.mode, lane.status.by, lane.status.message, lane.status.until))
    if not lane.ready:
        found.append(DeviceDown(lane.lost_because))
    return found


def _of_time(lane: Lane, job: Job, place: Place, now: float) -> list[Reason]:
    """Reservations and allocations: what keeps the job from starting even when it is its turn."""
    found: list[Reason] = []
    if place is Place.SPENT:
        allocation = lane.fair.shares.project(job.project).allocation
        found.append(AllocationUsed(job.project, lane.fair.used(job.project), allocation or 0.0))
    if job.kind is JobKind.SYSTEM:  # goes first, whoever has booked (R9)
        return found
    reservation = lane.calendar.open_at(now)
    if (
        reservation is not None
        and reservation.project != job.project
        and reservation.mode is ReservationMode.DEDICATED
    ):
        found.append(Reserved(reservation.id, reservation.project, reservation.mode, reservation.end))
    ahead = lane.calendar.next_dedicated(now, job.project)
    if ahead is not None and not lane.queues.fits(job, now):
        gap = ahead.start - lane.calendar.date(now)
        source, estimate = source_of(job, lane.profile), job.estimate or None
        would_fit = fitting(gap, estimate)
        found.append(
            DoesNotFit(ahead.id, ahead.start, ahead.end, job.limit, gap, source, estimate, would_fit)
        )
    return found


def _starts_at(lane: Lane, job: Job, now: float) -> float | None:
    """From when on the dedicated reservations of other projects leave the job the time that it may run;
    None when it has failed by then."""
    at, instant = now, lane.calendar.instant
    for reservation in lane.calendar:
        if reservation.mode is ReservationMode.DEDICATED and reservation.project != job.project:
            if instant(reservation.start) >= at + job.limit:
                break
            at = max(at, instant(reservation.end))
    return at if at < _waits_until(lane, job) else None


def _waits_until(lane: Lane, job: Job) -> float:
    """When it fails if not started: with its session (R33), the reservation of that (R44) or its cached
    data (R34)."""
    if job.detached or job.session_id is None:
        return job.cache_expires_at or inf
    session = lane.state.sessions[job.session_id]
    reservation = lane.calendar.get(session.window or "")
    return min(session.ends_at or inf, inf if reservation is None else lane.calendar.instant(reservation.end))


def _of_run(lane: Lane) -> list[Reason]:
    """What occupies the device."""
    if lane.run is None:
        return []
    job = lane.state.jobs.get(lane.run.job_id)
    if job is None:
        return [Clearing(lane.run.job_id)]
    return [Running(job.id, job.project, None if job.detached else job.session_id)]


def _of_queue(lane: Lane, job: Job, standing: Standing) -> list[Reason]:
    """Who goes first."""
    found: list[Reason] = []
    mine = standing.place
    if standing.system:
        found.append(SystemJobsAhead(standing.system))
    reservation = lane.calendar.open_at(lane.now) if standing.holders else None
    if (
        reservation is not None
        and reservation.mode is ReservationMode.PRIORITY
        and reservation.project != job.project
    ):
        found.append(Reserved(reservation.id, reservation.project, reservation.mode, reservation.end))
    active = lane.queues.active
    if active is not None and mine > Place.SESSION and not _ends_with_its_run(lane, active):
        found.append(SessionHolds(active.id, active.project, standing.session, _held_until(lane, active)))
    others = standing.by_project()
    if active is not None and mine is Place.SESSION and standing.session:
        others[active.project] = standing.session  # a reservation of its project would not be before it
    if others:
        found.append(JobsAhead(tuple(sorted(others.items()))))
    if mine >= Place.QUEUE or mine is Place.HOLDER:
        if others.keys() - {job.project} and (ratio := _over_share(lane, job)) > 1.0:
            found.append(OverShare(job.project, ratio))
        if (level := _weightless(lane, job, standing)) is not None:
            found.append(NoWeight(level))
    return found


def _ends_with_its_run(lane: Lane, active: Session) -> bool:
    """It takes no more jobs, and the one that runs is its last (R38a)."""
    return not active.accepting and lane.state.count_members(active.id) <= (active.running_since is not None)


def _held_until(lane: Lane, active: Session) -> float | None:
    """When it loses the device if nothing else happens; None while it has a job for it, or no clock runs."""
    if active.ttl_at is None or lane.queues.session_ready(lane.now):
        return None
    until = min(active.ttl_at, active.ends_at or inf)
    reservation = lane.calendar.get(active.window or "")  # R44
    return until if reservation is None else min(until, lane.calendar.instant(reservation.end))


def _weightless(lane: Lane, job: Job, standing: Standing) -> str | None:
    """The level at which somebody goes first because the weight there is 0."""
    user = lane.fair.leaf(job.project, job.user)
    levels = [
        *(outweighed(user, node) for node in standing.holders),
        *sorted(
            (outweighed(user, node) for node in standing.queue), key=_LEVELS.index
        ),  # as they are in line
        *(outweighed(user, node) for node in sorted(standing.spent, key=Node.oldest)),
    ]
    return next(filter(None, levels), None)


_LEVELS = ("account", "project", "user", None)


def _over_share(lane: Lane, job: Job) -> float:
    """The project's part of what the waiting projects have used, over the part that it is entitled to.

    That is its account's weight among the accounts that wait, times its own among that account's projects.
    """
    shares, waiting = lane.fair.shares, lane.fair.waiting_projects()
    accounts = {shares.project(p).account for p in waiting}
    account = shares.project(job.project).account
    siblings = [shares.project(p).weight for p in waiting if shares.project(p).account == account]
    used = sum(map(lane.fair.used, waiting))
    every = sum(map(shares.account_weight, accounts)) * sum(siblings)
    entitled = shares.account_weight(account) * shares.project(job.project).weight
    if used <= 0 or entitled <= 0:
        return 0.0
    return (lane.fair.used(job.project) / used) / (entitled / every)
