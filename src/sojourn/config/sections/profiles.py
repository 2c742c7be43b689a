"""Owns `[profiles.NAME]`: tables of rules that a site makes itself. The built-in ones are the core's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from sojourn.config.values import Factor, Modes, Program, Seconds, Section, TimeOrRoot, Whole

BUILT_IN_PROFILES = ("seed", "ibm2026")
"""Named here because a leaf cannot ask the core; a test compares."""

BUILT_IN_NUMBERS = {
    "seed": {"max_time": 28_800.0, "reservation_minimum": 900.0},
    "ibm2026": {"max_time": 28_800.0, "reservation_minimum": 900.0},
}
"""The limits that a site's own numbers may run into; named here for the same reason.

`default_max_time` of `ibm2026` is not among them: it means as long as can be, so a lower `max_time` is no
contradiction.
"""

PROFILE_NUMBERS = (
    "interactive_ttl",
    "batch_ttl",
    "max_time",
    "unused_expiry",
    "estimate_factor",
    "estimate_floor",
    "reservation_minimum",
    "reservation_allowance",
)
"""The numbers of a profile that `[policy]` and a device can set by themselves."""

TTL = "How long the device is held for a {mode} session after one of its jobs ended, in seconds (R21-R25)."
MAX_TIME = "Longest session, in seconds of wall clock from its first job on (R16-R20)."
UNUSED = "A session that never ran a job is ended after this many seconds (R26)."
FACTOR = (
    "A job that states no `max_execution_time` may run so many times its estimate, where that is less than "
    "its program's limit (D22); 0 is off, else at least 1."
)
FLOOR = "No limit that follows from an estimate is shorter, in seconds (D22)."
SHORTEST = "The shortest reservation, in seconds (R47)."
ALLOWANCE = "Seconds that a project may have booked ahead on a device (R47)."


class ProfileSettings(Section):
    """`[profiles.NAME]`: a site's own table of rules. What is None is as in `base`."""

    base: Literal["seed", "ibm2026"] = Field(default="seed", description="The profile that it starts from.")
    interactive_ttl: Seconds | None = Field(default=None, ge=0, description=TTL.format(mode="dedicated"))
    batch_ttl: Seconds | None = Field(default=None, ge=0, description=TTL.format(mode="batch"))
    max_time: Seconds | None = Field(default=None, gt=0, description=MAX_TIME)
    default_max_time: TimeOrRoot | None = Field(
        default=None,
        description="How long a session lasts that does not say: seconds, or `root` for the limit of its "
        "first job (R19).",
    )
    unused_expiry: Seconds | None = Field(default=None, gt=0, description=UNUSED)
    cache_grace: Seconds | None = Field(
        default=None, ge=0, description="How long the first job's data outlives `max_time`, in seconds (R42)."
    )
    root_cancel_ends_session: bool | None = Field(
        default=None, description="Whether cancelling the first job ends its session (R40)."
    )
    hard_close: Literal["failed", "cancelled"] | None = Field(
        default=None, description="What a hard close makes of the queued jobs (R33)."
    )
    charge_holds: Modes | None = Field(
        default=None, description="The kinds of sessions whose idle holds are charged (R49)."
    )
    open_plan_sessions: bool | None = Field(
        default=None, description="Whether projects on the open plan may have sessions; if not, 1352."
    )
    program_limits: dict[Program, Annotated[Seconds, Field(gt=0)]] | None = Field(
        default=None,
        description="Seconds that a job of a program may run when it does not say (R19); those not named are "
        "as in `base`.",
    )
    job_limit: Seconds | None = Field(
        default=None, gt=0, description="The same for programs without a limit of their own, in seconds."
    )
    job_cap: Seconds | None = Field(
        default=None, gt=0, description="The longest that any job may run, in seconds (R52, D14)."
    )
    estimate_factor: Factor | None = Field(default=None, description=FACTOR)
    estimate_floor: Seconds | None = Field(default=None, gt=0, description=FLOOR)
    crash_reruns: Whole | None = Field(
        default=None, ge=0, le=100, description="How often a job is run again after its worker died."
    )
    charged_crashes: Whole | None = Field(
        default=None,
        ge=0,
        le=101,
        description="A job that fails because its worker died in so many of its runs, or more, is charged "
        "for them; 0 is never (D23).",
    )
    rerun_lost: bool | None = Field(
        default=None, description="Whether a job that was running when the service died is run again (R55)."
    )
    most_attempts: Whole | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="How often such a job is started at most; then it fails and is not charged.",
    )
    system_in_dedicated: bool | None = Field(
        default=None, description="Whether system jobs run while a dedicated session is active (R11)."
    )
    fair_share_window: Seconds | None = Field(
        default=None, gt=0, description="How far back used device time counts, in seconds (R48)."
    )
    half_life: Seconds | None = Field(
        default=None,
        gt=0,
        description="Used time counts half after this many seconds, instead of a window (R48).",
    )
    reservation_minimum: Seconds | None = Field(default=None, gt=0, description=SHORTEST)
    reservation_allowance: Seconds | None = Field(default=None, gt=0, description=ALLOWANCE)

    def changes(self) -> dict[str, Any]:
        """What differs from `base`, by the names of the core's profile; None stands for `root`."""
        found = {k: v for k, v in self if k != "base" and v is not None}
        if found.get("default_max_time") == "root":
            found["default_max_time"] = None
        return found
