"""Reads the bytes of a submit into a checked request. Commits nothing."""

from __future__ import annotations

from typing import Any

import msgspec

from sojourn import codes, programs
from sojourn.config import TEN_YEARS
from sojourn.service.errors import BadRequest
from sojourn.worker.protocol.types import no_such_program

MAX_TAGS = 8
MAX_TAG_LENGTH = 86
MAX_COST = 7 * 24 * 3600
MAX_SESSION_TIME = int(TEN_YEARS)
"""Seconds that no device allows: more is refused here, before it is counted with."""
MAX_LOG_LEVEL = 20


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON body of POST /jobs (api-contract §3.2). `params` stays as it was sent."""

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


_DECODER = msgspec.json.Decoder(Body)
MAX_OTHERS = 100_000
"""Bytes of all fields but `params`: they become Python objects of up to fifty times their size."""
_RAW = msgspec.json.Decoder(
    msgspec.defstruct(
        "Fields",
        [(field, msgspec.Raw, msgspec.field(default=msgspec.Raw(b""))) for field in Body.__struct_fields__],
        forbid_unknown_fields=True,
    )
)


def _decode(data: bytes) -> Body:
    """Only `params` may be large, as they stay what they are. Which field is large is known before anything
    is made of it."""
    if len(data) <= MAX_OTHERS:
        return _DECODER.decode(data)
    fields = _RAW.decode(data)
    raw = {name: getattr(fields, name) for name in Body.__struct_fields__}
    params = raw.pop("params")
    others = {name: value for name, value in raw.items() if len(memoryview(value))}
    size = sum(len(memoryview(value)) for value in others.values())
    if size > MAX_OTHERS:
        largest = max(others, key=lambda name: len(memoryview(others[name])))
        raise BadRequest(
            f"The fields beside params have {size} bytes, most of them in {largest!r}; the limit is "
            f"{MAX_OTHERS}. Inputs belong into params."
        )
    text = b",".join(b'"%b":%b' % (name.encode(), bytes(value)) for name, value in others.items())
    body = _DECODER.decode(b"{%b}" % text)
    if len(memoryview(params)):
        body.params = params
    return body


def parse(data: bytes) -> Body:
    """Raises BadRequest naming the field."""
    try:
        body = _decode(data)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The job cannot be read: {error}. See the fields of POST /jobs.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(
            f"The body is not valid JSON: {error}.{_not_finite(data)}", code=codes.NOT_JSON
        ) from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply to be a job.", code=codes.NOT_JSON) from None
    if not programs.runs(body.program_id):
        refused = no_such_program(body.program_id)
        raise BadRequest(refused.message, code=refused.code)
    if not bytes(memoryview(body.params)[:1]) == b"{":
        raise BadRequest("params must be a JSON object with the inputs of the program.")
    if body.cost is not None and not 0 < body.cost <= MAX_COST:
        raise BadRequest(
            f"max_execution_time (cost) is {body.cost} s; it must be 1 s to {MAX_COST} s, and not more "
            "than what the device allows to a job.",
            code=codes.OVER_LIMIT,
        )
    if body.session_time is not None and not 0 < body.session_time <= MAX_SESSION_TIME:
        raise BadRequest(
            f"session_time is {body.session_time} s; it must be 1 s to {MAX_SESSION_TIME} s, and not more "
            "than what the device allows to a session. Leave it out for the default.",
            code=codes.OVER_LIMIT,
        )
    if body.session_time is not None and not body.start_session:
        raise BadRequest(
            f"session_time is {body.session_time} s, but the job starts no session. It belongs to "
            "start_session: true; leave it out, or open a session with POST /sessions and its max_ttl."
        )
    if body.log_level is not None and len(body.log_level) > MAX_LOG_LEVEL:
        raise BadRequest(
            f"log_level has {len(body.log_level)} characters; the limit is {MAX_LOG_LEVEL}. Send a level "
            "such as 'WARNING'."
        )
    if body.runtime:
        raise BadRequest(
            f"A runtime image ({body.runtime[:100]!r}) cannot be chosen on this service; leave options "
            "environment.image unset."
        )
    body.tags = list(check_tags(body.tags or []))
    return body


def _not_finite(data: bytes) -> str:
    """What to say of numbers that Python's encoder writes although JSON has none of them."""
    if b"NaN" not in data and b"Infinity" not in data:
        return ""
    return (
        " NaN and Infinity are not JSON: precision, shots, options, coefficients and parameter values must "
        "be finite."
    )


def check_tags(tags: Any) -> tuple[str, ...]:
    """Each tag once, in the order given. Raises BadRequest with the limits."""
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BadRequest("tags must be a list of texts.")
    unique = tuple(dict.fromkeys(tags))
    if len(unique) > MAX_TAGS:
        raise BadRequest(f"A job has at most {MAX_TAGS} tags; {len(unique)} were given.")
    for tag in unique:
        if not 0 < len(tag) <= MAX_TAG_LENGTH:
            raise BadRequest(f"A tag has 1 to {MAX_TAG_LENGTH} characters; {tag[:20]!r}… has {len(tag)}.")
        if not tag.isprintable():  # operators see it on their terminals; NUL is no text of PostgreSQL either
            raise BadRequest(f"A tag is a text of printable characters; {tag!r} has others.")
    return unique
