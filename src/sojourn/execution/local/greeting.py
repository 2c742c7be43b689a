"""The first words with a worker, and how long to wait before another one is tried."""

from __future__ import annotations

from sojourn.execution.local.process import WorkerProcess
from sojourn.worker.protocol import messages
from sojourn.worker.protocol.types import DeviceSpec, Environment

FIRST_DELAY = 0.5
LONGEST_DELAY = 60.0


class LoadRefused(Exception):
    """The worker has started and its device is not loaded; the message is for the operator."""


def delay(failures: int) -> float:
    """Seconds before the attempt that follows `failures` failures in a row: 0.5, 1, 2 … 60."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (failures - 1))


async def greet(
    process: WorkerProcess, specs: tuple[DeviceSpec, ...], host_class: str, memory: int = 0, hidden: str = ""
) -> Environment:
    """Check the worker's `Hello` and send its devices; what it runs with. Raises `LoadRefused` or
    `WorkerGone`."""
    hello, _ = await process.receive()
    if not isinstance(hello, messages.Hello):
        raise LoadRefused("the worker did not introduce itself")
    if hello.protocol != messages.PROTOCOL:
        raise LoadRefused(
            f"the worker (sojourn {hello.sojourn}) speaks protocol {hello.protocol}, this server "
            f"{messages.PROTOCOL}: install the server's release of sojourn for its interpreter"
        )
    process.send(messages.Start(specs, host_class, memory, hidden))
    return Environment(hello.python, hello.sojourn, hello.qiskit, hello.qpy)
