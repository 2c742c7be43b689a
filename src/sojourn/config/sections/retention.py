"""The section `[retention]`: how long old records are kept."""

from __future__ import annotations

from pydantic import Field

from sojourn.config.values import Days, Section


class RetentionSettings(Section):
    """`[retention]`: how long old records are kept, in days; 0 is without limit."""

    params_days: Days = Field(
        default=0.0,
        ge=0,
        description="Days for which the inputs of a finished job are kept; 0 is without limit.",
    )
    results_days: Days = Field(
        default=0.0,
        ge=0,
        description="Days for which the result and logs of a finished job are kept; 0 is without limit.",
    )
    story_days: Days = Field(
        default=0.0,
        ge=0,
        description="Days for which the history of finished jobs and sessions is kept; 0 is without limit.",
    )
    calibrations_days: Days = Field(
        default=0.0,
        ge=0,
        description="Days for which the values of a calibration are kept after the next one; 0 is without "
        "limit.",
    )
    journal_days: Days = Field(
        default=0.0,
        ge=0,
        description="Days for which the journal is kept, back to the last start of the server before them; "
        "0 is without limit.",
    )
    audit_days: Days = Field(
        default=365.0, ge=0, description="Days for which the audit trail is kept; 0 is without limit."
    )
