"""What the service tells of its work to whoever traces it; here nobody does. `otel` is for OpenTelemetry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from sojourn.core.effects import Effect

Header = tuple[bytes, bytes]


class Traces:
    """Traces nothing. Every call is on the event loop and takes microseconds."""

    enabled = False

    @contextmanager
    def serving(
        self,
        method: str,  # noqa: ARG002
        path: str,  # noqa: ARG002
        headers: Iterable[Header],  # noqa: ARG002
        request_id: str,  # noqa: ARG002
    ) -> Iterator[Callable[[int], None]]:
        """While a request is served. What it gives is called with the status of the reply."""
        yield lambda _: None

    def begun(self, job_id: str) -> None:
        """The request that is served now may become this job."""

    def refused(self, job_id: str) -> None:
        """It has not."""

    def committed(self, device: str, effects: Sequence[Effect]) -> None:
        """The facts of a step of the device's lane that was just committed."""

    def close(self) -> None:
        """Hand over what is not sent yet. Blocks for seconds at most."""
