"""Reads the JSON body of a submit in any dialect. Its `params` may be large and stay as they were sent."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from sojourn import codes
from sojourn.service.errors import BadRequest

MAX_OTHERS = 100_000
"""Bytes of all fields but `params`: they become Python objects of up to fifty times their size."""

T = TypeVar("T", bound=msgspec.Struct)


class JobBodies(Generic[T]):
    """Bodies with the fields of `shape`, of which `params` is a `msgspec.Raw`.

    `fields` is what a refusal says of the fields that there are.
    """

    def __init__(self, shape: type[T], fields: str) -> None:
        self._names = shape.__struct_fields__
        self._fields = fields
        self._whole = msgspec.json.Decoder(shape)
        raw = [(name, msgspec.Raw, msgspec.field(default=msgspec.Raw(b""))) for name in self._names]
        self._raw = msgspec.json.Decoder(msgspec.defstruct("Fields", raw, forbid_unknown_fields=True))

    def read(self, data: bytes) -> T:
        """Raises BadRequest naming the field."""
        try:
            return self._read(data)
        except msgspec.ValidationError as error:
            raise BadRequest(f"The job cannot be read: {error}. {self._fields}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequest(
                f"The body is not valid JSON: {error}.{_not_finite(data)}", code=codes.NOT_JSON
            ) from None
        except RecursionError:
            raise BadRequest("The body is nested too deeply to be a job.", code=codes.NOT_JSON) from None

    def _read(self, data: bytes) -> T:
        """Only `params` may be large, as they stay what they are. Which field is large is known before
        anything is made of it."""
        if len(data) <= MAX_OTHERS:
            return self._whole.decode(data)
        fields = self._raw.decode(data)
        raw = {name: getattr(fields, name) for name in self._names}
        params = raw.pop("params")
        others = {name: value for name, value in raw.items() if len(memoryview(value))}
        size = sum(len(memoryview(value)) for value in others.values())
        if size > MAX_OTHERS:
            largest = max(others, key=lambda name: len(memoryview(others[name])))
            raise BadRequest(
                f"The fields beside params have {size} bytes, most of them in {largest!r}; the limit is "
                f"{MAX_OTHERS}. Inputs belong in params."
            )
        text = b",".join(b'"%b":%b' % (name.encode(), bytes(value)) for name, value in others.items())
        body = self._whole.decode(b"{%b}" % text)
        if len(memoryview(params)):
            body.params = params  # type: ignore[attr-defined]  # which every shape has
        return body


def _not_finite(data: bytes) -> str:
    """What to say of numbers that Python's encoder writes although JSON has none of them."""
    if b"NaN" not in data and b"Infinity" not in data:
        return ""
    return (
        " NaN and Infinity are not JSON: precision, shots, options, coefficients and parameter values must "
        "be finite."
    )
