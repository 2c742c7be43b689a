"""The client's program `calibrate`: an operator's order for a system job (R9), which is in no session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from sojourn import codes
from sojourn.api.http.values import shown
from sojourn.service.errors import BadRequest, Forbidden, SessionClosed

if TYPE_CHECKING:
    from sojourn.service.service import Service
    from sojourn.service.views import JobView, Principal

PROGRAM = "calibrate"
MAX_PARAMS = 10_000  # bytes


class _Options(msgspec.Struct, forbid_unknown_fields=True):
    experimental: Mapping[str, Any] = {}


class _Params(msgspec.Struct, forbid_unknown_fields=True):
    schema_version: Literal["v0.1"] = "v0.1"
    options: _Options = msgspec.field(default_factory=_Options)


_PARAMS = msgspec.json.Decoder(_Params)


@dataclass(frozen=True, slots=True)
class Order:
    """What a submit of the program asks for. `params` is its JSON text as it was sent."""

    params: bytes
    device: str | None
    session: str | None
    calibration: str | None
    tags: tuple[str, ...]
    log_level: str | None


async def calibrate(service: Service, who: Principal, order: Order) -> JobView:
    """Queue it. Raises Refusal: 403 for who may not, 409 while the device has one queued or running."""
    operator = replace(who, operator=service.accounts.is_operator(who.user_id))
    if not operator.operator:
        raise Forbidden(
            f"Calibrating a device is for operators, and user {who.user!r} is none: a calibration goes "
            "before "
            "everybody's jobs, and all later jobs run under it. Ask an operator for one; "
            "backend.properties() has the one in force."
        )
    _check(order.params)
    device = order.device
    if order.session is not None:
        session = await service.sessions.get(who, order.session)
        if device not in (None, session.device):
            raise BadRequest(
                f"Session {session.id} is on {session.device}; a calibration of {shown(device)} cannot "
                "be asked "
                "for in it (R5).",
                code=codes.NOT_IN_SESSION,
            )
        if not session.accepting_jobs:
            raise SessionClosed(f"Session {session.id} takes no more jobs. Open a new one, or use none.")
        device = session.device
    if device is None:
        raise BadRequest("The job names no backend. Say which one is to be calibrated.")
    present = service.devices.get(device).calibration
    if order.calibration is not None and order.calibration != present:
        raise BadRequest(
            f"calibration_id is {shown(order.calibration)}; the calibration of {device} that is in force is "
            f"{present}. Leave calibration_id out: a calibration makes a new one."
        )
    return await service.control.calibrate(
        operator, device, inputs=order.params, tags=order.tags, log_level=order.log_level
    )


def _check(params: bytes) -> None:
    """Raises BadRequest naming the field."""
    if len(params) > MAX_PARAMS:
        raise BadRequest(
            f"The params of a calibration have {len(params)} bytes; the limit is {MAX_PARAMS}.",
            code=codes.JOB_UNFIT,
        )
    try:
        wanted = _PARAMS.decode(params)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(
            f"The params of a calibration cannot be read: {error}. They are schema_version, which is "
            "v0.1, and "
            "options.",
            code=codes.JOB_UNFIT,
        ) from None
    except RecursionError:
        raise BadRequest("The params of a calibration are nested too deeply.", code=codes.JOB_UNFIT) from None
    if wanted.options.experimental:
        names = ", ".join(sorted(wanted.options.experimental))[:200]
        raise BadRequest(
            f"options.experimental has {names}; a calibration has no such options here, and options "
            "are never "
            "dropped. Leave them out.",
            code=codes.JOB_UNFIT,
        )
