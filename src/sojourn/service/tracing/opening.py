"""Opens the traces that the configuration wants. Nothing of OpenTelemetry is loaded unless it wants them."""

from __future__ import annotations

from sojourn.service.errors import ServiceFailed
from sojourn.service.tracing.traces import Traces


def traces(wanted: bool) -> Traces:
    """Those of OpenTelemetry if they are `wanted`. ServiceFailed where the extra is not installed."""
    if not wanted:
        return Traces()
    try:
        from sojourn.service.tracing.otel import OtelTraces
    except ImportError as error:
        raise ServiceFailed(
            f"server.traces = true needs the extra otel, and {error.name} is not installed: "
            "pip install 'sojourn[otel]', or set it to false"
        ) from None
    return OtelTraces.from_environment()
