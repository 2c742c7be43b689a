"""Calls a server's own API (docs/api.md): one request, one answer or a CliError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sojourn.cli.errors import CliError, Unreachable
from sojourn.cli.output import visible

if TYPE_CHECKING:
    from sojourn.cli.connection import Where

BASE = "/sojourn/v1"
_TIMEOUT = 30.0
_KEYS = {
    "/reservations": "The key of an admin of the project or of an operator is needed; the operator's lies",
    "/usage": "With an operator's key there is everybody's usage; it lies",
}
"""Whose key helps after a 403, by what was asked for."""
_ANY_OTHER = "An operator's key is needed; it lies"


class Api:
    """The own API of one server, as one caller."""

    def __init__(self, url: str, key: str, *, timeout: float = _TIMEOUT) -> None:
        self.url = url
        self._key = key
        self._timeout = timeout

    @classmethod
    def of(cls, where: Where, *, timeout: float = _TIMEOUT) -> Api:
        """As the operator, unless a key was given. Each step of a request may take `timeout` seconds."""
        return cls(where.find_url(), where.find_key("operator"), timeout=timeout)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of GET `path`; a query value that is None is left out."""
        return self._ask("GET", path, query=query)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._ask("POST", path, body=body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask("PATCH", path, body=body)

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask("PUT", path, body=body)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        import httpx

        try:
            # No proxies: the own API is asked directly, whatever the environment says about the outside.
            with httpx.Client(timeout=self._timeout, trust_env=False) as client:
                reply = client.request(
                    method,
                    f"{self.url}{BASE}{path}",
                    params={k: v for k, v in (query or {}).items() if v is not None},
                    json=body,
                    headers={"Authorization": f"Bearer {self._key}"},
                )
        except httpx.TimeoutException:
            raise Unreachable(f"the server at {self.url} did not answer within {self._timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(
                f"no server answers at {self.url} ({error}). Start it with `sojourn serve`, "
                "or name another one with --url or SOJOURN_URL"
            ) from None
        if reply.is_success:
            try:
                return reply.json()
            except ValueError:
                raise CliError(f"what answers at {self.url} is not a Sojourn server") from None
        raise CliError(_complaint(path, reply.status_code, reply.text, self.url))


def _complaint(path: str, status: int, text: str, url: str) -> str:
    import json

    try:
        message = visible(str(json.loads(text)["error"]["message"]))
    except (ValueError, KeyError, TypeError):
        message = visible(text.strip()[:200]) or "no message"
    hint = ""
    if status == 401:
        hint = ". The key is wrong, was revoked, or belongs to another server: see --token and --data"
    elif status == 403:
        whose = next((said for of, said in _KEYS.items() if path.startswith(of)), _ANY_OTHER)
        hint = f". {whose} in the server's data folder as operator.key"
    return f"{message.rstrip('.')}{hint} ({url} answered {status})"
