"""Prepares the server's process: streams, files, memory, threads, garbage collection."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import sys

_SWITCH = 0.0001
"""Seconds for which one thread computes before another has its turn. A commit gives its turn up with each of
its statements; by Python's own 5 ms it would last a tenth of a second while the event loop is busy."""


def prepare() -> None:
    _open_streams()
    # The database holds everybody's jobs and the key that signs tokens, and the folder may be one that
    # others can enter.
    os.umask(0o077)
    _allow_many_connections()
    _give_memory_back()
    sys.setswitchinterval(_SWITCH)


def keep_what_there_is() -> None:
    """What is in memory now stays: a search for garbage that looked through all of it would hold everybody up
    for a quarter of a second beside 50,000 jobs."""
    gc.collect()
    gc.freeze()


def _open_streams() -> None:
    """Whoever started us may have closed standard streams. The next files to be opened, such as our socket or
    the database, would get their numbers, and with them whatever somebody writes to a standard stream."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


def _allow_many_connections() -> None:
    """Each waiting client is an open file; a lecture hall would meet the usual soft limit of 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # of mallopt, in <malloc.h>


def _give_memory_back() -> None:
    """Have large blocks go back to the system when they are freed.

    The C library would raise the size from which on it does so to that of the largest block so far (up to
    32 MB), and keep what is smaller; and each of the threads that read and write bodies would get a heap.
    """
    with contextlib.suppress(OSError, AttributeError):  # other C libraries have no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 256_000)
        mallopt(_ARENA_MAX, 2)
