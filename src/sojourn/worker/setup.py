"""What a worker or fork server sets for its own process before it serves: its end, signals, memory.

The calls to the operating system inside the child. Does not know the protocol and does not import Qiskit.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15

_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` (the pid of its parent) dies. Linux only.

    The parent may have died before the request reached the kernel: then this process has another parent
    already, and ends at once. The signal follows the parent's *thread* that made this process, so the
    server starts its processes on the loop's thread.
    """
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def call_itself(name: str) -> None:
    """Show `name` (15 bytes of it) in process listings. Linux only."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def expendable() -> None:
    """Make a worker the right victim: before the server for the out-of-memory killer, and quick to crash."""
    with contextlib.suppress(OSError, ValueError):  # a dump of a large statevector takes seconds
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")


def memory_taken() -> int:
    """Bytes of memory that this process has for itself, as `bounded_memory` counts them; 0 if not Linux."""
    if sys.platform != "linux":
        return 0
    return int(os.pread(_statm(os.getpid()), 256, 0).split()[5]) * resource.getpagesize()


@functools.cache
def _statm(_process: int) -> int:
    """Opened once in each process: it is read for every job."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)


@functools.cache
def stacks() -> int:
    """Bytes that the stacks of a library's threads claim, one thread a core, and do not use."""
    size = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return (os.cpu_count() or 1) * (8 << 20 if size == resource.RLIM_INFINITY else min(size, 64 << 20))


@contextlib.contextmanager
def bounded_memory(more: int, base: int | None = None) -> Iterator[None]:
    """Let this process take at most `more` bytes of memory beyond `base`, or beyond what it has; 0 for any
    amount. Linux only.

    What asks for more gets a MemoryError, or aborts if it is native code that does not ask twice.
    """
    if not more or sys.platform != "linux":
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    taken = memory_taken() if base is None else base
    resource.setrlimit(resource.RLIMIT_DATA, (taken + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def orderly_signals() -> None:
    """Leave Ctrl-C and the service manager's SIGTERM to the server, which ends its workers itself.

    Both may reach every process of the group at once; a job would fail for a shutdown that was orderly.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def give_back_memory() -> None:
    """Return what the C library holds for later to the system, so that the next run is not short of it."""
    with contextlib.suppress(AttributeError):  # glibc's own
        _libc.malloc_trim(0)


def flush_output() -> None:
    """Push out what Python and C hold back, so that the output of a job arrives before its result."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    _libc.fflush(None)
