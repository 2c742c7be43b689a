"""Child processes by fork and exec: their start, and the news of their end without threads or signals.

Owns `subprocess` for the package; may not know the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Sequence

from sojourn.execution.local.process import WorkerProcess, ending

_LOOK_EVERY = 0.02  # seconds, where the kernel has no descriptors for processes


def start(command: Sequence[str], *, keep: tuple[int, ...], output: int) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, with the descriptors `keep`. Raises OSError.

    It leads a process group, and has no terminal: one that it tried to use would stop it.
    """
    return subprocess.Popen(
        command,
        pass_fds=keep,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def module(python: str, name: str, *arguments: str) -> list[str]:
    """The command for one of our modules; ``-P`` so that files of the working directory are not imported."""
    return [python, "-P", "-m", name, *arguments, "--parent", str(os.getpid())]


def on_end(
    loop: asyncio.AbstractEventLoop, popen: subprocess.Popen[bytes], then: Callable[[str], None]
) -> None:
    """Call `then` with the way it ended, once, after the process has been reaped."""
    try:
        descriptor = os.pidfd_open(popen.pid)
    except (AttributeError, OSError):

        def look() -> None:
            if popen.poll() is None:
                loop.call_later(_LOOK_EVERY, look)
            else:
                then(ending(popen.returncode))

        loop.call_soon(look)
        return

    def reap() -> None:
        if popen.poll() is None:
            return
        loop.remove_reader(descriptor)
        os.close(descriptor)
        then(ending(popen.returncode))

    loop.add_reader(descriptor, reap)


def kill_group(popen: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the process and what it started in its group; nothing if it has been reaped."""
    if popen.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(popen.pid, signal.SIGKILL)


def start_worker(python: str, process: WorkerProcess, sock: int, output: int) -> None:
    """Start one worker for `process` without a fork server. Raises OSError."""
    count = process.read_count.fileno()
    command = module(
        python, "sojourn.worker.main", "--fd", str(sock), "--count", str(count), "--name", process.name
    )
    popen = start(command, keep=(sock, count), output=output)
    on_end(asyncio.get_running_loop(), popen, process.ended)
    process.started(popen.pid, lambda: kill_group(popen))
