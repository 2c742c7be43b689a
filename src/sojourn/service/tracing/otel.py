"""Traces for OpenTelemetry: one for each submit, with the preparation, the wait, the run and the result.

A request is a span if it is a submit, fetches the result of a traced job, or came with a `traceparent` of its
own (W3C). The spans of a job are made when it has ended, of the times on record; they need no clock and hold
nothing up. Sampling, the address of the collector and the name of the service are set by the standard
variables of OpenTelemetry, OTEL_….
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import sojourn
from sojourn.core.effects import Effect, JobChanged
from sojourn.core.model import Job, JobState
from sojourn.service.tracing.traces import Header, Traces

KEPT = 4096
"""Jobs that have ended whose results belong to their traces."""
LAST_WORDS = 2000
"""Milliseconds that the end of the service waits for the collector."""
_CARRIED = (b"traceparent", b"tracestate")


class OtelTraces(Traces):
    enabled = True

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("sojourn", sojourn.__version__)
        self._propagator = TraceContextTextMapPropagator()
        self._submits: dict[str, SpanContext] = {}
        """The spans of the requests of which the jobs were made that have not ended."""
        self._ended: OrderedDict[str, SpanContext] = OrderedDict()  # the spans of jobs

    @classmethod
    def from_environment(cls) -> Self:
        """To the collector at OTEL_EXPORTER_OTLP_ENDPOINT, by OTLP over HTTP, from a thread."""
        name = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "sojourn"}
        provider = TracerProvider(resource=Resource.create({**name, "service.version": sojourn.__version__}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    @contextmanager
    def serving(
        self, method: str, path: str, headers: Iterable[Header], request_id: str
    ) -> Iterator[Callable[[int], None]]:
        carrier = {n.decode(): v.decode("latin-1") for n, v in headers if n in _CARRIED}
        job = self._ended.get(_job_of_result(path))
        submit = method == "POST" and path.endswith("/jobs")
        if not (carrier or submit or job is not None):
            yield lambda _: None
            return
        if carrier or job is None:
            parent = self._propagator.extract(carrier)
            links = [Link(job)] if job is not None else []
        else:
            parent, links = _below(job), []
        span = self._tracer.start_span(
            f"{method} {'submit' if submit else 'result' if job is not None else 'request'}",
            parent,
            SpanKind.SERVER,
            {"http.request.method": method, "url.path": path[:200], "sojourn.request": request_id},
            links,
        )

        def replied(status: int) -> None:
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))

        token = context.attach(trace.set_span_in_context(span, parent))
        try:
            yield replied
        finally:
            context.detach(token)
            span.end()

    def begun(self, job_id: str) -> None:
        served = trace.get_current_span().get_span_context()
        if served.is_valid:
            self._submits[job_id] = served

    def refused(self, job_id: str) -> None:
        self._submits.pop(job_id, None)

    def committed(self, device: str, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if (
                isinstance(effect, JobChanged)
                and effect.job.state.final
                and effect.before is not effect.job.state
            ):
                submit = self._submits.pop(effect.job.id, None)
                if submit is not None:
                    self._ended[effect.job.id] = self._told(device, effect.job, submit)
                    if len(self._ended) > KEPT:
                        self._ended.popitem(last=False)

    def _told(self, device: str, job: Job, submit: SpanContext) -> SpanContext:
        """The spans of a job that has ended; the context of the one around the others."""
        end = job.ended_at if job.ended_at is not None else job.accepted_at
        what = {"sojourn.job": job.id, "sojourn.device": device, "sojourn.outcome": str(job.state)}
        if job.session_id is not None:
            what["sojourn.session"] = job.session_id
        whole = self._tracer.start_span(
            f"job {job.program}", _below(submit), attributes=what, start_time=_ns(job.accepted_at)
        )
        if job.state is JobState.FAILED:
            whole.set_status(Status(StatusCode.ERROR, job.reason))
        within = trace.set_span_in_context(whole)
        steps = (("prepare", job.accepted_at), ("queue", job.queued_at), ("run", job.started_at))
        begun = [(name, at) for name, at in steps if at is not None]
        for (name, at), (_, until) in zip(begun, [*begun[1:], ("", end)], strict=True):
            step = self._tracer.start_span(name, within, attributes=what, start_time=_ns(at))
            step.end(_ns(max(at, until)))
        whole.end(_ns(max(job.accepted_at, end)))
        return whole.get_span_context()

    def close(self) -> None:
        self._provider.force_flush(LAST_WORDS)
        self._provider.shutdown()


def _below(parent: SpanContext) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(parent))


def _ns(at: float) -> int:
    return int(at * 1e9)


def _job_of_result(path: str) -> str:
    """The id in the path of a result, "" in any other."""
    parts = path.rsplit("/", 3)
    return parts[2] if len(parts) == 4 and parts[1] == "jobs" and parts[3] == "results" else ""
