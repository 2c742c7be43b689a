"""The section `[reservations]`: how much of the devices a project's admins can reserve by themselves."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sojourn.config.values import Number, Seconds, Section


class ReservationSettings(Section):
    """`[reservations]`: limits of the reservations of project admins (R47), in seconds; 0 is no limit.

    They do not apply to operators. Existing reservations are kept when a limit changes.
    """

    longest: Seconds = Field(
        default=28_800.0, ge=0, description="Longest reservation, in seconds; 0 is no limit."
    )
    notice: Seconds = Field(
        default=3600.0,
        ge=0,
        description="Shortest time between making a reservation and its start, in seconds.",
    )
    horizon: Seconds = Field(
        default=2_419_200.0,
        ge=0,
        description="Longest time between making a reservation and its end, in seconds; 0 is no limit.",
    )
    allowance: Seconds = Field(
        default=144_000.0,
        ge=0,
        description="Reserved time of one project, and of one admin, on all devices within any `period`, in "
        "seconds; 0 is no limit.",
    )
    period: Annotated[Seconds, Field(gt=0)] = Field(
        default=604_800.0, description="Length of the period in which `allowance` counts, in seconds."
    )
    devices: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.5,
        description="Fraction of the devices that one project, or one admin, can have reserved at the same "
        "time, rounded down, at least one device; 0 is no limit.",
    )
