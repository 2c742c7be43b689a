"""The types of single settings: kinds of numbers, times, names and paths, with what each allows."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from sojourn.core import Mode

DAY = 86_400.0
TEN_YEARS = 3660 * DAY
"""The longest time that can be set, in seconds: a longer one is a mistake, and a much longer one could not be
written as a date."""


def _not_a_boolean(value: object) -> object:
    # pydantic would take `true` for 1.0, which is never what somebody meant by a time or a port.
    if isinstance(value, bool):
        raise ValueError("must be a number, not a boolean")
    return value


def _home(value: object) -> object:
    if value == "":
        raise ValueError("must not be empty")
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
            f"must be a positive number of seconds, at most {TEN_YEARS:.15g}, or 'root' (the limit of the "
            "first job)"
        )
    return number


def _factor(value: float) -> float:
    if value and value < 1:
        raise ValueError("must be 0 (off) or at least 1")
    return value


def _memory(value: float) -> float:
    if value and value < 1:  # a part of a byte would be rounded to 0, which means no limit
        raise ValueError("must be 0 (no limit) or at least 1")
    return value


def _list_of(what: str) -> Callable[[object], object]:
    def check(value: object) -> object:
        # pydantic would ask for "a valid tuple", which TOML does not have
        if not isinstance(value, list | tuple):
            raise ValueError(f"must be a list of {what}")
        return value

    return check


def _cron(value: object) -> object:
    if isinstance(value, str):
        from cronsim import CronSim, CronSimError

        try:
            if (count := len(value.split())) != 5:  # CronSim takes six, with seconds
                raise CronSimError(f"this one has {count} fields")
            next(CronSim(value, datetime.now(UTC)))
        except (CronSimError, StopIteration) as error:
            raise ValueError(
                "must be a cron expression of minute, hour, day, month and weekday, such as '0 4 * * *' "
                f"({error or 'this one never matches'})"
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
                f"{tag[:140]!r} is not a tag: a tag has 1 to 128 letters, digits, spaces and . : _ -, and "
                "does not begin or end with a space"
            )
    if len(found) > MOST_TAGS:
        raise ValueError(f"an instance can have at most {MOST_TAGS} tags; {len(found)} were given")
    return found


def _one_line(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("must be one line of printable characters")
    return text.strip()


def _tags(value: object) -> object:
    if not isinstance(value, list | tuple) or not all(isinstance(tag, str) for tag in value):
        raise ValueError("must be a list of tags")
    return as_tags(value)


_TAG = r"[a-z0-9.:_-](?:[a-z0-9 .:_-]{0,126}[a-z0-9.:_-])?"
MOST_TAGS = 50

Number = Annotated[float, BeforeValidator(_not_a_boolean), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_not_a_boolean)]
Seconds = Annotated[Number, Field(le=TEN_YEARS)]
Memory = Annotated[Number, Field(ge=0, le=1e9), AfterValidator(_memory)]
"""Megabytes. The limit keeps the number of bytes within 64 bits."""
Factor = Annotated[Number, Field(ge=0, le=1e6), AfterValidator(_factor)]
Days = Annotated[Number, Field(le=TEN_YEARS / DAY)]
Weight = Annotated[float, BeforeValidator(_not_a_boolean), Field(ge=0, le=1e9, allow_inf_nan=False)]
Schedule = Annotated[str, BeforeValidator(_cron)]
TimeOrRoot = Annotated[float | Literal["root"], PlainValidator(_time_or_root)]
Folder = Annotated[Path, BeforeValidator(_home)]
DEVICE_NAME = r"^[a-z0-9_-]{1,64}$"
TITLE = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
PATTERNS = {
    DEVICE_NAME: "1 to 64 characters of a-z, 0-9, '_' and '-'",
    TITLE: "1 to 64 characters of a-z, A-Z, 0-9, '.', '_', '@' and '-', beginning with a letter or a digit",
}
"""What each pattern allows, after "must be"."""
ExternalQueue = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
DeviceName = Annotated[str, Field(pattern=DEVICE_NAME)]
Title = Annotated[str, Field(pattern=TITLE)]
Tags = Annotated[tuple[str, ...], BeforeValidator(_tags)]
UserNames = Annotated[tuple[str, ...], BeforeValidator(_list_of("user names"))]
Modes = Annotated[list[Mode], BeforeValidator(_list_of("'dedicated' and 'batch'"))]
SYSTEM = "system"
"""A name that no project or user may have: the service's own jobs and usage are shown under it."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
