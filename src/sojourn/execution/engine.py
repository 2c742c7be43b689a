"""What the service needs of whatever runs its jobs, and what it is told of the workers.

`local` is the engine for processes of this machine; the proofs have a simulated one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from sojourn.worker.protocol.types import (
    Completed,
    Description,
    DeviceSpec,
    Environment,
    Failed,
    Prepared,
)

JOB: ContextVar[str] = ContextVar("JOB", default="")
"""The id of the job for which the engine is called, for the log. It is read when a call begins, and nowhere
else: tasks that outlive the call inherit it."""


class WorkerPhase(StrEnum):
    """Where a device's worker is in its life."""

    ASLEEP = "asleep"  # lazy, not started yet
    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    UNHEALTHY = "unhealthy"  # its driver says that the device can take no job now; asked again and again
    FAILED = "failed"  # cannot start; `reason` says why; retried with back-off


@dataclass(frozen=True, slots=True)
class WorkerState:
    """`reruns`: whether a job whose run was lost may be run again, as the driver of the device says (R55).
    `environment` is that of the last worker that has said what it runs with, `renewals` counts how often a
    worker has said that its device is another now."""

    phase: WorkerPhase
    reason: str | None = None
    pid: int | None = None
    reruns: bool = True
    environment: Environment | None = field(default=None, compare=False)
    renewals: int = 0


class DeviceUnavailable(Exception):
    """The device has no worker that could answer; the message says why.

    `touched`: a worker was given the job, so that the device may have run it, or a part."""

    def __init__(self, message: str, *, touched: bool = False) -> None:
        super().__init__(message)
        self.touched = touched


@dataclass(frozen=True, slots=True)
class UserPreparations:
    """One user's preparations in one interpreter. `budget` is what the user has left of the seconds that are
    served in turn, below 0 for one who comes last."""

    user: str
    waiting: int
    in_work: int
    budget: float


@dataclass(frozen=True, slots=True)
class Pace:
    """`small` seconds, and `per_mb` for each megabyte (10**6 bytes) of its inputs, is what the preparation of
    a job may take. A user may use `rate` seconds of preparation a second in the long run and `burst` at once,
    without a short time of each that is free; beyond that the user comes after all others."""

    small: float = 10.0
    per_mb: float = 10.0
    rate: float = 0.2
    burst: float = 10.0


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One attempt of one job. `params` is the client's own JSON text, untouched. `at` is the service's time
    at its start; None for that of the machine.

    `progress` is called with what the device says of the run: the part that is done, 0 to 1, and a few
    words. Of a user's job, `job` is its id, the same for all attempts, and `session` the one that it is in.
    """

    run_id: str
    program_id: str
    params: bytes
    progress: Callable[[float, str], None] | None = None
    job: str = ""
    session: str | None = None
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Crashed:
    """The worker died under the job, for example of ``SIGSEGV``; see `Lost` for other causes of its end."""

    how: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The run ended for a fault of the system that nothing in the job can cause, for example a worker that
    had been stopped. `how` says what, as of the worker process: ``was stopped for 2 s``."""

    how: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The run was killed because somebody asked for it."""


RunOutcome = Completed | Failed | Crashed | Lost | Stopped


class Engine(Protocol):
    """Runs jobs on devices, one at a time on each. All methods are called on one event loop.

    A device that is not configured is a KeyError everywhere.
    """

    async def start(self) -> None:
        """Start the workers of all devices that are not lazy, in the background."""

    async def stop(self) -> None:
        """End every worker. Runs and preparations in flight raise `DeviceUnavailable`."""

    def state(self, device: str) -> WorkerState:
        """Where the device's worker is in its life."""
        ...

    async def description(self, device: str) -> Description:
        """What the device says of itself; waits for its first worker. Raises `DeviceUnavailable`."""
        ...

    def calibrate(self, device: str, properties: bytes) -> None:
        """From the next run on the calibration with these properties (JSON text) holds, also for new workers.

        Empty `properties`: what the driver finds by itself.
        """

    async def prepare(
        self,
        device: str,
        program_id: str,
        params: bytes,
        user: str = "",
        begun: Callable[[], None] | None = None,
    ) -> Prepared:
        """Decode and check a job, and estimate it, in turns between the users; `begun` is called when that
        begins. Raises `JobRefused`, `DeviceUnavailable`. A caller that is cancelled holds nobody up."""
        ...

    def preparers(self) -> dict[str, Any]:
        """How many preparers are `up` and `wanted`; whether they are `missing`, so that some device's jobs
        cannot be prepared; and the `reason`."""
        ...

    def preparations(self) -> Sequence[UserPreparations]:
        """Who waits for preparations and who is served."""
        ...

    async def run(self, device: str, request: RunRequest) -> RunOutcome:
        """Run one attempt; calls for the same device go one after the other, in order.

        Raises `DeviceUnavailable` if no worker can be had. A worker that dies is an outcome (`Crashed`,
        `Lost`).
        """
        ...

    def kill(self, device: str, run_id: str) -> None:
        """Stop a run: its `run` returns `Stopped` once it has ended. Unknown `run_id`: no effect."""

    def end_session(self, device: str, session: str) -> None:
        """The session does not have the device any more: what is held for it behind the device can go."""


class EngineFactory(Protocol):
    """Makes the engine of a service. `on_state` is called on the loop at every change, before anybody who
    waits for it continues; the other arguments are as in `LocalEngine`."""

    def __call__(
        self,
        specs: Sequence[DeviceSpec],
        *,
        on_state: Callable[[str, WorkerState], None],
        preparers: int,
        prepare_limit: float,
        pace: Pace,
        hung_limit: float,
        hidden: str,
    ) -> Engine: ...
