"""The body of our own submit: its fields, and the `NewJob` that it asks for."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from sojourn.api.http.job_bodies import JobBodies
from sojourn.service.errors import BadRequest
from sojourn.service.submission import (
    MAX_EXECUTION_TIME,
    MAX_TAG_LENGTH,
    MAX_TAGS,
    NewJob,
    check_execution_time,
    check_log_level,
    check_params,
    check_program,
    check_tags,
)

_Says = msgspec.Meta


class WantedJob(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON body of POST /sojourn/v1/jobs."""

    program: Annotated[str, _Says(description="`sampler` or `estimator`.")]
    params: Annotated[
        msgspec.Raw,
        _Says(
            description="The inputs of the program as the Qiskit client writes them, a JSON object with "
            "`pubs`, `options` and `version`. It must be there."
        ),
    ] = msgspec.field(default_factory=lambda: msgspec.Raw(b""))
    device: Annotated[
        str | None, _Says(description="Its name. It may be left out for a job in a session.")
    ] = None
    session: Annotated[str | None, _Says(description="The id of an open session of the caller.")] = None
    tags: Annotated[
        list[str], _Says(description=f"At most {MAX_TAGS}, each of 1 to {MAX_TAG_LENGTH} characters.")
    ] = []
    max_execution_time: Annotated[
        int | None,
        _Says(
            description=f"In seconds, 1 to {MAX_EXECUTION_TIME}; a job that runs longer is stopped (R52). "
            "Default: the limit of its project and device."
        ),
    ] = None
    private: Annotated[
        bool, _Says(description="Inputs are never shown, and the result is given once (R56).")
    ] = False
    calibration: Annotated[
        str | None,
        _Says(description="The id of a calibration; the job is refused unless that one is in force."),
    ] = None
    log_level: Annotated[
        str | None, _Says(description="How much the log of the job says, such as `DEBUG`; default `WARNING`.")
    ] = None


FIELDS = WantedJob.__struct_fields__
_BODIES = JobBodies(WantedJob, f"The fields of a job are {', '.join(FIELDS)}.")


def parse(data: bytes) -> NewJob:
    """Raises BadRequest naming the field."""
    body = _BODIES.read(data)
    params = bytes(body.params)
    if not params:
        raise BadRequest("Field 'params' is missing. Send a JSON object with the inputs of the program.")
    if body.device is None and body.session is None:
        raise BadRequest(
            "Field 'device' is missing. Name the device, which GET /sojourn/v1/devices lists, or the session "
            "that the job belongs to."
        )
    return NewJob(
        program=check_program(body.program),
        params=check_params(params),
        device=body.device,
        session=body.session,
        tags=check_tags(body.tags),
        max_execution_time=check_execution_time(body.max_execution_time),
        private=body.private,
        calibration=body.calibration,
        log_level=check_log_level(body.log_level),
    )


def openapi() -> dict[str, Any]:
    """What the OpenAPI of the route says of its body and header."""
    (_, shapes) = msgspec.json.schema_components([WantedJob], ref_template="#/components/schemas/{name}")
    shape = dict(shapes["WantedJob"])
    shape["required"] = [*shape["required"], "params"]
    shape["properties"]["params"]["type"] = "object"
    body = {"required": True, "content": {"application/json": {"schema": shape}}}
    return {"requestBody": body, **repeatable()}


def repeatable() -> dict[str, Any]:
    """The header that every submit may have."""
    return {
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 200},
                "description": "The same key is the same job: a submit that repeats it is answered with that "
                "job, and with another body 409.",
            }
        ],
    }
