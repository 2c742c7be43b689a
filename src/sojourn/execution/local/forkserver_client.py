"""The server's side of one fork server: requests forks and kills, notes the ends, checks whether it has hung.

Does not know what the workers do. A worker is killed by its descriptor (pidfd), which cannot mean another
process, so that this needs no fork server; and by the fork server, which reaches the worker's whole group,
and as its parent knows that a pid still means the same process.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
from contextlib import ExitStack, suppress

import structlog

from sojourn.execution.local.liveness import HUNG_LIMIT, Silence, check_interval
from sojourn.execution.local.output import Output
from sojourn.execution.local.process import WorkerProcess, ending
from sojourn.execution.local.spawn import kill_group, module, on_end, start
from sojourn.worker.protocol import messages

START_LIMIT = 60.0
"""Seconds that a fork server's first imports may take."""

IMPORT_LIMIT = 30.0
"""Seconds that the import of a driver may take in a fork server. A longer one is left to the workers."""

_MAX_DATAGRAM = 1 << 16
_STOP_WITHIN = 5.0  # seconds for an orderly end
_REPORT_WITHIN = 1.0  # seconds that a fork server may take to report an end that the kernel has reported

log = structlog.get_logger("sojourn.execution")


class ForkserverClient:
    """A running fork server. Raises OSError when its interpreter cannot be started."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        python: str,
        hung_limit: float = HUNG_LIMIT,
        import_limit: float = IMPORT_LIMIT,
    ) -> None:
        self._loop = loop
        self._python = python
        self._tokens = itertools.count(1)
        self._children: dict[int, WorkerProcess] = {}
        self._descriptors: dict[int, int] = {}  # token -> pidfd of a child that lives
        self._ending: set[int] = set()  # tokens of children whose end the kernel has told
        self._born = loop.time()
        self._died_at: float | None = None
        self._hung_limit = hung_limit
        self._import_limit = import_limit
        self._silence = Silence(check_interval(hung_limit))
        self._pinged = False
        self.importing: tuple[str, ...] = ()
        """The drivers whose modules it imports now."""
        self.retired: str | None = None
        """Why it gets no orders any more: it has hung. Its workers go on."""
        self.up = False
        self.how: str | None = None
        self.ended: asyncio.Future[str] = loop.create_future()
        with ExitStack() as theirs, ExitStack() as ours:
            self._control, their_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.callback(self._control.close)
            theirs.callback(their_end.close)
            self._control.setblocking(False)
            read, write = os.pipe()
            ours.callback(os.close, read)
            theirs.callback(os.close, write)
            fd = their_end.fileno()
            command = module(python, "sojourn.worker.forkserver", "--fd", str(fd))
            self._popen = start(command, keep=(fd,), output=write)
            ours.pop_all()
        self.pid = self._popen.pid
        self._output = Output(loop, "fork server", read)
        loop.add_reader(self._control.fileno(), self._on_readable)
        on_end(loop, self._popen, self._ended)

    @property
    def alive(self) -> bool:
        return self.how is None and self._control.fileno() >= 0

    @property
    def age(self) -> float:
        """Seconds that it has lived."""
        return (self._loop.time() if self._died_at is None else self._died_at) - self._born

    def fork(self, process: WorkerProcess, sock: int, output: int, drivers: tuple[str, ...]) -> None:
        """Ask for a worker of `process` on the descriptors `sock` and `output`. Raises OSError.

        The request waits in the socket while the fork server is importing.
        """
        token = next(self._tokens)
        order = messages.encode(messages.Fork(token, process.name, drivers))
        socket.send_fds(self._control, [order], [sock, output, process.read_count.fileno()])
        if not self._must_answer:
            self._silence.reset()  # it was idle
        self._children[token] = process

    async def stop(self) -> None:
        """It and its children are gone afterwards."""
        self._hang_up()  # the end of the connection tells it to leave
        if self.retired or not self.up:  # it would first finish its imports, and has no child yet
            kill_group(self._popen)
        done, _ = await asyncio.wait([self.ended], timeout=_STOP_WITHIN)
        if not done:
            kill_group(self._popen)
            await self.ended

    # whether it lives

    @property
    def _must_answer(self) -> bool:
        return self._pinged or not self.up or any(child.pid is None for child in self._children.values())

    def check(self) -> str | None:
        """Check whether it responds; why it is taken for hung, once it is."""
        if self.retired is not None or not self.alive:
            return None
        limit = self._hung_limit
        if not self.up:
            limit = max(limit, START_LIMIT)
        elif self.importing:
            limit = max(limit, self._import_limit)
        hung = self._silence.check(self.pid, owes=self._must_answer, limit=limit)
        if hung is None and self.up and not self._must_answer and self._silence.seconds >= limit / 2:
            with suppress(OSError):  # a full socket: it owes an answer already
                self._control.send(messages.encode(messages.Ping()))
            self._pinged = True
            self._silence.reset()
        return hung

    def retire(self, why: str) -> None:
        """It has hung: give it no more orders. Workers that it has made go on, the others never come to be.
        It is killed with the last of them, or at once if there is one that can only be reached through it."""
        self.retired = why
        log.error(
            "fork server hung", python=self._python, pid=self.pid, why=why, importing=list(self.importing)
        )
        for token, process in list(self._children.items()):
            if process.pid is None:
                del self._children[token]
                process.ended(f"its fork server {why}")
            elif token not in self._descriptors and token not in self._ending:
                kill_group(self._popen)
        self._leave_if_alone()

    def _leave_if_alone(self) -> None:
        if self.retired is not None and not self._children:
            kill_group(self._popen)

    # its children

    def _kill(self, token: int) -> None:
        descriptor = self._descriptors.get(token)
        if descriptor is not None:
            pid = self._children[token].pid
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                if (
                    self.retired is not None and pid is not None
                ):  # who is hung does not reap: the pid is still its
                    os.killpg(pid, signal.SIGKILL)
        self._order_kill(token)

    def _order_kill(self, token: int) -> None:
        if token in self._children and self.alive and self.retired is None:
            try:
                self._control.send(messages.encode(messages.Kill(token)))
            except BlockingIOError:
                self._loop.call_later(0.01, self._order_kill, token)
            except OSError:
                pass  # it is dying, and its children with it

    def _forked(self, token: int, pid: int, descriptor: int | None) -> None:
        process = self._children.get(token)
        if process is None:  # given up meanwhile: its socket is closed, so it ends by itself
            if descriptor is not None:
                os.close(descriptor)
            return
        if descriptor is not None:
            self._descriptors[token] = descriptor
            self._loop.add_reader(descriptor, self._child_ended, token)
        process.started(pid, lambda: self._kill(token))

    def _child_ended(self, token: int) -> None:
        """The kernel reports the end; how it ended is known to its parent, if that is alive."""
        self._release(token)
        self._ending.add(token)
        within = _REPORT_WITHIN if self.retired is None else 0.0
        self._loop.call_later(within, self._died, token, "its end was not reported")

    def _died(self, token: int, how: str) -> None:
        self._release(token)
        self._ending.discard(token)
        process = self._children.pop(token, None)
        if process is not None:
            process.ended(how)
        self._leave_if_alone()

    def _release(self, token: int) -> None:
        descriptor = self._descriptors.pop(token, None)
        if descriptor is not None:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)

    # what it says

    def _hang_up(self) -> None:
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()

    def _receive(self) -> tuple[bytes, int | None]:
        data, descriptors, _, _ = socket.recv_fds(self._control, _MAX_DATAGRAM, 1)
        if not descriptors:
            return data, None
        os.set_inheritable(descriptors[0], False)
        return data, descriptors[0]

    def _on_readable(self) -> None:
        for _ in range(64):
            try:
                data, descriptor = self._receive()
            except BlockingIOError:
                return
            except OSError:
                data, descriptor = b"", None
            if not data:
                self._hang_up()
                self._loop.call_later(_STOP_WITHIN, kill_group, self._popen)
                return
            try:
                self._on_message(messages.from_forkserver(data), descriptor)
            except messages.ProtocolError as error:
                if descriptor is not None:
                    os.close(descriptor)
                log.error("fork server broke the protocol", python=self._python, error=str(error))
                kill_group(self._popen)
                return

    def _on_message(self, message: messages.FromForkserver, descriptor: int | None) -> None:
        self._silence.reset()
        match message:
            case messages.Up():
                self.up = True
                log.info(
                    "fork server up", python=self._python, pid=self.pid, seconds=round(message.seconds, 3)
                )
            case messages.Pong():
                self._pinged = False
            case messages.Importing():
                self.importing = message.drivers
            case messages.Forked():
                self.importing = ()
                self._forked(message.token, message.pid, descriptor)
            case messages.ForkFailed():
                self.importing = ()
                self._died(message.token, message.reason)
            case messages.Died():
                self._died(message.token, ending(message.status))

    def _ended(self, how: str) -> None:
        while self._control.fileno() >= 0:  # its last reports
            try:
                data, descriptor = self._receive()
                if not data:
                    break
                self._on_message(messages.from_forkserver(data), descriptor)
            except (OSError, messages.ProtocolError):
                break
        self._hang_up()
        words = self._output.last_words
        self._output.close()
        self.how = f"{how}: {words}" if words else how
        self._died_at = self._loop.time()
        for token in list(self._descriptors):
            self._release(token)
        children, self._children = self._children, {}
        for process in children.values():
            # The kernel has killed those that ran; the others never came to be.
            gone = "SIGKILL" if process.pid is not None else f"the fork server ended ({self.how})"
            process.ended(gone, f"ended with its fork server ({how})" if process.pid is not None else None)
        if not self.ended.done():
            self.ended.set_result(how)
