"""Asks the server, with the key of the person who looks at a page."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import httpx

from sojourn.client import PREFIX, Blocks

PATIENCE = 15.0
"""Seconds that an answer may take."""
NO_KEY = 401
"""The status of the answer to a key that the server does not know."""


class UpstreamError(Exception):
    """No answer that could be shown; the message is a sentence for the person. `status` is 0 without one."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Upstream:
    """One connection pool for everybody, and one for streams, which keep their connections. `url` is the
    server's, without a path. `refused` is called with a key that the server does not know."""

    def __init__(self, url: str, refused: Callable[[str], None] | None = None) -> None:
        self.url = url
        self._told = refused
        self._http = httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False)
        endless = httpx.Timeout(PATIENCE, read=None)
        unbounded = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._streams = httpx.AsyncClient(base_url=url, timeout=endless, limits=unbounded, trust_env=False)

    async def close(self) -> None:
        await self._http.aclose()
        await self._streams.aclose()

    async def get(self, key: str, path: str, **query: Any) -> Any:
        """The JSON of GET `path` of our own API; a query value that is None is left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return await self._ask("GET", key, f"{PREFIX}{path}", params=given)

    async def post(
        self, key: str, path: str, body: Mapping[str, Any] | None = None, once: str | None = None
    ) -> Any:
        """`once` is the Idempotency-Key of a submit."""
        headers = {} if once is None else {"idempotency-key": once}
        return await self._ask("POST", key, f"{PREFIX}{path}", headers, json=body or {})

    async def dialect(self, key: str, path: str, most: int | None = None) -> Any:
        """The JSON of GET `path` of the client's dialect: inputs, results and logs. Raises UpstreamError for
        more than `most` bytes, without reading on."""
        if most is None:
            return await self._ask("GET", key, f"/api/v1{path}")
        data = b""
        headers = {"authorization": f"Bearer {key}"}
        try:
            async with self._http.stream("GET", f"/api/v1{path}", headers=headers) as reply:
                async for piece in reply.aiter_bytes():
                    data += piece
                    if len(data) > most:
                        raise UpstreamError(f"It has more than {most // 1_000_000} MB.", reply.status_code)
                if not reply.is_success:
                    raise self._refused(key, httpx.Response(reply.status_code, content=data))
        except httpx.HTTPError as error:
            raise _silent(error) from None
        return json.loads(data)

    async def events(self, key: str, last: int | None) -> AsyncGenerator[dict[str, str]]:
        """The fields of each block of the event stream (docs/events.md) behind the event `last`; None begins
        with now. It ends when the server ends it; how long a silence is too long is the reader's to say."""
        headers = {"authorization": f"Bearer {key}", "accept": "text/event-stream"}
        if last is not None:
            headers["last-event-id"] = str(last)
        try:
            async with self._streams.stream("GET", f"{PREFIX}/events", headers=headers) as reply:
                if not reply.is_success:
                    await reply.aread()
                    raise self._refused(key, reply)
                blocks = Blocks()
                async for piece in reply.aiter_bytes():
                    for fields in blocks.feed(piece):
                        yield fields
        except httpx.HTTPError as error:
            raise _silent(error) from None

    async def _ask(
        self, method: str, key: str, path: str, headers: Mapping[str, str] | None = None, **how: Any
    ) -> Any:
        sent = {"authorization": f"Bearer {key}", **(headers or {})}
        try:
            reply = await self._http.request(method, path, headers=sent, **how)
        except httpx.HTTPError as error:
            raise _silent(error) from None
        if reply.is_success:
            try:
                return reply.json()
            except ValueError:
                return reply.text
        raise self._refused(key, reply)

    def _refused(self, key: str, reply: httpx.Response) -> UpstreamError:
        if reply.status_code == NO_KEY and self._told is not None:
            self._told(key)
        return _refusal(reply)


def _silent(error: httpx.HTTPError) -> UpstreamError:
    return UpstreamError(f"The server does not answer ({type(error).__name__}).")


def _refusal(reply: httpx.Response) -> UpstreamError:
    try:
        said = str(reply.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        said = reply.text[:200]
    return UpstreamError(said, reply.status_code)
