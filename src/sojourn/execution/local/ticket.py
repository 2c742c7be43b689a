"""One call of a worker: in which stage it is, and how it is stopped there."""

from __future__ import annotations

import asyncio

from sojourn.execution.local.process import WorkerProcess
from sojourn.worker.protocol import messages


class Ticket:
    """One call of `Supervisor.run`, so that `kill` finds it in whatever stage it is."""

    __slots__ = ("deadline", "number", "process", "stopped")

    def __init__(self) -> None:
        self.stopped = False
        self.process: WorkerProcess | None = None
        self.number: int | None = None  # once the worker was given the job
        self.deadline: asyncio.TimerHandle | None = None  # until when a run may stop by itself

    def stop(self, seconds: float) -> None:
        """End the run: one that can stop by itself has so many seconds, any other ends with its process."""
        process = self.process
        if process is None:
            return
        if self.number is None or not seconds:
            process.kill()
            return
        process.send(messages.Cancel(self.number))
        self.deadline = asyncio.get_running_loop().call_later(seconds, process.kill)

    def over(self) -> None:
        """The run has ended."""
        self.process = self.number = None
        if self.deadline is not None:
            self.deadline.cancel()
