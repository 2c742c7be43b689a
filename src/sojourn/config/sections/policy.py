"""Owns `[policy]`: which table of rules holds, the numbers set over it, and how long a request is held."""

from __future__ import annotations

from pydantic import Field

from sojourn.config.sections.profiles import ALLOWANCE, FACTOR, FLOOR, MAX_TIME, SHORTEST, TTL, UNUSED
from sojourn.config.values import Factor, Seconds, Section


class PolicySettings(Section):
    """`[policy]`: the rules of the queue. Those in `DeviceSettings` again may differ per device.

    A number of the profile that is None is the profile's own.
    """

    profile: str = Field(
        default="seed",
        description="The table of rules that holds: `seed`, `ibm2026`, or one of `[profiles]`.",
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
        description="Longest time that a waiting status poll is held, in seconds; 0 is never.",
    )
    submit_retry_window: Seconds = Field(
        default=300.0,
        ge=0,
        description="A submit that is sent again byte for byte within this many seconds after its reply was "
        "lost makes no second job (R54).",
    )
    admission_hold: Seconds = Field(
        default=2.0,
        ge=0,
        le=60,
        description="How long a submit waits for the check of its job, in seconds, so that the answer can be "
        "a refusal.",
    )
