"""Calls the service's own API, `/sojourn/v1` (docs/api.md), over HTTP.

For the command line, the embedded server and the demo. The import is cheap: the first call loads httpx.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

PREFIX = "/sojourn/v1"


class ClientError(Exception):
    """The service gave no answer that could be used. The message is a sentence that names the address."""


class Unreachable(ClientError):
    """Nothing answers at the address."""


class TooSlow(Unreachable):
    """Something accepts connections at the address, and has not answered in time."""


class Refused(ClientError):
    """The service answered with an HTTP status other than 2xx."""

    def __init__(self, url: str, method: str, path: str, status: int, body: str) -> None:
        self.url = url
        self.method = method
        self.path = path
        """As it was asked for, without the prefix."""
        self.status = status
        self.body = body
        super().__init__(f"{method} {path} was refused: {status} {body}")

    @property
    def message(self) -> str:
        """The sentence of the service; the beginning of the body when something else has answered."""
        try:
            return str(json.loads(self.body)["error"]["message"])
        except (ValueError, KeyError, TypeError):
            return self.body.strip()[:200] or "no message"


class Client:
    """One caller of one service.

    `url`: `http://HOST:PORT`, without a path. `key`: an API key. `timeout`: seconds that each step of a
    request may take. Every call raises `Refused` for a status other than 2xx, `Unreachable` without an
    answer, and `ClientError` for an answer that is not JSON.
    """

    def __init__(self, url: str, key: str, *, timeout: float = 30.0) -> None:
        self.url = url
        self.timeout = timeout
        self._key = key

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of GET `path`; a query value that is None is left out."""
        return self._call("GET", path, query=query)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._call("POST", path, body=body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._call("PATCH", path, body=body)

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._call("PUT", path, body=body)

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        import httpx

        try:
            # The proxies of the environment are for the outside; this server is called directly.
            with httpx.Client(timeout=self.timeout, trust_env=False) as client:
                reply = client.request(
                    method,
                    f"{self.url}{PREFIX}{path}",
                    params={name: value for name, value in (query or {}).items() if value is not None},
                    json=body,
                    headers={"Authorization": f"Bearer {self._key}"},
                )
        except httpx.TimeoutException:
            raise TooSlow(f"the server at {self.url} did not answer within {self.timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(f"no server answers at {self.url} ({error})") from None
        if not reply.is_success:
            raise Refused(self.url, method, path, reply.status_code, reply.text)
        try:
            return reply.json()
        except ValueError:
            raise ClientError(f"what answers at {self.url} is not a Sojourn server") from None
