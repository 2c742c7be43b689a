"""Adds up what a device does: the seconds of all states together are the time that has passed."""

from __future__ import annotations

from enum import StrEnum

from sojourn.core import Lane
from sojourn.core.calendar import ReservationMode
from sojourn.core.model import DeviceMode


class Doing(StrEnum):
    """What a device does. Of several that hold, the first counts."""

    BUSY = "busy"
    """A job runs, or is being cleared away."""
    DOWN = "down"
    """Its worker is not there, or nothing may start for lack of disk space."""
    STOPPED = "stopped"
    """Operators have paused it, or put it into maintenance."""
    RESERVED = "reserved"
    """It is kept free for the project of a dedicated reservation."""
    HELD = "held"
    """A session or batch has it."""
    IDLE = "idle"


def doing(lane: Lane) -> Doing:
    """As of the lane's last event: nothing of it changes without one."""
    if lane.run is not None:
        return Doing.BUSY
    if not lane.ready:
        return Doing.DOWN
    if lane.status is not None and lane.status.mode is not DeviceMode.DRAINING:
        return Doing.STOPPED
    reservation, session = lane.calendar.open_at(lane.now), lane.queues.active
    if (
        reservation is not None
        and reservation.mode is ReservationMode.DEDICATED
        and (session is None or session.project != reservation.project)
    ):
        return Doing.RESERVED
    return Doing.IDLE if session is None else Doing.HELD


class DeviceTime:
    """From `now` on. Times are of a clock that no step of the machine's clock is in."""

    def __init__(self, now: float) -> None:
        self.doing = Doing.DOWN
        self._since = now
        self._seconds = dict.fromkeys(Doing, 0.0)

    def note(self, doing: Doing, now: float) -> None:
        """From now on it does this."""
        self._seconds = self.until(now)
        self._since = max(now, self._since)
        self.doing = doing

    def until(self, now: float) -> dict[Doing, float]:
        """The seconds of each state up to now."""
        lasted = max(0.0, now - self._since)
        return self._seconds | {self.doing: self._seconds[self.doing] + lasted}
