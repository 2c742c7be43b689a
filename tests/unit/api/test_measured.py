"""Every request is measured once, under a kind from a fixed list, with the status of its reply."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sojourn.api.measured import Measured, kind_of
from sojourn.service.metrics.measures import Measures
from sojourn.service.requests.holds import HELD

KINDS = {"submit", "poll", "result", "look", "change", "stream"}


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/api/v1/jobs", "submit"),
        ("POST", "/experimental/api/v1/jobs", "submit"),
        ("POST", "/sojourn/v1/jobs", "submit"),
        ("GET", "/api/v1/jobs/d1", "poll"),
        ("HEAD", "/api/v1/jobs/d1", "poll"),
        ("GET", "/sojourn/v1/jobs/d1", "poll"),
        ("GET", "/api/v1/jobs/d1/results", "result"),
        ("GET", "/api/v1/jobs/d1/logs", "look"),
        ("GET", "/api/v1/jobs", "look"),
        ("GET", "/", "look"),
        ("GET", "", "look"),
        ("DELETE", "/api/v1/jobs/d1", "change"),
        ("POST", "/api/v1/jobs/d1/cancel", "change"),
        ("POST", "/api/v1/sessions", "change"),
        ("GET", "/sojourn/v1/events", "stream"),
        ("PROPFIND", "/../jobs/" + "x" * 2000, "change"),
    ],
)
def test_the_kind_follows_from_method_and_path(method: str, path: str, kind: str) -> None:
    assert kind_of(method, path) == kind
    assert kind in KINDS


def ask(measures: Measures, app: Any, path: str = "/api/v1/jobs/d1") -> None:
    async def send(message: Any) -> None:
        pass

    async def receive() -> Any:
        raise AssertionError("nobody reads the body")

    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    asyncio.run(Measured(app, measures)(scope, receive, send))


def value(measures: Measures, name: str, **labels: str) -> float:
    return measures.registry.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize("status", [200, 404, 503])
def test_the_status_is_that_of_the_reply(status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    measures = Measures()
    ask(measures, app)
    ask(measures, app)
    assert value(measures, "sojourn_http_requests_total", kind="poll", status=str(status)) == 2
    assert value(measures, "sojourn_http_request_duration_seconds_count", kind="poll") == 2


def test_a_request_without_a_reply_counts_as_one() -> None:
    async def gone(scope: Any, receive: Any, send: Any) -> None:
        return

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError

    measures = Measures()
    ask(measures, gone)
    with pytest.raises(RuntimeError):
        ask(measures, broken)
    assert value(measures, "sojourn_http_requests_total", kind="poll", status="none") == 2


def test_the_time_for_which_a_poll_was_held_is_not_its_latency() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        held = HELD.get()
        assert held is not None
        held.seconds += 3600.0  # as the service does
        await send({"type": "http.response.start", "status": 200, "headers": []})

    measures = Measures()
    ask(measures, app)
    assert HELD.get() is None
    assert value(measures, "sojourn_http_request_duration_seconds_count", kind="poll") == 1
    assert value(measures, "sojourn_http_request_duration_seconds_sum", kind="poll") == 0


def test_a_stream_is_counted_and_not_timed() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    measures = Measures()
    ask(measures, app, "/sojourn/v1/events")
    assert value(measures, "sojourn_http_requests_total", kind="stream", status="200") == 1
    assert value(measures, "sojourn_http_request_duration_seconds_count", kind="stream") == 0
