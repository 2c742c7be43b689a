"""An engine of real worker processes with the test hosts, on the event loop that the server uses."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sojourn.execution.local.engine import LocalEngine
from sojourn.worker.protocol.types import DeviceSpec

HERE = Path(__file__).parent
ECHO = "hosts:EchoHost"


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return ("asyncio", {"use_uvloop": True})


@pytest.fixture(scope="package", autouse=True)
def _machines_are_importable_in_workers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        path = os.environ.get("PYTHONPATH")
        patch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{path}" if path else str(HERE))
        yield


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[LocalEngine]:
    """Two devices, `a` and `b`, and one preparer."""
    engine = LocalEngine([DeviceSpec("a", "echo"), DeviceSpec("b", "echo")], host_class=ECHO)
    await engine.start()
    await engine.description("a")
    await engine.description("b")
    yield engine
    await engine.stop()
