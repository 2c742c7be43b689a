"""What is shown of a forecast: the queue facts of a job. Pure."""

from __future__ import annotations

from collections.abc import Callable

from sojourn.core.forecast.forecast import Band, Forecast, Prediction
from sojourn.service.views import QueueFacts, Span


def facts(forecast: Forecast, job_id: str, project_name: Callable[[str], str]) -> QueueFacts | None:
    """None for a job that the forecast does not have."""
    found = forecast.of(job_id)
    return None if found is None else shown(found, forecast.at, project_name)


def shown(found: Prediction, at: float, project_name: Callable[[str], str]) -> QueueFacts:
    return QueueFacts(
        as_of=at,
        position=found.position,
        start=_span(found.start),
        end=_span(found.end),
        waits=found.waits,
        unknown=found.unknown.sentence(project_name) if found.unknown is not None else None,
    )


def _span(band: Band | None) -> Span | None:
    return None if band is None else Span(band.expected, band.earliest, band.latest)
