"""Counts requests with wrong credentials by the address that they come from, and slows them down.

Requests with valid credentials are never refused here: behind a proxy all users share an address. A key has
256 random bits, so none can be guessed; what is bounded is the work and the log that somebody who tries can
cause.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable

from sojourn.buckets import Buckets
from sojourn.service.errors import TooMany


class WrongKeys:
    """A bucket of `most` for each address that fills by `per_minute`. `note` is called with each address."""

    def __init__(
        self,
        most: int,
        per_minute: float,
        note: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = float(most)
        self._rate = per_minute / 60
        self._note = note
        self._clock = clock
        self._left: Buckets[str] = Buckets()

    def count(self, address: str) -> None:
        """Wrong credentials came from there. Raises TooMany when there were too many of late."""
        source = network(address)
        self._note(source)
        now = self._clock()
        left = self._left.level(source, now, self._rate, self._most)
        answered = left >= 1
        self._left.take(source, answered, now, self._rate, self._most)
        if not answered:
            wait = (1 - left) / self._rate
            raise TooMany(
                f"Too many requests with wrong credentials came from {source}: {self._most:g} at once and "
                f"{self._rate * 60:g} in a minute are answered (access.wrong_keys, "
                f"access.wrong_keys_per_minute). Check the API key, and try again in {wait:.0f} s.",
                retry_after=wait,
            )


def network(address: str) -> str:
    """What counts as one address: one of IPv4, a /64 of IPv6, which is what one customer has."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address or "unknown"
    if found.version == 4:
        return str(found)
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped) if mapped is not None else str(ipaddress.ip_network((int(found), 64), strict=False))
