"""One HTTP connection to another service, kept open between requests. Knows nothing of jobs or credentials.

The standard library does it: requests go one after the other, and a worker in a vendor's environment has no
HTTP client of its own. Proxies of the environment are not used. What is read is bounded.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

MAX_TEXT = 64 << 20
"""Bytes of a reply, unless the caller allows more."""

_KEPT = 2.0
"""Seconds for which an idle connection is used again: servers close theirs after five and more, and a request
that meets the end of one may be lost."""

_BROKEN = (OSError, http.client.HTTPException)


class Unreached(Exception):
    """There is no reply. `sent` is False when the other side has certainly not seen the request."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    retry_after: float | None = None

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


class Connection:
    """To the scheme, host and port of `url`. `timeout`: seconds that connecting or a silence may take.

    For one thread. `authority` is a file with the certificates that vouch for the server, None for the
    system's.
    """

    def __init__(self, url: str, *, timeout: float, authority: Path | None = None) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port
        self.timeout = timeout
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._tls = ssl.create_default_context(cafile=None if authority is None else str(authority))
        self._open: http.client.HTTPConnection | None = None
        self._last = 0.0

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        most: int = MAX_TEXT,
    ) -> Reply:
        """Send and read. A connection that the other side has closed meanwhile is replaced once, if nothing
        can have been done over it. Raises `Unreached`."""
        if time.monotonic() > self._last + _KEPT:
            self.close()
        kept = self._open is not None
        try:
            return self._exchange(method, path, headers, body, most)
        except Unreached as error:
            self.close()
            if not kept or (error.sent and method != "GET"):
                raise
        return self._exchange(method, path, headers, body, most)

    def set_timeout(self, seconds: float) -> None:
        self.timeout = seconds
        if self._open is not None and self._open.sock is not None:
            self._open.sock.settimeout(seconds)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        self._open = None

    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, most: int
    ) -> Reply:
        try:
            connection = self._connected()
        except _BROKEN as error:
            self.close()
            raise Unreached(_words(error), sent=False) from error
        try:
            connection.request(method, path, body=body, headers=dict(headers))
            response = connection.getresponse()
            text = response.read(most + 1)
        except _BROKEN as error:
            self.close()
            raise Unreached(_words(error), sent=True) from error
        if len(text) > most:
            self.close()
            raise Unreached(f"its reply is larger than {most} bytes, the limit", sent=True)
        self._last = time.monotonic()
        if response.will_close:
            self.close()
        return Reply(response.status, text, _seconds(response.getheader("Retry-After")))

    def _connected(self) -> http.client.HTTPConnection:
        if self._open is None:
            if self._tls is None:
                self._open = http.client.HTTPConnection(self._host, self._port, timeout=self.timeout)
            else:
                self._open = http.client.HTTPSConnection(
                    self._host, self._port, timeout=self.timeout, context=self._tls
                )
            self._open.connect()
        return self._open


def _words(error: BaseException) -> str:
    """An error of the system or of the protocol, for people."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    said = str(getattr(error, "strerror", None) or error) or type(error).__name__
    return " ".join(said.split())[:300]


def _seconds(text: str | None) -> float | None:
    """The header `Retry-After`; its other form, a date, is left alone."""
    try:
        return None if text is None else min(60.0, max(0.0, float(text)))
    except ValueError:
        return None
