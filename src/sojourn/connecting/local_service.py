"""The client that owns its server. Importing this imports Qiskit's client."""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import Any, Self

from qiskit_ibm_runtime import QiskitRuntimeService

from sojourn.embedded import Embedded


class LocalService(QiskitRuntimeService):  # type: ignore[misc]
    """An ordinary `QiskitRuntimeService` whose server runs as long as it does.

    Backends, sessions and jobs keep their service, and so the server, alive. `server` is the `Embedded`, for
    more users (`service.server.user(…)`) and for the log.
    """

    def __init__(self, server: Embedded, **arguments: Any) -> None:
        self.server = server
        self._end = weakref.finalize(self, server.stop)
        super().__init__(**arguments)

    def close(self) -> None:
        """End the server; what is asked of this client from then on fails. Does nothing the second time."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
