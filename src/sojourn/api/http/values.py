"""Reads values out of query strings and JSON bodies, and says what is wrong with them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from sojourn.config import TEN_YEARS
from sojourn.core.wording import formatting
from sojourn.service.errors import BadRequest
from sojourn.service.timing import times

T = TypeVar("T")
_SHOWN = 80
_LOST_PLUS = re.compile(r" (?=\d\d:?\d\d$)")


def shown(value: object) -> str:
    """`value` as an error message may quote it: short, printable."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


class Query:
    """The query string of a request. Of a value given twice the last counts; unknown keys are ignored."""

    def __init__(self, raw: bytes) -> None:
        """BadRequest when it is not percent-encoded UTF-8."""
        try:
            pairs = parse_qsl(
                raw.decode("ascii"),
                keep_blank_values=True,
                encoding="utf-8",
                errors="strict",
                max_num_fields=200,
            )
        except UnicodeDecodeError as error:
            raise BadRequest(
                f"The query string is not percent-encoded UTF-8: {shown(error.object[:40])}. "
                "Encode it as UTF-8."
            ) from None
        except ValueError:
            raise BadRequest("The query string has more than 200 fields. Send fewer.") from None
        self._pairs = pairs
        self._last = dict(pairs)

    def text(self, name: str) -> str | None:
        """None when it is absent or empty."""
        return self._last.get(name) or None

    def many(self, name: str) -> tuple[str, ...]:
        return tuple(value for key, value in self._pairs if key == name and value)

    def flag(self, name: str, default: bool | None = None) -> bool | None:
        value = self.text(name)
        if value is None:
            return default
        word = value.lower()
        if word in ("true", "1"):
            return True
        if word in ("false", "0"):
            return False
        raise BadRequest(f"Query parameter {name}={shown(value)} is not a boolean. Send true or false.")

    def integer(self, name: str, default: int, *, low: int, high: int | None = None) -> int:
        value = self.text(name)
        if value is None:
            return default
        allowed = (
            f"a whole number from {low} to {high}" if high is not None else f"a whole number from {low} on"
        )
        if len(value) > 18 or not re.fullmatch(r"-?[0-9]+", value):
            raise BadRequest(f"Query parameter {name}={shown(value)} must be {allowed}.")
        number = int(value)
        if number < low or (high is not None and number > high):
            raise BadRequest(f"Query parameter {name}={number} is out of range; it must be {allowed}.")
        return number

    def choice(self, name: str, allowed: Mapping[str, bool], default: bool) -> bool:
        """The value of `allowed` under the text given, in any case of letters."""
        value = self.text(name)
        if value is None:
            return default
        found = {key.lower(): meaning for key, meaning in allowed.items()}.get(value.lower())
        if found is None:
            raise BadRequest(f"Query parameter {name}={shown(value)} must be one of {', '.join(allowed)}.")
        return found

    def time(self, name: str) -> float | None:
        """Seconds since the epoch of an ISO 8601 time; one without an offset is taken as UTC."""
        value = self.text(name)
        if value is None:
            return None
        try:
            # A plus that nobody encoded arrives as a space.
            at = datetime.fromisoformat(_LOST_PLUS.sub("+", value))
        except ValueError:
            raise BadRequest(
                f"Query parameter {name}={shown(value)} is not a time. "
                "Send ISO 8601 such as 2026-01-31T12:00:00Z (a plus sign in it must be sent as %2B)."
            ) from None
        return epoch(at, name)


def epoch(at: datetime | None, name: str) -> float | None:
    """Seconds since the epoch of the time in query parameter `name`; None stays None."""
    return None if at is None else times.epoch(at, f"Query parameter {name}")


def json_object(raw: bytes, what: str) -> dict[str, Any]:
    """The JSON object in `raw`; BadRequest says what is wrong and where. `what` names the body in it."""
    if not raw.strip():
        raise BadRequest(f"The body is empty. Send {what} as a JSON object.")
    try:
        value = msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise BadRequest(f"The body is not valid JSON: {error}. Send {what} as a JSON object.") from None
    except RecursionError:
        raise BadRequest(f"The body is nested too deeply. Send {what} as a JSON object.") from None
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8: byte {error.start} is {error.reason}.") from None
    if not isinstance(value, dict):
        raise BadRequest(f"The body is a JSON {_kind(value)}. Send {what} as a JSON object.")
    return value


def _kind(value: object) -> str:
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "boolean"),
        (list, "array"),
        (str, "string"),
        (int, "number"),
        (float, "number"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")


def field(
    body: Mapping[str, Any],
    name: str,
    kind: type[T],
    expected: str,
    *,
    check: Callable[[T], bool] | None = None,
) -> T | None:
    """The value of an optional field (null counts as absent); BadRequest unless it is a `kind`."""
    value = body.get(name)
    if value is None:
        return None
    wrong_bool = isinstance(value, bool) and kind is not bool
    if wrong_bool or not isinstance(value, kind) or (check is not None and not check(value)):
        raise BadRequest(f"Field {name!r} is {shown(value)}; it must be {expected}.")
    return value


def duration(value: object, name: str, limit: float) -> float:
    """Seconds: a positive number, or text such as ``2h 30m 40s`` (R18). BadRequest names the `limit`.

    What is over the `limit` is left to the policy to refuse, but not what no device could allow.
    """
    seconds: float | None = None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            seconds = float(value)
    elif isinstance(value, str):
        seconds = times.seconds(value)
    if seconds is not None and seconds > TEN_YEARS:
        raise BadRequest(
            f"Field {name!r} is {shown(value)}, more than ten years; it must be at most "
            f"{formatting.seconds(limit)}."
        )
    if seconds is None or not seconds > 0:
        raise BadRequest(
            f"Field {name!r} is {shown(value)}; it must be a number of seconds, more than 0 and at "
            f"most {limit:g}, or text such as '2h 30m 40s', each unit once."
        )
    return seconds
