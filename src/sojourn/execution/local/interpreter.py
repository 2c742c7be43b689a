"""Starts worker processes with one Python interpreter: by its fork server, or one by one where that fails."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import ExitStack, closing, suppress

import structlog

from sojourn.execution.local.descriptors import Spare
from sojourn.execution.local.forkserver_client import IMPORT_LIMIT, ForkserverClient
from sojourn.execution.local.liveness import HUNG_LIMIT, ReadCount
from sojourn.execution.local.output import Output
from sojourn.execution.local.process import WorkerProcess
from sojourn.execution.local.spawn import start_worker

CAN_FORK = sys.platform == "linux"
"""Elsewhere system libraries do not survive a fork without exec."""

_SHORT_LIFE = 60.0  # seconds; a fork server that dies sooner counts against fork servers

log = structlog.get_logger("sojourn.execution")


class LaunchFailed(Exception):
    """No process could be started; the message says why."""


class Interpreter:
    """Starts workers with the interpreter `python` (None: the server's own).

    `fork` False: never through a fork server. `hung_limit`: seconds in which a process that owes an
    answer must give it, see `liveness`; `import_limit`: those that the import of a driver may take in the
    fork server. `hidden`: a folder that its workers put out of their reach, see `confinement`.
    """

    def __init__(
        self,
        python: str | None = None,
        *,
        fork: bool = CAN_FORK,
        hung_limit: float = HUNG_LIMIT,
        import_limit: float = IMPORT_LIMIT,
        hidden: str = "",
    ) -> None:
        self.hidden = hidden
        self.python = python or sys.executable
        self._fork = fork
        self._hung_limit = hung_limit
        self._import_limit = import_limit
        self._forkserver: ForkserverClient | None = None
        self._retired: list[ForkserverClient] = []
        self._unfit: set[str] = set()
        self._spare = Spare()
        self._early_deaths = 0
        self._processes: set[WorkerProcess] = set()
        self._stopped = False

    def check(self) -> None:
        """Check its processes, replace those that have hung. Called every `check_interval` of the limit."""
        self._spare.fill()
        for process in list(self._processes):
            process.check()
        self._retired = [forkserver for forkserver in self._retired if forkserver.how is None]
        forkserver = self._forkserver
        hung = forkserver.check() if forkserver is not None else None
        if forkserver is not None and hung is not None:
            forkserver.retire(hung)
            if forkserver.importing:  # that is what hangs: the next one leaves it to the workers
                self._unfit.update(forkserver.importing)
            else:
                self._count_death(forkserver)
            with suppress(OSError):  # else the next launch tries, and says why not
                self._usable_forkserver()

    def _forked(self, process: WorkerProcess, sock: int, output: int, drivers: tuple[str, ...]) -> bool:
        """Have the fork server make the worker; False when there is none that could."""
        forkserver = self._usable_forkserver()
        if forkserver is None:
            return False
        try:
            # Its second try goes without the drivers: one of them may be what kills it.
            fit = () if self._early_deaths else tuple(name for name in drivers if name not in self._unfit)
            forkserver.fork(process, sock, output, fit)
        except ConnectionError:  # it has just died, and its death is not reported yet
            return False
        return True

    async def launch(self, name: str, drivers: tuple[str, ...]) -> WorkerProcess:
        """A new process, connected; its `Hello` is on the way. Raises `LaunchFailed`.

        `drivers` are imported before the fork, once, so that the next worker of the same driver is quick.
        """
        if self._stopped:
            raise LaunchFailed("the server is stopping")
        try:
            process = await self._start(name, drivers)
        except OSError as error:  # of files, memory or processes there may be none left
            raise LaunchFailed(f"cannot start a worker with {self.python}: {error}") from error
        self._processes.add(process)
        process.gone.add_done_callback(lambda _: self._processes.discard(process))
        return process

    async def _start(self, name: str, drivers: tuple[str, ...]) -> WorkerProcess:
        """Raises OSError; nothing is left open then."""
        loop = asyncio.get_running_loop()
        with ExitStack() as theirs, ExitStack() as ours, ExitStack() as unconnected:
            with self._spare.released():
                our_socket, their_socket = socket.socketpair()
                unconnected.callback(our_socket.close)
                theirs.callback(their_socket.close)
                count = unconnected.enter_context(closing(ReadCount()))
                read, write = os.pipe()
            theirs.callback(os.close, write)
            process = WorkerProcess(loop, name, Output(loop, name, read), count, self._hung_limit)
            ours.callback(process.never_was)
            await loop.create_unix_connection(lambda: process, sock=our_socket)
            unconnected.pop_all()
            with self._spare.released():
                if not self._forked(process, their_socket.fileno(), write, drivers):
                    start_worker(self.python, process, their_socket.fileno(), write)
            ours.pop_all()
        return process

    async def stop(self) -> None:
        """Every process of this interpreter is gone afterwards."""
        self._stopped = True
        for process in self._processes:
            process.kill()
        forkservers = [*self._retired, *([self._forkserver] if self._forkserver is not None else [])]
        await asyncio.gather(*(forkserver.stop() for forkserver in forkservers if forkserver.how is None))
        self._spare.close()
        if self._processes:
            await asyncio.wait([process.gone for process in self._processes])

    def _count_death(self, forkserver: ForkserverClient) -> None:
        early = not forkserver.up or forkserver.age < _SHORT_LIFE
        self._early_deaths = self._early_deaths + 1 if early else 0

    def _usable_forkserver(self) -> ForkserverClient | None:
        if not self._fork:
            return None
        if self._forkserver is not None and self._forkserver.retired is not None:
            self._retired.append(self._forkserver)
            self._forkserver = None
        if self._forkserver is not None and self._forkserver.alive:
            return self._forkserver
        if self._forkserver is not None:
            self._count_death(self._forkserver)
            log.warning("fork server ended", python=self.python, how=self._forkserver.how)
        if self._early_deaths > 1:
            log.warning("fork server given up; workers are started one by one", python=self.python)
            self._fork = False
            return None
        self._forkserver = ForkserverClient(
            asyncio.get_running_loop(), self.python, self._hung_limit, self._import_limit
        )
        return self._forkserver
