"""One worker process as the server sees it: its frames, its output, and how it ended.

Owns the server's end of the worker's socket; may not know what the worker is for. Who started the process
(`spawn`) tells it the pid and the exit status, and gives it a way to kill.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Callable
from typing import cast

import structlog

from sojourn.execution.local.liveness import HUNG_LIMIT, Liveness, ReadCount
from sojourn.execution.local.output import Output
from sojourn.worker.protocol import messages
from sojourn.worker.protocol.frames import Assembler, FrameError, pieces

_MOST_UNREAD = 64
_GRACE = 2.0  # seconds between the two signs of an end (closed socket, exit status) before it is forced
_UNKILLABLE = 10.0
"""Seconds after which a killed process that the system does not end (it waits for a dead file server, say)
is left to itself. It runs nothing of its own any more, whenever it ends."""

log = structlog.get_logger("sojourn.execution")


class WorkerGone(Exception):
    """The process has ended; `how` is for example ``SIGSEGV`` or ``exit 3``."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


def ending(returncode: int) -> str:
    """A return code as `subprocess` counts them in words: ``SIGKILL``, ``exit 3``."""
    if returncode >= 0:
        return f"exit {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


class WorkerProcess(asyncio.Protocol):
    """A worker's process. `send` and `receive` messages; `kill` it; wait for its end with `gone`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        output: Output,
        count: ReadCount,
        hung_limit: float = HUNG_LIMIT,
    ) -> None:
        self.name = name
        self.pid: int | None = None
        self.output = output
        self.gone: asyncio.Future[str] = loop.create_future()
        """Done once all messages are in and the process has been reaped: how it ended."""
        self.killed = False
        self.lost: str | None = None
        """Why its end is a fault of the system, and of nothing that it was given to do; else None."""
        self.read_count = count
        self._liveness = Liveness(hung_limit, count)
        self._loop = loop
        self._kill: Callable[[], None] | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._assembler = Assembler()
        self._unread: deque[tuple[messages.FromWorker, bytes]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._how: str | None = None
        self._fault: str | None = None
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._unkillable: asyncio.TimerHandle | None = None

    @property
    def computing(self) -> bool:
        """Whether it has read what it was told to do last, and has not answered yet."""
        return self._liveness.computing

    @property
    def alive(self) -> bool:
        """Whether it can be asked anything."""
        return not (self._closed or self.killed or self._how is not None)

    def send(self, message: messages.FromServer, payload: bytes = b"") -> None:
        """Queue one message; nothing happens when the process is gone. Raises `FrameError` when too large."""
        parts = pieces(messages.encode(message), payload)
        if self._transport is not None and self.alive:
            for part in parts:
                self._transport.write(part)
            self._liveness.sent(message)

    async def receive(self) -> tuple[messages.FromWorker, bytes]:
        """The next message and its payload, in order. One caller at a time. Raises `WorkerGone`."""
        while not self._unread:
            if self.gone.done():
                raise WorkerGone(self.gone.result())
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._unread.popleft()

    def kill(self) -> None:
        """SIGKILL. Safe to repeat, and after the end."""
        if self._how is None and not self.killed:
            self.killed = True
            if self._kill is not None:
                self._kill_now(self._kill)

    def check(self) -> None:
        """Check whether it responds, kill it when it has hung. Called every `check_interval` of the limit."""
        if not self.alive:
            return
        hung = self._liveness.check(self.pid)
        if hung is not None:
            log.error("helper hung", worker=self.name, pid=self.pid, why=hung, computing=self.computing)
            self.lost = hung
            self.kill()
        elif self._liveness.wants_ping:
            self.send(messages.Ping())

    def _kill_now(self, kill: Callable[[], None]) -> None:
        kill()
        if self._how is None and self._unkillable is None:
            self._unkillable = self._loop.call_later(_UNKILLABLE, self._leave)

    def _leave(self) -> None:
        log.error("helper does not end", worker=self.name, pid=self.pid, seconds=_UNKILLABLE)
        if self._transport is not None:
            self._transport.abort()
        self.ended(f"SIGKILL, and has not ended within {_UNKILLABLE:g} s")

    # What the launcher says.

    def started(self, pid: int, kill: Callable[[], None]) -> None:
        self.pid, self._kill = pid, kill
        if self.killed:  # asked for before there was a process
            self._kill_now(kill)

    def ended(self, how: str, lost: str | None = None) -> None:
        """The process has been reaped, or never came to be. `lost`: see there."""
        if self._how is None:
            self._how = how
            self.lost = self.lost or lost
            if self._unkillable is not None:
                self._unkillable.cancel()
            self._conclude()

    def never_was(self) -> None:
        """The launch was given up: let go of the socket and the pipe at once."""
        if self._transport is not None:
            self._transport.abort()
        self.output.close()
        self.ended("not started")

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._assembler.feed(data):
                message = messages.from_worker(frame.header)
                if not self._liveness.received(message):
                    self._unread.append((message, frame.payload))
            if len(self._unread) > _MOST_UNREAD:
                raise FrameError(f"{len(self._unread)} messages that nobody asked for")
        except (FrameError, messages.ProtocolError) as error:
            self._fault = f"broke the protocol: {error}"
            self.kill()
            if self._transport is not None:
                self._transport.abort()
        if self._unread:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._closed = True
        self._conclude()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _conclude(self) -> None:
        """The end is told once both signs are there, so that no message is lost and no process is left."""
        if self.gone.done():
            return
        if self._closed or self._transport is None:
            if self._how is None:  # it closed its socket and lives
                self._timer = self._timer or self._loop.call_later(_GRACE, self.kill)
                return
            if self._timer is not None:
                self._timer.cancel()
            self.output.close()
            self.read_count.close()
            self.gone.set_result(self.lost or self._fault or self._how)
            self._wake()
        elif self._timer is None:  # a process that it started may hold the socket open
            self._timer = self._loop.call_later(_GRACE, self._transport.abort)
