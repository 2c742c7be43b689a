"""The fork server: a process that has imported what workers need, and forks them on request.

Imports before the fork and reaps after it; may never load a device or run Aer, because a
process whose native thread pools have started must not be forked. It has one thread. Started as
``python -m sojourn.worker.forkserver --fd N --parent PID``; ends when the server closes the socket or dies.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import importlib.metadata
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from typing import Any, NoReturn

from sojourn.worker.protocol import messages
from sojourn.worker.setup import (
    call_itself,
    die_with,
    expendable,
    flush_output,
    orderly_signals,
)

PRELOAD = (
    "msgspec",
    "numpy",
    "qiskit",
    "qiskit.circuit.library",
    "qiskit.primitives",
    "qiskit.qpy",
    "qiskit_aer",
    "sojourn.worker.host",
    "sojourn.worker.main",
)
BESIDE = "qiskit_ibm_runtime"
PREPARATION = (
    "sojourn.worker.programs.mitigated.sampler",
    "sojourn.worker.programs.mitigated.estimator",
)
"""What prepares mitigated jobs, imported when a driver has imported the package `BESIDE` anyway."""

_MAX_DATAGRAM = 1 << 16


def preload(modules: tuple[str, ...]) -> None:
    """Import what there is; what cannot be imported will say so in the worker that needs it."""
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as missing:
            sys.stderr.write(f"not preloaded: {module} ({missing})\n")
        except Exception:
            sys.stderr.write(f"not preloaded: {module}\n{traceback.format_exc()}")


class Forkserver:
    """Serves one control socket (datagrams in order, with descriptors)."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._pid = os.getpid()
        self._children: dict[int, int] = {}  # pid -> token
        self._drivers: set[str] = set()
        self._started = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()

    def serve(self) -> None:
        """Fork and reap until the server is gone, then leave no child behind."""
        preload(PRELOAD)
        self._settle()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._send(messages.Up(time.monotonic() - self._started))
        try:
            while True:
                ready = {key.fileobj for key, _ in self._selector.select()}
                if self._wake_read in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake_read, 4096)
                    self._reap()
                if self._control in ready and not self._on_message():
                    return
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            if os.getpid() == self._pid:
                self._kill_all()

    def _settle(self) -> None:
        """Keep the collector away from what the children share, so that its pages stay shared."""
        gc.collect()
        gc.freeze()
        if threading.active_count() > 1:
            names = ", ".join(thread.name for thread in threading.enumerate()[1:])
            sys.stderr.write(f"warning: imports have started threads ({names}); forks may be unsafe\n")

    def _send(self, message: messages.FromForkserver) -> None:
        self._control.send(messages.encode(message))

    def _on_message(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, _MAX_DATAGRAM, 3)
        try:
            if not data:
                return False
            message = messages.to_forkserver(data)
            if isinstance(message, messages.Ping):
                self._send(messages.Pong())
            elif isinstance(message, messages.Kill):
                for pid, token in self._children.items():
                    if token == message.token:
                        _kill_group(pid)
            elif len(descriptors) == 3:
                self._fork(message, descriptors)
            else:
                self._send(messages.ForkFailed(message.token, f"{len(descriptors)} descriptors instead of 3"))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _import_drivers(self, names: tuple[str, ...]) -> None:
        new = set(names) - self._drivers
        if not new:
            return
        self._drivers |= new
        self._send(messages.Importing(tuple(sorted(new))))
        for point in importlib.metadata.entry_points(group="sojourn.drivers"):
            if point.name in new:
                preload((point.module,))
        if BESIDE in sys.modules:
            preload(PREPARATION)
            from sojourn.worker.programs.mitigated.client import PRELOADED

            preload(PRELOADED)
        self._settle()

    def _fork(self, order: messages.Fork, descriptors: list[int]) -> None:
        self._import_drivers(order.drivers)
        flush_output()  # what is buffered here must not be printed again by the child
        try:
            pid = os.fork()
        except OSError as error:
            self._send(messages.ForkFailed(order.token, f"fork failed: {error}"))
            return
        if pid == 0:
            self._become_worker(order.name, *descriptors)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        self._children[pid] = order.token
        self._send_forked(order.token, pid)

    def _send_forked(self, token: int, pid: int) -> None:
        """Only its parent can get a descriptor that is surely the child's: before it reaps it."""
        message = messages.encode(messages.Forked(token, pid))
        try:
            descriptor = os.pidfd_open(pid)
        except (AttributeError, OSError):
            self._control.send(message)
            return
        try:
            socket.send_fds(self._control, [message], [descriptor])
        finally:
            os.close(descriptor)

    def _become_worker(self, name: str, sock: int, output: int, count: int) -> NoReturn:
        status = 70
        try:
            die_with(self._pid)
            with contextlib.suppress(OSError):
                os.setpgid(0, 0)  # a kill reaches what the driver may have started, too
            os.dup2(output, 1)
            os.dup2(output, 2)
            orderly_signals()
            call_itself(name)
            expendable()
            for descriptor in (sock, count):
                os.set_inheritable(descriptor, False)
            self._selector.close()
            self._control.close()
            for descriptor in (self._wake_read, self._wake_write, output):
                os.close(descriptor)
            _fresh_randomness()
            from sojourn.worker import main  # loaded before the fork, looked up after it

            status = main.serve(socket.socket(fileno=sock), count)
            flush_output()
        except BaseException:
            traceback.print_exc()
            flush_output()
        finally:
            os._exit(status)

    def _reap(self) -> None:
        while self._children:
            found: Any = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None:
                return
            pid: int = found.si_pid
            _kill_group(pid)  # the dead leader still holds the group's number: nobody else can have it
            _, status = os.waitpid(pid, 0)
            token = self._children.pop(pid, None)
            if token is not None:
                self._send(messages.Died(token, os.waitstatus_to_exitcode(status)))

    def _kill_all(self) -> None:
        signal.set_wakeup_fd(-1)
        for pid in self._children:
            _kill_group(pid)
        for pid in self._children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _fresh_randomness() -> None:
    """NumPy's legacy generator is not reseeded by a fork: without this, all workers draw the same numbers."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sojourn.worker.forkserver")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    die_with(arguments.parent)
    orderly_signals()
    call_itself("sojourn:forksrv")
    # NumPy's and SciPy's OpenBLAS start threads on import, one set in each copy; a fork takes none along.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    control = socket.socket(fileno=arguments.fd)
    control.set_inheritable(False)
    Forkserver(control).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
