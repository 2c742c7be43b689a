"""The numbers and switches of a policy, as data. Code never asks for a profile by name.

`seed` is the contract's own table; further profiles differ from it only in these fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sojourn.core.model import Mode

HOUR = 3600.0
DAY = 24 * HOUR

SESSION_PROGRAMS = frozenset(
    {"sampler", "estimator", "executor", "noise-learner", "noise-learner-v3", "calibrate"}
)
"""R6: the programs that may run in a session."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One policy.

    Seconds everywhere. `interactive_ttl` and `batch_ttl`: R21. `max_time`: the system limit of a session
    (R19, R20). `unused_expiry`: R26. `program_limits` and `job_limit`: what a job may run when it does
    not say (R19, R52). `crash_reruns`: how often a job is run again after its worker died under it.
    `fair_share_window`: R48. `cache_grace`: how long the root's data outlives `max_time` (R42).
    """

    name: str = "seed"
    interactive_ttl: float = 300.0
    batch_ttl: float = 300.0
    max_time: float = 8 * HOUR
    unused_expiry: float = 1800.0
    program_limits: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({"sampler": 10_000.0, "estimator": 18_000.0})
    )
    job_limit: float = 10_000.0
    crash_reruns: int = 1
    rerun_lost: bool = True  # R55: simulators run a lost job again; hardware fails it
    root_cancel_ends_session: bool = True  # R40
    fair_share_window: float = 28 * DAY
    cache_grace: float = HOUR

    def ttl(self, mode: Mode) -> float:
        return self.batch_ttl if mode is Mode.BATCH else self.interactive_ttl

    def limit_of(self, program: str) -> float:
        """What a job of `program` may run when it does not say (R19)."""
        return self.program_limits.get(program, self.job_limit)


PROFILES: Mapping[str, Profile] = MappingProxyType({"seed": Profile()})
"""The built-in profiles by name."""
