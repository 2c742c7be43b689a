"""The policy of Sojourn as a pure machine: events in, effects out.

Standard library only: no clock, no I/O, no threads, no randomness. `now` comes with each event, in seconds
since the epoch; what has to be done comes back as effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn.core.model import Job, JobKind, JobState, Mode, Session, SessionState
from sojourn.core.profile import PROFILES, Profile

if TYPE_CHECKING:
    from sojourn.core.lane import Lane

__all__ = ["PROFILES", "Job", "JobKind", "JobState", "Lane", "Mode", "Profile", "Session", "SessionState"]


def __getattr__(name: str) -> object:
    """Imports `Lane` at its first use: the configuration needs the profiles only, and so does every command
    of the command line that reads one."""
    if name == "Lane":
        from sojourn.core.lane import Lane

        globals()["Lane"] = Lane
        return Lane
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
