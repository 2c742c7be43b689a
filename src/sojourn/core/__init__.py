"""The policy of Sojourn as a pure machine: events in, effects out.

Standard library only: no clock, no I/O, no threads, no randomness. `now` comes with each event, in seconds
since the epoch; what has to happen in the world comes back as effects (architecture.md, ideas 1 and 2).
"""

from sojourn.core.lane import Lane
from sojourn.core.model import Job, JobKind, JobState, Mode, Session, SessionState
from sojourn.core.profile import PROFILES, Profile

__all__ = ["PROFILES", "Job", "JobKind", "JobState", "Lane", "Mode", "Profile", "Session", "SessionState"]
