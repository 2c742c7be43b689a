"""Asks the server, with the key of the person who looks at a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from sojourn.client import PREFIX

PATIENCE = 15.0
"""Seconds that an answer may take."""


class UpstreamError(Exception):
    """No answer that could be shown; the message is a sentence for the person. `status` is 0 without one."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Upstream:
    """One connection pool for everybody. `url` is the server's, without a path."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False)

    async def close(self) -> None:
        await self._http.aclose()

    async def get(self, key: str, path: str, **query: Any) -> Any:
        """The JSON of GET `path` of our own API; a query value that is None is left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return await self._ask("GET", key, f"{PREFIX}{path}", params=given)

    async def post(self, key: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return await self._ask("POST", key, f"{PREFIX}{path}", json=body or {})

    async def dialect(self, key: str, path: str) -> Any:
        """The JSON of GET `path` of the client's dialect: results and logs."""
        return await self._ask("GET", key, f"/api/v1{path}")

    async def _ask(self, method: str, key: str, path: str, **how: Any) -> Any:
        try:
            reply = await self._http.request(method, path, headers={"authorization": f"Bearer {key}"}, **how)
        except httpx.HTTPError as error:
            raise UpstreamError(f"The server does not answer ({type(error).__name__}).") from None
        if reply.is_success:
            try:
                return reply.json()
            except ValueError:
                return reply.text
        try:
            said = str(reply.json()["error"]["message"])
        except (ValueError, KeyError, TypeError):
            said = reply.text[:200]
        raise UpstreamError(said, reply.status_code)
