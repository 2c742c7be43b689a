"""Owns `[limits]`, and which of them a project may have for itself."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, ValidationError

from sojourn.config.errors import meant, sentence
from sojourn.config.values import Number, Seconds, Section, Whole


class LimitsSettings(Section):
    """`[limits]`: what one user, project or device may ask for (R50); 0 is no limit.

    A project may have its own values for all but `pending_per_device`.
    """

    pending_per_user: Whole = Field(
        default=10_000, ge=0, description="Jobs of one user in one project that have not ended."
    )
    pending_per_project: Whole = Field(
        default=50_000, ge=0, description="Jobs of one project that have not ended."
    )
    pending_per_device: Whole = Field(
        default=100_000, ge=0, description="Jobs on one device that have not ended, whose ever they are."
    )
    sessions_per_user: Whole = Field(
        default=1000, ge=0, description="Sessions and batches of one user in one project that have not ended."
    )
    payload_mb: Number = Field(
        default=0.0, ge=0, description="Largest inputs of a job, in megabytes; see also `server.max_body_mb`."
    )
    stored_mb: Number = Field(
        default=0.0,
        ge=0,
        description="Inputs, results and logs that a project's jobs may have stored, in megabytes, before it "
        "has to delete some.",
    )
    circuits: Whole = Field(default=100_000, ge=0, description="Circuits of one job.")
    executions: Whole = Field(
        default=100_000_000,
        ge=0,
        description="Executions of one job: circuits, times their parameter values, times shots.",
    )
    execution_seconds: Number = Field(
        default=0.0,
        ge=0,
        description="Longest time that a job may ask for and run, in seconds; the profile's own limit always "
        "holds.",
    )
    crashes_per_hour: Whole = Field(
        default=20,
        ge=0,
        description="How often, within an hour, jobs of one user may end their worker's process. The user's "
        "next jobs are refused until that is over (429).",
    )
    # An honest client that only submits and fetches as fast as the server answers must stay below it.
    request_rate: Number = Field(
        default=5000.0,
        ge=0,
        description="Requests of one user in one project, per second in the long run. A status poll counts "
        "for a tenth.",
    )
    request_burst: Whole = Field(
        default=10000, ge=1, description="Requests that may come at once before `request_rate` holds."
    )
    looks_at_once: Whole = Field(
        default=2,
        ge=0,
        description="Requests of one user in one project that only look (GET, without status polls) and are "
        "worked on at the same time; more of them wait for their turn.",
    )
    looks_rate: Number = Field(
        default=0.1,
        ge=0,
        le=1000,
        description="Seconds of a processor per second that the queries of such requests may take in the "
        "long run; 0 for any.",
    )
    looks_burst: Seconds = Field(
        default=10.0, ge=0, description="Seconds of a processor that they may take before `looks_rate` holds."
    )


PROJECT_LIMITS = tuple(name for name in LimitsSettings.model_fields if name != "pending_per_device")


def check_limits(own: Mapping[str, float]) -> LimitsSettings:
    """The limits with a project's own values put in. ValueError with a sentence for what cannot be."""
    for name in own:
        if name not in PROJECT_LIMITS:
            raise ValueError(f"there is no limit {name!r} of a project{meant(name, PROJECT_LIMITS)}")
    try:
        return LimitsSettings.model_validate(dict(own))
    except ValidationError as error:
        raise ValueError("; ".join(sentence(fault, LimitsSettings) for fault in error.errors())) from None
