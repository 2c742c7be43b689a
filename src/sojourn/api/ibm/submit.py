"""Makes a `NewJob` of the client's submit: its field names, and what earlier clients send."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sojourn import codes
from sojourn.api.http.job_bodies import JobBodies
from sojourn.api.ibm import calibrate
from sojourn.config import TEN_YEARS
from sojourn.service.errors import BadRequest
from sojourn.service.submission import (
    NewJob,
    NewSession,
    check_execution_time,
    check_log_level,
    check_params,
    check_program,
    check_tags,
)

if TYPE_CHECKING:
    from sojourn.service.requests.exchange import Call
    from sojourn.service.service import Service
    from sojourn.service.views import JobView, Principal

MAX_SESSION_TIME = int(TEN_YEARS)
"""Seconds that no device allows: more is refused here, before it is counted with."""


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON body of POST /jobs. `params` stays as it was sent.

    `hub`, `group` and `project` are of clients before CRNs and are not read: the header names the project.
    """

    program_id: str
    params: msgspec.Raw = msgspec.Raw(b"{}")
    backend: str | None = None
    runtime: str | None = None
    log_level: str | None = None
    session_id: str | None = None
    tags: list[str] | None = None
    cost: int | None = None
    start_session: bool | None = None
    session_time: int | None = None
    private: bool | None = None
    calibration_id: str | None = None
    hub: str | None = None
    group: str | None = None
    project: str | None = None
    instance: str | None = None


_BODIES = JobBodies(Body, "See the fields of POST /jobs.")


async def submit(
    service: Service, who: Principal, data: bytes, *, call: Call, idempotency_key: str | None = None
) -> JobView:
    """The job that a body asks for. Raises Refusal."""
    body = _BODIES.read(data)
    service.accounts.check_instance(who, body.instance)
    if body.program_id == calibrate.PROGRAM:
        return await calibrate.calibrate(service, who, _order(body))
    job = _new_job(body)
    return await service.jobs.submit(who, job, sent=data, call=call, idempotency_key=idempotency_key)


def parse(data: bytes) -> NewJob:
    """The job that a body asks for, whatever instance it names. Raises BadRequest naming the field."""
    return _new_job(_BODIES.read(data))


def _new_job(body: Body) -> NewJob:
    return NewJob(
        program=check_program(body.program_id),
        params=check_params(bytes(body.params)),
        max_execution_time=check_execution_time(body.cost, "max_execution_time (cost)"),
        opens=_new_session(body),
        log_level=check_log_level(body.log_level),
        device=_checked_device(body),
        session=body.session_id,
        tags=check_tags(body.tags or []),
        private=bool(body.private),
        calibration=body.calibration_id,
    )


def _order(body: Body) -> calibrate.Order:
    """A calibration. Raises BadRequest for what it does not have."""
    for given, name in (
        (body.start_session, "start_session"),
        (body.session_time, "session_time"),
        (body.cost, "max_execution_time (cost)"),
        (body.private, "private"),
    ):
        if given:
            raise BadRequest(
                f"{name} is {given}; a calibration is a job of the system, which has none of that. "
                "Leave it out."
            )
    return calibrate.Order(
        params=check_params(bytes(body.params)),
        device=_checked_device(body),
        session=body.session_id,
        calibration=body.calibration_id,
        tags=check_tags(body.tags or []),
        log_level=check_log_level(body.log_level),
    )


def _new_session(body: Body) -> NewSession | None:
    """The session that clients before 0.20 start with its first job."""
    if body.session_time is not None and not 0 < body.session_time <= MAX_SESSION_TIME:
        raise BadRequest(
            f"session_time is {body.session_time} s; it must be 1 s to {MAX_SESSION_TIME} s, and not more "
            "than the device allows for a session. Leave it out for the default.",
            code=codes.OVER_LIMIT,
        )
    if body.session_time is not None and not body.start_session:
        raise BadRequest(
            f"session_time is {body.session_time} s, but the job starts no session. It belongs to "
            "start_session: true; leave it out, or open a session with POST /sessions and its max_ttl."
        )
    return NewSession(body.session_time) if body.start_session else None


def _checked_device(body: Body) -> str | None:
    """The device that the client calls a backend. An image for it cannot be chosen."""
    if body.runtime:
        raise BadRequest(
            f"A runtime image ({body.runtime[:100]!r}) cannot be chosen on this service; leave options "
            "environment.image unset."
        )
    return body.backend
