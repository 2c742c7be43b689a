"""The server's side of one zygote: asks it for forks and kills, hears of pids and deaths.

Owns the control socket and the zygote's process; may not know what the workers do. Only the zygote kills
its children, because only their parent knows that a pid still means the same process.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from contextlib import ExitStack

import structlog

from sojourn.execution import protocol
from sojourn.execution.process import WorkerProcess, ending
from sojourn.execution.process_output import Output
from sojourn.execution.spawn_direct import kill_group, module, on_end, start

_MAX_DATAGRAM = 1 << 16
_STOP_WITHIN = 5.0  # seconds for an orderly end

log = structlog.get_logger("sojourn.execution")


class ZygoteClient:
    """A running zygote. Raises OSError when its interpreter cannot be started."""

    def __init__(self, loop: asyncio.AbstractEventLoop, python: str) -> None:
        self._loop = loop
        self._python = python
        self._tokens = itertools.count(1)
        self._children: dict[int, WorkerProcess] = {}
        self._born = loop.time()
        self.up = False
        self.how: str | None = None
        self.lived = 0.0
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
            command = module(python, "sojourn.execution.zygote", "--fd", str(fd))
            self._popen = start(command, keep=(fd,), output=write)
            ours.pop_all()
        self.pid = self._popen.pid
        self._output = Output(loop, "zygote", read)
        loop.add_reader(self._control.fileno(), self._listen)
        on_end(loop, self._popen, self._ended)

    @property
    def alive(self) -> bool:
        return self.how is None and self._control.fileno() >= 0

    def fork(self, process: WorkerProcess, sock: int, output: int, drivers: tuple[str, ...]) -> None:
        """Ask for a worker on the descriptors `sock` and `output`. Raises OSError.

        The request waits in the socket while the zygote is importing.
        """
        token = next(self._tokens)
        order = protocol.encode(protocol.Fork(token, process.name, drivers))
        socket.send_fds(self._control, [order], [sock, output])
        self._children[token] = process

    async def stop(self) -> None:
        """It and its children are gone afterwards."""
        self._hang_up()  # the end of the connection tells it to leave
        if not self.up:  # it would first finish its imports, and has no child yet
            kill_group(self._popen)
        done, _ = await asyncio.wait([self.ended], timeout=_STOP_WITHIN)
        if not done:
            kill_group(self._popen)
            await self.ended

    def _kill(self, token: int) -> None:
        if token in self._children and self.alive:
            try:
                self._control.send(protocol.encode(protocol.Kill(token)))
            except BlockingIOError:
                self._loop.call_later(0.01, self._kill, token)
            except OSError:
                pass  # it is dying, and its children with it

    def _hang_up(self) -> None:
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()

    def _listen(self) -> None:
        for _ in range(64):
            try:
                data = self._control.recv(_MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._hang_up()
                self._loop.call_later(_STOP_WITHIN, kill_group, self._popen)
                return
            try:
                self._hear(protocol.from_zygote(data))
            except protocol.ProtocolError as error:
                log.error("zygote broke the protocol", python=self._python, error=str(error))
                kill_group(self._popen)
                return

    def _hear(self, message: protocol.FromZygote) -> None:
        match message:
            case protocol.Up():
                self.up = True
                log.info("zygote up", python=self._python, pid=self.pid, seconds=round(message.seconds, 3))
            case protocol.Forked():
                process = self._children.get(message.token)
                if process is not None:
                    token = message.token
                    process.started(message.pid, lambda: self._kill(token))
            case protocol.ForkFailed():
                process = self._children.pop(message.token, None)
                if process is not None:
                    process.ended(message.reason)
            case protocol.Died():
                process = self._children.pop(message.token, None)
                if process is not None:
                    process.ended(ending(message.status))

    def _ended(self, how: str) -> None:
        while self._control.fileno() >= 0:  # its last reports
            try:
                data = self._control.recv(_MAX_DATAGRAM)
                if not data:
                    break
                self._hear(protocol.from_zygote(data))
            except (OSError, protocol.ProtocolError):
                break
        self._hang_up()
        words = self._output.last_words
        self._output.close()
        self.how = f"{how}: {words}" if words else how
        self.lived = self._loop.time() - self._born
        children, self._children = self._children, {}
        for process in children.values():
            # The kernel has killed those that ran; the others never came to be.
            process.orphaned = True
            process.ended("SIGKILL" if process.pid is not None else f"the zygote ended ({self.how})")
        if not self.ended.done():
            self.ended.set_result(how)
