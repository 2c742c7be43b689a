"""Owns `[retention]`."""

from __future__ import annotations

from pydantic import Field

from sojourn.config.values import Days, Section


class RetentionSettings(Section):
    """`[retention]`: how long what is over is kept; 0 is for ever."""

    params_days: Days = Field(
        default=0.0, ge=0, description="Days after its end for which a job's inputs are kept."
    )
    results_days: Days = Field(
        default=0.0, ge=0, description="Days after its end for which a job's result and logs are kept."
    )
    story_days: Days = Field(
        default=0.0, ge=0, description="Days for which the steps of ended jobs and sessions are kept."
    )
    calibrations_days: Days = Field(
        default=0.0,
        ge=0,
        description="Days for which a calibration's values are kept after the next one.",
    )
    journal_days: Days = Field(
        default=0.0, ge=0, description="Days of the journal that are kept, and back to the start before them."
    )
    audit_days: Days = Field(default=365.0, ge=0, description="Days for which the audit trail is kept.")
