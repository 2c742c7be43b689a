"""Calls the service's own API, `/sojourn/v1` (docs/api.md), over HTTP.

For the command line, the embedded server and the demo. The import is cheap: the first call loads httpx.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

PREFIX = "/sojourn/v1"
SILENCE = 130.0
"""Seconds without a byte after which an event stream counts as lost: an idle one gives a sign of life once a
minute at least."""
AGAIN = 2.0
"""Seconds between two attempts to follow a lost stream again."""
_LATER = (429, 502, 503, 504)


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

    def post(self, path: str, body: Mapping[str, Any] | None = None, **query: Any) -> Any:
        return self._call("POST", path, query=query, body=body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._call("PATCH", path, body=body)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._call("PUT", path, body=body)

    def events(
        self,
        *,
        last_event_id: int | None = None,
        on_lost: Callable[[str], None] | None = None,
        pause: float = AGAIN,
        **query: Any,
    ) -> Iterator[dict[str, Any]]:
        """The events of `GET /events` as they happen (docs/events.md), without an end, or with `follow=False`
        those up to now.

        `last_event_id`: those behind that one first; None begins with now. `query` are the filters `device`,
        `job`, `session`, `project` and `kind`; of several kinds a list. A stream that is cut, also by a
        restart of the server, is followed again from the last event on, every `pause` seconds until that
        succeeds; `on_lost` is told why. Raises as every call does when there is no stream to begin with, and
        `Refused` later when the server does not let the caller in any more.
        """
        tell = on_lost or _nothing
        last, begun = last_event_id, False
        while True:
            try:
                for event, name, cursor in self._stream(last, query):
                    last, begun = cursor, True
                    if name == "end" and event is not None:
                        if event["reason"] == "complete":
                            return
                        tell(str(event["message"]))
                    elif event is not None:
                        yield event
            except Unreachable as error:
                if not begun:
                    raise
                tell(str(error))
            except Refused as error:
                if not begun or error.status not in _LATER:
                    raise
                tell(error.message)
            time.sleep(pause)

    def _stream(
        self, last: int | None, query: Mapping[str, Any]
    ) -> Iterator[tuple[dict[str, Any] | None, str, int | None]]:
        """(data, name, id of the last event) of each event of one connection; a sign of life has no data."""
        import httpx

        path = f"{PREFIX}/events"
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "text/event-stream"}
        if last is not None:
            headers["Last-Event-ID"] = str(last)
        params = {name: value for name, value in query.items() if value is not None}
        timeout = httpx.Timeout(self.timeout, read=max(self.timeout, SILENCE))
        try:
            with (
                httpx.Client(timeout=timeout, trust_env=False) as client,
                client.stream("GET", f"{self.url}{path}", params=params, headers=headers) as reply,
            ):
                if not reply.is_success:
                    said = reply.read().decode("utf-8", "replace")
                    raise Refused(self.url, "GET", "/events", reply.status_code, said)
                if not reply.headers.get("content-type", "").startswith("text/event-stream"):
                    raise ClientError(f"what answers at {self.url} is not a Sojourn server")
                blocks = Blocks()
                for fields in (each for piece in reply.iter_bytes() for each in blocks.feed(piece)):
                    last = int(fields["id"]) if "id" in fields else last
                    data = json.loads(fields["data"]) if "data" in fields else None
                    yield data, fields.get("event", ""), last
        except httpx.TimeoutException:
            raise TooSlow(f"the server at {self.url} said nothing for too long") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(f"no server answers at {self.url} ({error})") from None
        except (ValueError, TypeError):
            raise ClientError(f"what answers at {self.url} is not a Sojourn server") from None

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


class Blocks:
    """Reads a stream of Server-Sent Events piece by piece. Lines end with the byte 10 and nothing else: a
    reason may have characters that other readers of lines take for their ends."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[dict[str, str]]:
        """The fields of each block that this piece completes, without comments."""
        found = []
        *whole, self._rest = (self._rest + piece).split(b"\n\n")
        for block in whole:
            pairs = (line.partition(b":") for line in block.split(b"\n"))
            fields = {
                name.decode("utf-8", "replace"): value.removeprefix(b" ").decode("utf-8", "replace")
                for name, _, value in pairs
                if name
            }
            if fields:
                found.append(fields)
        return found


def _nothing(_: str) -> None:
    """What is done about a cut stream where nobody wants to know of it."""
