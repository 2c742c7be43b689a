"""The section `[limits]`, and which of them a project may have for itself."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, ValidationError

from sojourn.config.errors import did_you_mean, sentence
from sojourn.config.values import Number, Seconds, Section, Whole


class LimitsSettings(Section):
    """`[limits]`: limits per user, project and device (R50); 0 is no limit.

    A project may have its own values for all but `pending_per_device`.
    """

    pending_per_user: Whole = Field(
        default=10_000, ge=0, description="Unfinished jobs of one user in one project."
    )
    pending_per_project: Whole = Field(default=50_000, ge=0, description="Unfinished jobs of one project.")
    pending_per_device: Whole = Field(
        default=100_000, ge=0, description="Unfinished jobs on one device, of all users."
    )
    sessions_per_user: Whole = Field(
        default=1000, ge=0, description="Open sessions and batches of one user in one project."
    )
    payload_mb: Number = Field(
        default=0.0,
        ge=0,
        description="Largest inputs of a job, in megabytes. `server.max_body_mb` always applies.",
    )
    stored_mb: Number = Field(
        default=0.0,
        ge=0,
        description="Total size of the inputs, results and logs of a project's jobs, in megabytes. At the "
        "limit no job is accepted or started until some jobs are deleted.",
    )
    circuits: Whole = Field(default=100_000, ge=0, description="Circuits in one job.")
    executions: Whole = Field(
        default=100_000_000,
        ge=0,
        description="Executions of one job: circuits x parameter sets x shots.",
    )
    execution_seconds: Number = Field(
        default=0.0,
        ge=0,
        description="Largest `max_execution_time` that a job can request, and longest run of a job that "
        "requests none, in seconds. The profile's own limit always applies.",
    )
    crashes_per_hour: Whole = Field(
        default=20,
        ge=0,
        description="How often within an hour jobs of one user may crash their worker process. Beyond it "
        "the user's further jobs are refused (429).",
    )
    # An honest client that only submits and fetches as fast as the server answers must stay below it.
    request_rate: Number = Field(
        default=5000.0,
        ge=0,
        description="Sustained requests per second of one user in one project. A status poll counts as a "
        "tenth of a request.",
    )
    request_burst: Whole = Field(
        default=10000, ge=1, description="Requests that can be sent at once before `request_rate` applies."
    )
    looks_at_once: Whole = Field(
        default=2,
        ge=0,
        description="Read requests (GET, without status polls) of one user in one project that are "
        "processed at the same time. Further ones wait.",
    )
    looks_rate: Number = Field(
        default=0.1,
        ge=0,
        le=1000,
        description="Sustained processor time that the queries of such requests may use, in seconds per "
        "second; 0 is no limit.",
    )
    looks_burst: Seconds = Field(
        default=10.0,
        ge=0,
        description="Processor time that they can use before `looks_rate` applies, in seconds.",
    )
    streams_per_user: Whole = Field(
        default=20, ge=0, description="Open event streams of one user in one project."
    )


PROJECT_LIMITS = tuple(name for name in LimitsSettings.model_fields if name != "pending_per_device")


def check_limits(own: Mapping[str, float]) -> LimitsSettings:
    """The limits with a project's own values. ValueError with a sentence for an unknown or invalid one."""
    for name in own:
        if name not in PROJECT_LIMITS:
            raise ValueError(f"{name!r} is not a limit of a project{did_you_mean(name, PROJECT_LIMITS)}")
    try:
        return LimitsSettings.model_validate(dict(own))
    except ValidationError as error:
        raise ValueError("; ".join(sentence(each, LimitsSettings) for each in error.errors())) from None
