"""The section `[profiles.NAME]`: profiles that a site defines. The built-in ones are in `core.profile`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from sojourn import programs
from sojourn.config.errors import did_you_mean
from sojourn.config.values import Factor, Modes, Seconds, Section, TimeOrRoot, Whole
from sojourn.core.profile import IBM2023, PROFILES, SESSION_PROGRAMS

FORMER_NAMES = {"seed": IBM2023.name}
"""Former names of built-in profiles: still accepted, with a warning at the start of the server."""

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
"""The numbers of a profile that `[policy]` and a device can override."""

TTL = "How long the device is held for a {mode} after one of its jobs ended, in seconds (R21-R25)."
MAX_TIME = "Longest session, in seconds of wall clock from the start of its first job (R16-R20)."
UNUSED = "A session that has not run a job is closed after this many seconds (R26)."
FACTOR = (
    "Limit of a job without `max_execution_time`, as a multiple of its estimate, where that is less than "
    "the limit of its program (D22); 0 is off, otherwise at least 1."
)
FLOOR = "Shortest limit that follows from an estimate, in seconds (D22)."
SHORTEST = "The shortest reservation, in seconds (R47)."
ALLOWANCE = "Seconds that a project may have reserved ahead on a device (R47)."


def current_name(profile: str) -> str:
    """The present name of a profile that may be stated by a former one."""
    return FORMER_NAMES.get(profile, profile)


def _built_in(name: str) -> str:
    if current_name(name) not in PROFILES:
        raise ValueError(f"must be {' or '.join(map(repr, PROFILES))}")
    return name


class ProfileSettings(Section):
    """`[profiles.NAME]`: a profile that the site defines. What is None is as in `base`."""

    base: Annotated[str, AfterValidator(_built_in)] = Field(
        default=IBM2023.name, description="The built-in profile that this one changes."
    )
    interactive_ttl: Seconds | None = Field(
        default=None, ge=0, description=TTL.format(mode="dedicated session")
    )
    batch_ttl: Seconds | None = Field(default=None, ge=0, description=TTL.format(mode="batch"))
    max_time: Seconds | None = Field(default=None, gt=0, description=MAX_TIME)
    default_max_time: TimeOrRoot | None = Field(
        default=None,
        description="Maximum time of a session that requests none: seconds, or `root` for the limit of its "
        "first job (R19).",
    )
    unused_expiry: Seconds | None = Field(default=None, gt=0, description=UNUSED)
    cache_grace: Seconds | None = Field(
        default=None,
        ge=0,
        description="How long the first job's data is kept after `max_time`, in seconds (R42).",
    )
    root_cancel_ends_session: bool | None = Field(
        default=None, description="Whether cancelling the first job closes its session (R40)."
    )
    hard_close: Literal["failed", "cancelled"] | None = Field(
        default=None, description="State of the queued jobs after a hard close (R33)."
    )
    charge_holds: Modes | None = Field(
        default=None, description="Kinds of sessions whose idle time on the device is charged (R49)."
    )
    open_plan_sessions: bool | None = Field(
        default=None, description="Whether projects on the open plan can open sessions; if not, error 1352."
    )
    program_limits: dict[str, Annotated[Seconds, Field(gt=0)]] | None = Field(
        default=None,
        description="Time limits of jobs that request none, in seconds by program (R19). Programs that are "
        "not listed are as in `base`.",
    )
    job_limit: Seconds | None = Field(
        default=None, gt=0, description="The same for all other programs, in seconds."
    )
    job_cap: Seconds | None = Field(
        default=None, gt=0, description="Time limit of every job, in seconds (R52, D14)."
    )
    estimate_factor: Factor | None = Field(default=None, description=FACTOR)
    estimate_floor: Seconds | None = Field(default=None, gt=0, description=FLOOR)
    crash_reruns: Whole | None = Field(
        default=None, ge=0, le=100, description="How often a job is run again after its worker crashed."
    )
    charged_crashes: Whole | None = Field(
        default=None,
        ge=0,
        le=101,
        description="A job that fails because its worker crashed in this many of its runs or more is "
        "charged for them; 0 is never (D23).",
    )
    rerun_lost: bool | None = Field(
        default=None, description="Whether a job that was running when the server crashed is run again (R55)."
    )
    most_attempts: Whole | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Maximum number of starts of such a job; then it fails and is not charged.",
    )
    system_in_dedicated: bool | None = Field(
        default=None, description="Whether system jobs can run while a dedicated session is active (R11)."
    )
    fair_share_window: Seconds | None = Field(
        default=None, gt=0, description="How far back used device time counts, in seconds (R48)."
    )
    half_life: Seconds | None = Field(
        default=None,
        gt=0,
        description="Time after which used device time counts half, in seconds; replaces the window (R48).",
    )
    reservation_minimum: Seconds | None = Field(default=None, gt=0, description=SHORTEST)
    reservation_allowance: Seconds | None = Field(default=None, gt=0, description=ALLOWANCE)

    @field_validator("program_limits")
    @classmethod
    def _programs_are_known(cls, limits: dict[str, float] | None) -> dict[str, float] | None:
        known = sorted({*SESSION_PROGRAMS, *programs.names()}) if limits else []
        for program in limits or ():
            if program not in known:
                raise ValueError(f"unknown program {program!r}{did_you_mean(program, known)}")
        return limits
