"""The policy of Sojourn as a pure machine: events in, effects out.

Standard library only: no clock, no I/O, no threads, no randomness. `now` comes with each event, in seconds
since the epoch; what has to be done comes back as effects.
"""

from sojourn.core.lane import Lane
from sojourn.core.model import Job, JobKind, JobState, Mode, Session, SessionState
from sojourn.core.profile import PROFILES, Profile

__all__ = ["PROFILES", "Job", "JobKind", "JobState", "Lane", "Mode", "Profile", "Session", "SessionState"]
