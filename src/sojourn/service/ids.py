"""New names for jobs, sessions and keys. The one place of the service that draws random numbers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import time

_LARGE = 1_000_000
"""Bytes from which on a hash takes so long (1 ms) that it is left to a thread."""

_ALPHABET = "0123456789abcdefghijklmnopqrstuv"


def new_id(prefix: str) -> str:
    """Twenty characters: a letter for the kind, the time, and 50 random bits.

    Ids of one kind sort by time, which keeps database indexes compact.
    """
    stamp = int(time.time() * 1000)
    return prefix + _base32(stamp, 9) + _base32(secrets.randbits(50), 10)


def new_api_key() -> str:
    """256 random bits in 43 URL-safe characters behind a recognisable head."""
    return "sjn_" + secrets.token_urlsafe(32)


WEBHOOK_SECRET = "whsec_"


def new_webhook_secret() -> str:
    """256 random bits in base64 behind the head that the convention of Standard Webhooks asks for."""
    return WEBHOOK_SECRET + base64.b64encode(secrets.token_bytes(32)).decode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def sha256_aside(*parts: bytes) -> str:
    """The hash of all parts together. A large body does not keep the event loop from its other work."""

    def work() -> str:
        whole = hashlib.sha256()
        for part in parts:
            whole.update(part)
        return whole.hexdigest()

    return work() if sum(map(len, parts)) < _LARGE else await asyncio.to_thread(work)


def _base32(value: int, length: int) -> str:
    digits = []
    for _ in range(length):
        digits.append(_ALPHABET[value & 31])
        value >>= 5
    return "".join(reversed(digits))
