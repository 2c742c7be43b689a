"""Looks at the requests of the real client between it and its sockets: when, for how long, and the answers.

The client is not changed: the adapter of `requests`, which it uses, is wrapped while `Wire` is open.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from bench.speed.echo import Answer, playing


@dataclass(frozen=True, slots=True)
class Trip:
    """A request and its answer; `began` and `ended`: seconds since the epoch; `job`: that of a submit."""

    method: str
    path: str
    began: float
    ended: float
    job: str | None = None

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Wire:
    """`with Wire(url) as wire:` - the requests to the server at `url` are listed in `trips`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._instead: str | None = None
        self._answers: dict[tuple[str, str], Answer] | None = None
        self._send: Callable[..., Response] = HTTPAdapter.send
        self.trips: list[Trip] = []

    def __enter__(self) -> Self:
        wire = self

        def send(adapter: HTTPAdapter, request: PreparedRequest, *rest: Any, **more: Any) -> Response:
            return wire._sent(adapter, request, *rest, **more)

        HTTPAdapter.send = send  # type: ignore[method-assign, assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        HTTPAdapter.send = self._send  # type: ignore[method-assign]

    @contextmanager
    def echo(self, step: Callable[[], object]) -> Iterator[Callable[[], None]]:
        """The same step against recorded answers: it is made once, and its answers are played back."""
        self._answers = {}
        try:
            step()
            answers = self._answers
        finally:
            self._answers = None
        with playing(answers) as url:

            def again() -> None:
                self._instead = url
                try:
                    step()
                finally:
                    self._instead = None

            yield again

    def _sent(self, adapter: HTTPAdapter, request: PreparedRequest, *rest: Any, **more: Any) -> Response:
        url = request.url or ""
        path = "/" + url.removeprefix("http://").partition("/")[2]
        if self._instead is not None:
            request.url = self._instead + path
            more["proxies"] = {}  # which name our server
        began = time.time()
        reply = self._send(adapter, request, *rest, **more)
        ended = time.time()
        method = request.method or ""
        if self._instead is None:
            submit = method == "POST" and path.endswith("/jobs") and reply.status_code == 200
            job = json.loads(reply.content)["id"] if submit else None
            self.trips.append(Trip(method, path, began, ended, job))
        if self._answers is not None:
            kind = reply.headers.get("Content-Type", "application/json")
            self._answers[method, path] = Answer(reply.status_code, kind, reply.content)
        return reply
