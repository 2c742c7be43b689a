"""Checks that a device's description is plain JSON of a bounded size, before the server is told of it.

Drivers of others write it: a NaN among its numbers would be no JSON, and a client could not read the device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from sojourn.devices.driver import Driver, DriverError
from sojourn.worker.protocol import messages
from sojourn.worker.protocol.types import Description

SIMULATORS = "sojourn.devices.aer."
_SHOWN = 3  # places that are told


def check(description: Description) -> None:
    """Raises `DriverError` with the places that cannot be told."""
    try:
        packed = messages.encode_description(description)
        plain: dict[str, object] = msgspec.msgpack.decode(packed)
    except (TypeError, ValueError, OverflowError, NotImplementedError, RecursionError) as error:
        raise DriverError(f"the description cannot be sent: {error}") from error
    if len(packed) > messages.MAX_DESCRIPTION:
        raise DriverError(f"the description has {len(packed)} bytes; the limit is {messages.MAX_DESCRIPTION}")
    found = list(_faults({name: plain[name] for name in ("configuration", "properties")}))
    if found:
        more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise DriverError(f"the description is no JSON: {'; '.join(found[:_SHOWN])}{more}")


def check_foreign(driver: Driver, description: Description) -> None:
    """`check`, unless the driver is a simulator of ours: those are tested, and start often."""
    if not type(driver).__module__.startswith(SIMULATORS):
        check(description)


def _faults(whole: dict[str, object]) -> Iterator[str]:
    """What JSON has no form for. Without recursion: a driver may nest as deep as it likes."""
    waiting: list[tuple[str, object]] = [("", whole)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{place} is {value}, which is not a number of JSON; leave it out, or say null"
        elif isinstance(value, bytes):
            yield f"{place} is of {len(value)} bytes, which are not text"
        elif isinstance(value, list):
            waiting += ((f"{place}[{index}]", item) for index, item in enumerate(value))
        elif isinstance(value, dict):
            for key, item in value.items():
                if isinstance(key, str):
                    waiting.append((f"{place}.{key}" if place else key, item))
                else:
                    yield f"{place} has the key {key!r}, which is not text"
