"""Makes replies: bodies, the error body, times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from sojourn.api.http.statuses import status_of
from sojourn.service.errors import NoRoom, Refusal, TooMany
from sojourn.service.jobs.texts import Large

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"

_encoder = msgspec.json.Encoder()
encode = _encoder.encode


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. `headers` are further ones, lower-case names.

    A large `text` comes after the body and before the `tail`.
    """

    body: bytes = b""
    status: int = 200
    media: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    text: Large | None = None
    tail: bytes = b""

    @property
    def size(self) -> int:
        return len(self.body) + (self.text.size if self.text is not None else 0) + len(self.tail)


def json_reply(value: Any, status: int = 200) -> Reply:
    return Reply(encode(value), status)


def text_reply(text: str | bytes | Large) -> Reply:
    if isinstance(text, Large):
        return Reply(media=TEXT, text=text)
    return Reply(text.encode() if isinstance(text, str) else text, media=TEXT)


NO_CONTENT = Reply(status=204)


def error_body(code: int, message: str, **more: Any) -> dict[str, Any]:
    """The one shape of an error: `error` is what Python clients read, `errors` what the others do."""
    entry = {"code": code, "message": message}
    return {"error": entry, "errors": [entry], **more}


def error_reply(
    status: int, code: int, message: str, *, headers: tuple[tuple[bytes, bytes], ...] = (), **more: Any
) -> Reply:
    return Reply(encode(error_body(code, message, **more)), status, JSON, headers)


def refusal_reply(refusal: Refusal) -> Reply:
    headers: tuple[tuple[bytes, bytes], ...] = ()
    status = status_of(refusal)
    if status == 401:
        headers = ((b"www-authenticate", b'Bearer realm="sojourn"'),)
    if isinstance(refusal, TooMany | NoRoom) and refusal.retry_after is not None:
        headers = ((b"retry-after", str(math.ceil(refusal.retry_after)).encode()),)
    return error_reply(status, refusal.code, refusal.message, headers=headers)


def iso(at: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC with microseconds, the clients' form; None stays None."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def tidy(seconds: float) -> int | float:
    """A whole number of seconds as an int, which strictly typed clients ask for; others stay as they are."""
    return int(seconds) if seconds == int(seconds) else seconds


def begun(seconds: float) -> int:
    """Whole seconds, where one that has begun counts; the dust of a sum of floats does not begin one."""
    return math.ceil(round(seconds, 6))


def without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}
