"""Whether a worker or fork server still responds: what it has to answer, and what the system says of it.

Checks one process; does not kill it. An idle process must answer. One that computes cannot, as native code
may hold the interpreter for hours, so its silence proves nothing and only a stopped process (SIGSTOP) is
taken for hung.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

from sojourn.worker.protocol import messages
from sojourn.worker.protocol.frames import COUNT

HUNG_LIMIT = 10.0
"""Seconds that a process may leave unanswered what it must answer at once."""

STOPPED_LIMIT = 2.0
"""Seconds that a process may be stopped, if `HUNG_LIMIT` is not shorter. Nothing else can be meant by it than
to hold it up, so there is less to wait for; a debugger's stop is another state and does not count."""

_LONGEST_INTERVAL = 0.5
_TICKS = os.sysconf("SC_CLK_TCK")

_ANSWERS: dict[type[Any], tuple[type[Any], ...]] = {
    messages.Load: (messages.Loaded, messages.LoadFailed),
    messages.Prepare: (messages.PreparedReply, messages.RefusedReply, messages.UnavailableReply),
    messages.Run: (messages.CompletedReply, messages.FailedReply, messages.UnavailableReply),
    messages.AskHealth: (messages.HealthReply,),
}
"""What can take long, and what ends it."""


def _stat(pid: int) -> list[str] | None:
    """The fields of the process from its state on; None when there is none, or no /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def cpu_seconds(pid: int | None) -> float | None:
    """The processor time that the process has used; None when there is none, or no /proc."""
    fields = _stat(pid) if pid is not None else None
    return _cpu(fields) if fields is not None else None


def _cpu(fields: list[str]) -> float:
    return (int(fields[11]) + int(fields[12])) / _TICKS


def check_interval(limit: float) -> float:
    """Seconds between two checks of a process that may be silent for `limit` seconds."""
    return min(_LONGEST_INTERVAL, limit / 4)


class Silence:
    """How long one process has sent nothing.

    Time is counted in checks and not by a clock: when the server itself stood still (a stopped container, a
    machine that slept), answers wait unread and nobody has hung.
    """

    __slots__ = ("_computed", "_interval", "_silent", "_stopped")

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._computed = 0.0
        self._silent = 0
        self._stopped = 0

    @property
    def seconds(self) -> float:
        """Seconds since it sent something."""
        return self._silent * self._interval

    def reset(self) -> None:
        """The process has sent something."""
        self._silent = 0

    def check(self, pid: int | None, *, owes: bool, limit: float) -> str | None:
        """One check; why the process is taken for hung, once it is. `owes`: whether it must answer."""
        fields = _stat(pid) if pid is not None else None
        state, computed = (fields[0], _cpu(fields)) if fields is not None else ("", 0.0)
        self._stopped = self._stopped + 1 if state == "T" else 0
        if not (
            state == "R" and computed == self._computed
        ):  # it could run, and the machine gives it no time
            self._silent += 1
        self._computed = computed
        if self._stopped * self._interval > min(STOPPED_LIMIT, limit):
            return f"was stopped for {min(STOPPED_LIMIT, limit):g} s"
        if owes and self.seconds > limit:
            return f"did not answer for {limit:g} s"
        return None


class ReadCount:
    """How many frames a worker has read, in a file in memory in which it counts them (see `Channel`)."""

    def __init__(self) -> None:
        """Raises OSError."""
        if hasattr(os, "memfd_create"):
            self._descriptor = os.memfd_create("sojourn-read")
        else:
            with tempfile.TemporaryFile() as file:
                self._descriptor = os.dup(file.fileno())
        self._last: int | None = None

    def fileno(self) -> int:
        return self._descriptor

    @property
    def frames(self) -> int:
        """Also after the worker's end."""
        if self._last is not None:
            return self._last
        written = os.pread(self._descriptor, COUNT.size, 0)
        return COUNT.unpack(written)[0] if len(written) == COUNT.size else 0

    def close(self) -> None:
        if self._last is None:
            self._last = self.frames
            os.close(self._descriptor)


class Liveness:
    """Follows the messages of one worker: what it was asked, whether it has read that, what it owes."""

    def __init__(self, limit: float, count: ReadCount) -> None:
        self._limit = limit
        self._count = count
        self._silence = Silence(check_interval(limit))
        self._sent = 0
        self._asked: deque[tuple[type[Any], int]] = deque()  # each with its number among the frames sent
        self._greeted = False
        self._pinged = False

    @property
    def computing(self) -> bool:
        """Whether it is at work on something that it has read."""
        return bool(self._asked) and self._asked[0][1] <= self._count.frames

    @property
    def owes(self) -> bool:
        """Whether it must send something soon."""
        return self._greeted and (self._pinged or bool(self._asked)) and not self.computing

    def sent(self, message: messages.FromServer) -> None:
        self._sent += 1
        if isinstance(message, messages.Ping):
            self._pinged = True
            self._silence.reset()
        elif type(message) in _ANSWERS:
            if not self.owes:  # it was idle, perhaps for long
                self._silence.reset()
            self._asked.append((type(message), self._sent))

    def received(self, message: messages.FromWorker) -> bool:
        """Note a message; whether it was only a sign of life."""
        self._silence.reset()
        match message:
            case messages.Pong():
                self._pinged = False
                return True
            case messages.Hello():
                self._greeted = True
            case _:
                if self._asked and isinstance(message, _ANSWERS[self._asked[0][0]]):
                    self._asked.popleft()
        return False

    def check(self, pid: int | None) -> str | None:
        """One check, see `Silence.check`."""
        return self._silence.check(pid, owes=self.owes, limit=self._limit)

    @property
    def wants_ping(self) -> bool:
        """Whether it is idle and has sent nothing for a while."""
        idle = self._greeted and not self._asked and not self._pinged
        return idle and self._silence.seconds >= self._limit / 2
