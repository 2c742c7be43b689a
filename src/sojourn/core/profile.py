"""The numbers and switches of a policy, as data. Code never asks for a profile by name.

`ibm2023` is the default: the rules as docs/policy.md states them. `ibm2026` differs from it only
in these fields, and a site can define its own profiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sojourn.core.model import Job, JobState, Mode
from sojourn.programs import PRIMITIVES

HOUR = 3600.0
DAY = 24 * HOUR

SESSION_PROGRAMS = frozenset(primitive.name for primitive in PRIMITIVES if primitive.session)
"""R6: the programs that may run in a session."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One policy. Times are in seconds.

    Sessions. `interactive_ttl`, `batch_ttl`: R21. `max_time`: the system limit (R19, R20);
    `default_max_time`: what a session lasts that does not say, None for the root's limit (R19).
    `unused_expiry`: R26. `cache_grace`: how long the root's data outlives `max_time` (R42).
    `root_cancel_ends_session`: R40. `hard_close`: what a hard close makes of queued jobs (R33).
    `charge_holds`: the modes whose idle holds are charged (R49). `open_plan_sessions`: whether projects on
    the open plan may have sessions.

    Jobs. `program_limits`, `job_limit`: what a job may run when it does not say (R19); `job_cap`: the longest
    that any job may run (R52). `estimate_factor`, `estimate_floor`: the limit of a job that states none is
    `max(floor, factor x estimate)` where that is less; a factor of 0 is off (D22). `crash_reruns`: how often
    a job is run again after its worker died; `charged_crashes`: one that fails because its worker died in so
    many of its runs, or more, is charged for them, 0 for never (D23). `rerun_lost`: R55; `most_attempts`: how
    often such a job is started at most. `system_in_dedicated`: whether a system job may run while an
    interactive session is active (R11).

    Queue. `fair_share_window` and `half_life`: R48. `reservation_minimum`: the shortest
    reservation; `reservation_allowance`: seconds that a project may have reserved ahead, None for no limit
    (R47).
    """

    name: str = "ibm2023"
    interactive_ttl: float = 300.0
    batch_ttl: float = 300.0
    max_time: float = 8 * HOUR
    default_max_time: float | None = None
    unused_expiry: float = 1800.0
    cache_grace: float = HOUR
    root_cancel_ends_session: bool = True
    hard_close: JobState = JobState.FAILED
    charge_holds: frozenset[Mode] = frozenset(Mode)
    open_plan_sessions: bool = True
    program_limits: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({p.name: p.limit for p in PRIMITIVES if p.limit is not None})
    )
    job_limit: float = 10_000.0
    job_cap: float = 3 * HOUR
    estimate_factor: float = 0.0
    estimate_floor: float = 300.0
    crash_reruns: int = 1
    charged_crashes: int = 2
    rerun_lost: bool = True
    most_attempts: int = 10
    system_in_dedicated: bool = True
    fair_share_window: float = 28 * DAY
    half_life: float | None = None
    reservation_minimum: float = 900.0
    reservation_allowance: float | None = None

    def ttl(self, mode: Mode) -> float:
        return self.batch_ttl if mode is Mode.BATCH else self.interactive_ttl

    def limit_of(self, program: str) -> float:
        """The program's own limit (R19)."""
        return self.program_limits.get(program, self.job_limit)

    def run_limit(self, program: str, own: float | None) -> float:
        """The limit that holds for a run (R52)."""
        return min(own if own is not None else self.limit_of(program), self.job_cap)

    def awaits_estimate(self, job: Job) -> bool:
        """D22: whether the job's limit follows from its estimate, once there is one."""
        return self.estimate_factor > 0 and not (job.own_limit is not None and job.stated)

    def from_estimate(self, job: Job) -> float | None:
        """D22: what the job's estimate would make its limit; None when its limit does not follow from it."""
        if not job.estimate or not self.awaits_estimate(job):
            return None
        return max(self.estimate_floor, self.estimate_factor * job.estimate)

    def session_time(self, program: str, own: float | None) -> float:
        """R19: how long a session lasts that did not say, whose root is this job."""
        if self.default_max_time is not None:
            return min(self.max_time, self.default_max_time)
        return min(self.max_time, own if own is not None else self.limit_of(program))


IBM2023 = Profile()
IBM2026 = Profile(
    name="ibm2026",
    interactive_ttl=60.0,
    batch_ttl=1.0,
    default_max_time=8 * HOUR,
    root_cancel_ends_session=False,
    hard_close=JobState.CANCELLED,
    system_in_dedicated=False,
    charge_holds=frozenset({Mode.DEDICATED}),
    open_plan_sessions=False,
)
PROFILES: Mapping[str, Profile] = MappingProxyType({p.name: p for p in (IBM2023, IBM2026)})
"""The built-in profiles by name."""
