"""Owns what a single setting may be: kinds of numbers, times, names and paths, and how each is refused."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from sojourn import programs

DAY = 86_400.0
TEN_YEARS = 3660 * DAY
"""No time that the service counts with is longer, in seconds: a date so far away is a slip of the pen, and
one much further away could not be written."""


def _not_a_boolean(value: object) -> object:
    # pydantic would take `true` for 1.0, which is never what somebody meant by a time or a port.
    if isinstance(value, bool):
        raise ValueError("a number is needed, not a boolean")
    return value


def _home(value: object) -> object:
    if value == "":
        raise ValueError("the path is empty")
    return Path(value).expanduser() if isinstance(value, str) else value


def _time_or_root(value: object) -> float | Literal["root"]:
    if value == "root":
        return "root"
    try:
        number = float(typing.cast("str", value))
    except (TypeError, ValueError):
        number = 0.0
    if isinstance(value, bool) or not 0 < number <= TEN_YEARS:
        raise ValueError(
            f"a positive number of seconds, at most {TEN_YEARS:.15g}, is needed, or 'root': the limit of the "
            "first job"
        )
    return number


def _factor(value: float) -> float:
    if value and value < 1:
        raise ValueError("it must be 0, which is off, or at least 1: no job ends before its estimate is over")
    return value


def _memory(value: float) -> float:
    if value and value < 1:  # a part of a byte would be 0, which is no bound
        raise ValueError("it must be 0, which is no bound, or at least 1")
    return value


def _list_of(what: str) -> Callable[[object], object]:
    def check(value: object) -> object:
        # pydantic would say "a valid tuple", and nobody writes those
        if not isinstance(value, list | tuple):
            raise ValueError(f"a list of {what} is needed")
        return value

    return check


def _program(value: str) -> str:
    known = [primitive.name for primitive in programs.PRIMITIVES]
    if value not in known and value not in programs.installed():
        raise ValueError(f"allowed is {', '.join(map(repr, [*known, *programs.installed()]))}")
    return value


def _cron(value: object) -> object:
    if isinstance(value, str):
        from cronsim import CronSim, CronSimError

        try:
            if (count := len(value.split())) != 5:  # CronSim takes six, with seconds
                raise CronSimError(f"this one has {count} fields")
            next(CronSim(value, datetime.now(UTC)))
        except (CronSimError, StopIteration) as error:
            raise ValueError(
                "a cron expression is needed: minute, hour, day, month and weekday, such as '0 4 * * *' "
                f"({error or 'it never comes true'})"
            ) from None
    return value


def as_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Each tag once, in lower case, in the order given. ValueError with what is allowed.

    The client looks for a tag in lower case only, and separates several by commas on the command line.
    """
    found = tuple(dict.fromkeys(tag.lower() for tag in tags))
    for tag in found:
        if not re.fullmatch(_TAG, tag):
            raise ValueError(
                f"{tag[:140]!r} is not a tag: 1 to 128 letters, digits, spaces and . : _ -, without a space "
                "at its ends"
            )
    if len(found) > MOST_TAGS:
        raise ValueError(f"an instance has at most {MOST_TAGS} tags; {len(found)} were given")
    return found


def _tags(value: object) -> object:
    if not isinstance(value, list | tuple) or not all(isinstance(tag, str) for tag in value):
        raise ValueError("a list of tags is needed")
    return as_tags(value)


_TAG = r"[a-z0-9.:_-](?:[a-z0-9 .:_-]{0,126}[a-z0-9.:_-])?"
MOST_TAGS = 50

Number = Annotated[float, BeforeValidator(_not_a_boolean), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_not_a_boolean)]
Seconds = Annotated[Number, Field(le=TEN_YEARS)]
Memory = Annotated[Number, Field(ge=0, le=1e9), AfterValidator(_memory)]
"""Megabytes; the bytes fit into what a system counts with."""
Factor = Annotated[Number, Field(ge=0, le=1e6), AfterValidator(_factor)]
Days = Annotated[Number, Field(le=TEN_YEARS / DAY)]
Weight = Annotated[float, BeforeValidator(_not_a_boolean), Field(ge=0, le=1e9, allow_inf_nan=False)]
Schedule = Annotated[str, BeforeValidator(_cron)]
TimeOrRoot = Annotated[float | Literal["root"], PlainValidator(_time_or_root)]
Program = Annotated[str, AfterValidator(_program)]
Folder = Annotated[Path, BeforeValidator(_home)]
DEVICE_NAME = r"^[a-z0-9_-]{1,64}$"
TITLE = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
PATTERNS = {
    DEVICE_NAME: "1 to 64 of a-z, 0-9, '_' and '-'",
    TITLE: "1 to 64 of a-z, A-Z, 0-9, '.', '_', '@' and '-', of which the first is a letter or a digit",
}
"""What each pattern allows, in words."""
DeviceName = Annotated[str, Field(pattern=DEVICE_NAME)]
Title = Annotated[str, Field(pattern=TITLE)]
Tags = Annotated[tuple[str, ...], BeforeValidator(_tags)]
UserNames = Annotated[tuple[str, ...], BeforeValidator(_list_of("user names"))]
Modes = Annotated[list[Literal["dedicated", "batch"]], BeforeValidator(_list_of("'dedicated' and 'batch'"))]
SYSTEM = "system"
"""No project or user may be called so: the service's own jobs and their usage are shown under it."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
