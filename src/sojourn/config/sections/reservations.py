"""The section `[reservations]`: how much of the devices a project's admins may book without an operator."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from sojourn.config.values import Number, Seconds, Section


class ReservationSettings(Section):
    """`[reservations]`: bounds of what project admins book (R47), in seconds; 0 is no bound.

    Operators are not bound, and a reservation that is there stays when a bound changes.
    """

    longest: Seconds = Field(default=28_800.0, ge=0, description="The longest reservation.")
    notice: Seconds = Field(
        default=3600.0, ge=0, description="A reservation begins at least so long after it is made."
    )
    horizon: Seconds = Field(
        default=2_419_200.0, ge=0, description="A reservation ends at most so long after it is made."
    )
    allowance: Seconds = Field(
        default=144_000.0,
        ge=0,
        description="Reserved time of one project, and of one admin, on all devices within any `period`.",
    )
    period: Annotated[Seconds, Field(gt=0)] = Field(
        default=604_800.0, description="The time in which `allowance` counts."
    )
    devices: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.5,
        description="Part of the devices that one project, or one admin, may have reserved at the same time; "
        "rounded down, and at least one.",
    )

    @model_validator(mode="after")
    def _some_time_is_left(self) -> ReservationSettings:
        if self.horizon and self.notice >= self.horizon:
            raise ValueError(
                f"with horizon = {self.horizon:g} and notice = {self.notice:g} no reservation is allowed: "
                "horizon must be longer than notice, or 0 for no bound"
            )
        return self
