"""What a forecast needs of a lane, taken at one moment and cheap to take: some 10 ns for each job that waits.

The jobs that wait are the lane's own, not copies. A forecast reads of them only what does not change while
they wait, so it may be made in another thread while the lane goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass

from sojourn.core.calendar import Reservation
from sojourn.core.explanation.reasons import DeviceDown, DeviceStopped
from sojourn.core.fair_share.shares import Shares
from sojourn.core.lane import Lane
from sojourn.core.model import DeviceMode, DeviceStatus, Job, Session
from sojourn.core.profile import Profile

Used = tuple[str, str, float]
"""Project, user, and the seconds that count against both."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A lane at `now`. `stopped` is why nothing starts on its device.

    `calibrations` are the times at which its schedule will queue one, in order.
    """

    device: str
    profile: Profile
    shares: Shares
    now: float
    lead: float
    status: DeviceStatus | None
    stopped: DeviceStopped | DeviceDown | None
    running: Job | None
    active: str | None
    waiting: Sequence[Job]
    sessions: Sequence[Session]
    reservations: Sequence[Reservation]
    used: Sequence[Used]
    calibrations: tuple[float, ...]


def take(lane: Lane, now: float, calibrations: Iterable[float] = ()) -> Snapshot:
    """As of the lane's last event; `now` is not before it."""
    now = max(now, lane.now)
    running = lane.running
    jobs = dict(lane.jobs)
    ran = jobs.pop(running) if running is not None else None
    return Snapshot(
        device=lane.device,
        profile=lane.profile,
        shares=lane.shares,
        now=now,
        lead=lane.calendar.lead,
        status=lane.status,
        stopped=why_stopped(lane),
        running=copy(ran) if ran is not None else None,
        active=lane.active,
        waiting=list(jobs.values()),
        sessions=[copy(session) for session in lane.sessions.values()],
        reservations=[copy(reservation) for reservation in lane.reservations],
        used=list(lane.fair.used_by_everybody()),
        calibrations=tuple(sorted(calibrations)),
    )


def why_stopped(lane: Lane) -> DeviceStopped | DeviceDown | None:
    status = lane.status
    if status is not None and status.mode is not DeviceMode.DRAINING:
        return DeviceStopped(status.mode, status.by, status.message, status.until)
    return None if lane.ready else DeviceDown(lane.lost_because)
