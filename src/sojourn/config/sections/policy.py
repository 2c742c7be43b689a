"""The section `[policy]`: the profile, the numbers that override it, and how long requests are held."""

from __future__ import annotations

from pydantic import Field

from sojourn.config.sections.profiles import ALLOWANCE, FACTOR, FLOOR, MAX_TIME, SHORTEST, TTL, UNUSED
from sojourn.config.values import Factor, Seconds, Section
from sojourn.core.profile import IBM2023


class PolicySettings(Section):
    """`[policy]`: the rules of the queue. A number of the profile that is None is the profile's own.

    The ones that are in `DeviceSettings` as well can differ per device.
    """

    profile: str = Field(
        default=IBM2023.name,
        description="The rules: `ibm2023`, `ibm2026`, or one of `[profiles]`.",
    )
    interactive_ttl: Seconds | None = Field(default=None, ge=0, description=TTL.format(mode="dedicated"))
    batch_ttl: Seconds | None = Field(default=None, ge=0, description=TTL.format(mode="batch"))
    max_time: Seconds | None = Field(default=None, gt=0, description=MAX_TIME)
    unused_expiry: Seconds | None = Field(default=None, gt=0, description=UNUSED)
    estimate_factor: Factor | None = Field(default=None, description=FACTOR)
    estimate_floor: Seconds | None = Field(default=None, gt=0, description=FLOOR)
    reservation_minimum: Seconds | None = Field(default=None, gt=0, description=SHORTEST)
    reservation_allowance: Seconds | None = Field(default=None, gt=0, description=ALLOWANCE)
    poll_hold: Seconds = Field(
        default=2.0,
        ge=0,
        le=60,
        description="Longest time for which a status poll is held until the state changes, in seconds; 0 is "
        "never.",
    )
    submit_retry_window: Seconds = Field(
        default=300.0,
        ge=0,
        description="Time after a lost reply, in seconds, within which an identical submit does not create "
        "a second job (R54).",
    )
    admission_hold: Seconds = Field(
        default=2.0,
        ge=0,
        le=60,
        description="How long a submit waits for the check of its job, in seconds, so that an invalid job "
        "is refused at once.",
    )
    default_resilience_level: int = Field(
        default=0,
        ge=0,
        le=2,
        description="Resilience level of estimator jobs that name none: 0, 1 or 2. The hosted service has 1.",
    )
