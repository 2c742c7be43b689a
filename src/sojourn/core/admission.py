"""Checks a new job or session: refuses it with a reason, or gives warnings. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sojourn import codes
from sojourn.core.calendar import Calendar
from sojourn.core.effects import Rejected
from sojourn.core.events import JobAccepted
from sojourn.core.fair_share.queue import FairShareQueue
from sojourn.core.model import DeviceMode, DeviceStatus, Job, JobKind, Session
from sojourn.core.profile import SESSION_PROGRAMS, Profile
from sojourn.core.wording.formatting import at_time, seconds
from sojourn.core.wording.limits import left_before, limit_of, remedy, source_of


def draining(device: str, status: DeviceStatus | None) -> Rejected | None:
    if status is None or status.mode is not DeviceMode.DRAINING:
        return None
    why = status.message or "no reason was given"
    return Rejected(
        codes.DEVICE_DRAINING,
        f"{device} is being drained by {status.by} and takes no new work: {why}. "
        "Use another device, or try later.",
    )


def job(
    event: JobAccepted,
    sessions: Mapping[str, Session],
    profile: Profile,
    device: str,
    status: DeviceStatus | None,
) -> Rejected | None:
    """R5, R6, R20, R35, R52."""
    if event.kind is JobKind.SYSTEM:
        return None
    if event.session_id is not None:
        refused = _in_session(event, sessions.get(event.session_id), profile, device)
        if refused is not None:
            return refused
    elif (refused := draining(device, status)) is not None:
        return refused
    if event.own_limit is not None and event.own_limit > profile.job_cap:
        return Rejected(
            codes.OVER_LIMIT,
            f"The job's max_execution_time is {seconds(event.own_limit)}; no job runs longer than "
            f"{seconds(profile.job_cap)} here. Ask for less, or split the job.",
        )
    return None


def accepted(event: JobAccepted, profile: Profile, now: float) -> Job:
    """The job that the event brings, with the limit that holds until there is an estimate (R52)."""
    return Job(
        id=event.job_id,
        seq=event.seq,
        user=event.user,
        project=event.project,
        program=event.program,
        accepted_at=now,
        limit=profile.run_limit(event.program, event.own_limit),
        own_limit=event.own_limit,
        stated=event.stated,
        session_id=event.session_id,
        kind=event.kind,
    )


def _in_session(
    event: JobAccepted, session: Session | None, profile: Profile, device: str
) -> Rejected | None:
    if session is None:
        return Rejected(
            codes.SESSION_CLOSED,
            f"Session {event.session_id} is not open on {device}. Open a new session.",
        )
    if not session.accepting:
        return Rejected(
            codes.SESSION_CLOSED,
            f"Session {session.id} takes no more jobs: {session.reason or 'it was closed.'} "
            "A session cannot be reopened; open a new one.",
        )
    if event.program not in SESSION_PROGRAMS:
        return Rejected(
            codes.NOT_IN_SESSION,
            f"Program {event.program!r} cannot run in a session; these can: "
            f"{', '.join(sorted(SESSION_PROGRAMS))}. Submit it without a session.",
        )
    longest = session.max_time if session.max_time is not None else profile.max_time
    if event.own_limit is not None and event.own_limit > longest:
        otherwise = "open a longer session" if longest < profile.max_time else "split the job"
        return Rejected(
            codes.OVER_LIMIT,
            f"The job's max_execution_time is {seconds(event.own_limit)} but session {session.id} lasts "
            f"at most {seconds(longest)} (max_time). Ask for less, or {otherwise}.",
        )
    return None


def session(
    max_time: float | None, profile: Profile, device: str, status: DeviceStatus | None
) -> Rejected | None:
    """R20."""
    if (refused := draining(device, status)) is not None:
        return refused
    if max_time is not None and not 0 < max_time <= profile.max_time:
        return Rejected(
            codes.OVER_LIMIT,
            f"max_time is {seconds(max_time)}; on {device} a session lasts more than 0 s and at most "
            f"{seconds(profile.max_time)}. Ask for a time in that range.",
        )
    return None


def session_reservations(length: float, project: str, calendar: Calendar, now: float) -> Iterator[str]:
    """R44: warnings about reservations for the owner of a session of `length` seconds."""
    yield from _open_reservation("session", length, project, calendar, now)
    ahead = calendar.next_dedicated(now, project)
    if ahead is not None and calendar.date(now) + length > ahead.start:
        yield (
            f"Reservation {ahead.id} has the device from {at_time(ahead.start)} to {at_time(ahead.end)}; "
            f"a session of {seconds(length)} does not fit before it."
        )


def job_reservations(job: Job, profile: Profile, calendar: Calendar, now: float) -> Iterator[str]:
    """R44: warnings about reservations for the owner of a job, with what would fit before them."""
    yield from _open_reservation("job", job.limit, job.project, calendar, now)
    ahead = calendar.next_dedicated(now, job.project)
    date = calendar.date(now)
    if ahead is not None and date + job.limit > ahead.start:
        gap = ahead.start - date
        yield (
            f"Reservation {ahead.id} has the device from {at_time(ahead.start)} to {at_time(ahead.end)}; "
            f"the job with its {limit_of(job, profile)} does not fit into the {left_before(gap)} before "
            f"it{remedy(gap, job.estimate or None, source_of(job, profile))}."
        )


def _open_reservation(
    what: str, length: float, project: str, calendar: Calendar, now: float
) -> Iterator[str]:
    reservation = calendar.open_at(now)
    if (
        reservation is not None
        and reservation.project == project
        and calendar.date(now) + length > reservation.end
    ):
        yield (
            f"This {what} may take {seconds(length)}, but your reservation {reservation.id} ends at "
            f"{at_time(reservation.end)}; jobs of a session that have not started by then "
            + ("fail." if reservation.after_window == "fail" else "wait in the queue.")
        )
    elif reservation is not None and reservation.project != project and reservation.mode == "dedicated":
        yield f"Reservation {reservation.id} has the device until {at_time(reservation.end)}."


def allocation(what: str, project: str, fair: FairShareQueue) -> Iterator[str]:
    """R50: warnings about the project's allocation for the owner of a job or session in the queue."""
    if fair.blocked(project):
        if granted := fair.shares.project(project).allocation:
            spent = f"used up its allocation of {seconds(granted)}"
            once = "earlier usage no longer counts or "
        else:
            spent, once = "an allocation of 0 s", ""
        yield (
            f"Your project has {spent}: the {what} is queued and starts when {once}an operator raises the "
            "allocation."
        )
