"""One trace from the submit to the result, at a collector of our own; and nothing of it without the extra."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import httpx
import pytest

from sojourn.embedded import Embedded
from tests.harness.programs import job_body

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

DEVICES = [{"name": "quick", "driver": "mock", "options": {"seconds": 0.0, "qubits": 5}}]
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """Takes spans by OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.url = ""

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        self.spans += [
            span for of in request.resource_spans for scope in of.scope_spans for span in scope.spans
        ]

    def of(self, trace: str) -> dict[str, Any]:
        return {span.name: span for span in self.spans if span.trace_id.hex() == trace}


@contextmanager
def collecting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()


def run_a_job(server: Embedded, **headers: str) -> str:
    """With `headers` at the submit only: a client that polls and fetches need not know of traces."""
    key = {"authorization": f"Bearer {server.local_key}"}
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=key, timeout=60) as http:
        job = str(http.post("/jobs", content=job_body("quick"), headers=headers).json()["id"])
        while http.get(f"/jobs/{job}").json()["state"]["status"] != "Completed":
            pass
        assert http.get(f"/jobs/{job}/results").status_code == 200
    return job


def test_a_submit_its_job_and_its_result_are_one_trace_the_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with collecting(monkeypatch) as collector:
        with Embedded(devices=DEVICES, server={"traces": True}, patience=170) as server:
            job = run_a_job(server, traceparent=f"00-{TRACE}-{PARENT}-01")
        found = collector.of(TRACE)  # the end of the server has sent the rest
    assert set(found) == {"POST submit", "job sampler", "prepare", "queue", "run", "GET result"}
    submit, whole = found["POST submit"], found["job sampler"]
    assert submit.parent_span_id.hex() == PARENT
    assert whole.parent_span_id == submit.span_id
    steps = [found[name] for name in ("prepare", "queue", "run")]
    assert {step.parent_span_id for step in steps} == {whole.span_id}
    assert found["GET result"].parent_span_id == whole.span_id
    assert steps[0].start_time_unix_nano == whole.start_time_unix_nano
    for before, after in pairwise(steps):
        assert before.end_time_unix_nano == after.start_time_unix_nano
    assert steps[-1].end_time_unix_nano == whole.end_time_unix_nano
    told = {each.key: each.value.string_value for each in whole.attributes}
    assert told == {"sojourn.job": job, "sojourn.device": "quick", "sojourn.outcome": "completed"}


def test_a_client_that_does_not_want_to_be_sampled_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(monkeypatch) as collector:
        with Embedded(devices=DEVICES, server={"traces": True}, patience=170) as server:
            run_a_job(server, traceparent=f"00-{TRACE}-{PARENT}-00")
            run_a_job(server, traceparent="00-nonsense")
        assert collector.of(TRACE) == {}
        names = sorted(span.name for span in collector.spans)
    assert names == ["GET result", "POST submit", "job sampler", "prepare", "queue", "run"]


def test_a_collector_that_is_not_there_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with Embedded(devices=DEVICES, server={"traces": True}, patience=170) as server:
        run_a_job(server)


def test_without_the_setting_nothing_of_the_extra_is_loaded() -> None:
    """FastAPI loads the interface of OpenTelemetry by itself."""
    program = (
        "import sys\n"
        "import sojourn.api.app, sojourn.api.server, sojourn.service.service\n"
        "extra = ('opentelemetry.sdk', 'opentelemetry.exporter')\n"
        "print([name for name in sys.modules if name.startswith(extra)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_setting_without_the_extra_says_how_to_install_it() -> None:
    program = (
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        "from sojourn.service.errors import ServiceFailed\n"
        "from sojourn.service.tracing.opening import traces\n"
        "try:\n    traces(True)\n"
        "except ServiceFailed as refusal:\n    print(refusal)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'sojourn[otel]'" in done.stdout
