"""A new job as any dialect hands it over, and the limits that it must keep. Commits nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sojourn import codes, programs
from sojourn.service.errors import BadRequest
from sojourn.worker.protocol.types import no_such_program

MAX_TAGS = 8
MAX_TAG_LENGTH = 86
MAX_EXECUTION_TIME = 7 * 24 * 3600
MAX_LOG_LEVEL = 20


@dataclass(frozen=True, slots=True)
class NewSession:
    """The session that a job opens; it gets the job's id. `max_time` is in seconds, None is the default."""

    max_time: int | None = None


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a submit asks for. A dialect makes it of a request, with values that pass the checks below.

    `params` is the JSON text of the program's inputs, byte for byte as it was sent. Without a `device` the
    job runs on that of its `session` (an id). `opens` is the session that begins with this job, instead of
    one that exists. `max_execution_time` is in whole seconds; None is the default of the device.
    `calibration` is the id of the one that must be in force.
    """

    program: str
    params: bytes
    device: str | None = None
    session: str | None = None
    opens: NewSession | None = None
    tags: tuple[str, ...] = ()
    max_execution_time: int | None = None
    private: bool = False
    calibration: str | None = None
    log_level: str | None = None


def check_program(name: str) -> str:
    """The own name of a program that runs here. Raises BadRequest."""
    name = programs.OTHER_NAMES.get(name, name)
    if not programs.runs(name):
        refused = no_such_program(name)
        raise BadRequest(refused.message, code=refused.code)
    return name


def check_params(params: bytes) -> bytes:
    """The JSON text of an object, by its first character: nothing more is read here. Raises BadRequest."""
    if params[:1] != b"{":
        raise BadRequest("params must be a JSON object with the inputs of the program.")
    return params


def check_execution_time(seconds: int | None, name: str = "max_execution_time") -> int | None:
    """None stays None. `name` is what the dialect calls the field. Raises BadRequest with the limits."""
    if seconds is not None and not 0 < seconds <= MAX_EXECUTION_TIME:
        raise BadRequest(
            f"{name} is {seconds} s; it must be 1 s to {MAX_EXECUTION_TIME} s, and not more "
            "than the device allows for a job.",
            code=codes.OVER_LIMIT,
        )
    return seconds


def check_log_level(level: str | None) -> str | None:
    """None stays None; what is not a level counts as the default one. Raises BadRequest with the limit."""
    if level is not None and len(level) > MAX_LOG_LEVEL:
        raise BadRequest(
            f"log_level has {len(level)} characters; the limit is {MAX_LOG_LEVEL}. Send a level "
            "such as 'WARNING'."
        )
    return level


def check_tags(tags: Any) -> tuple[str, ...]:
    """Each tag once, in the order given. Raises BadRequest with the limits."""
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BadRequest("tags must be a list of strings.")
    unique = tuple(dict.fromkeys(tags))
    if len(unique) > MAX_TAGS:
        raise BadRequest(f"A job has at most {MAX_TAGS} tags; {len(unique)} were given.")
    for tag in unique:
        if not 0 < len(tag) <= MAX_TAG_LENGTH:
            raise BadRequest(f"A tag has 1 to {MAX_TAG_LENGTH} characters; {tag[:20]!r}… has {len(tag)}.")
        if not tag.isprintable():  # operators see it on their terminals; NUL is no text of PostgreSQL either
            raise BadRequest(f"A tag has printable characters only; {tag!r} has others.")
    return unique
