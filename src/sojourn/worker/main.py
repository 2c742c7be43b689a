"""The worker process: loads devices on request and answers prepare and run frames, one at a time.

Owns the worker's loop; may not know about queues, jobs' states or other workers. Started as a fork of the
fork server, or as ``python -m sojourn.worker.main --fd N --count N --parent PID``. A preparer is the same
program that was given several devices.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import math
import os
import platform
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol, assert_never

import msgspec

import sojourn
from sojourn import codes
from sojourn.worker.cancelling import watched
from sojourn.worker.confinement import put_out_of_reach
from sojourn.worker.protocol import messages
from sojourn.worker.protocol.frames import MAX_PAYLOAD, Channel, FrameError
from sojourn.worker.protocol.memory import KEPT, exceeded
from sojourn.worker.protocol.messages import shorten
from sojourn.worker.protocol.types import (
    Completed,
    Description,
    DeviceAway,
    DeviceSpec,
    Failed,
    JobBroke,
    JobRefused,
    Prepared,
)
from sojourn.worker.setup import (
    bounded_memory,
    call_itself,
    die_with,
    expendable,
    flush_output,
    give_back_memory,
    memory_taken,
    orderly_signals,
    stacks,
)


class Host(Protocol):
    """What the worker needs of a device host; see `sojourn.worker.host`."""

    def describe(self) -> Description: ...

    def apply_calibration(self, properties: bytes) -> None: ...

    def prepare(self, program_id: str, params: bytes) -> Prepared:
        """Raises `JobRefused` for whatever the job causes, anything else when the device is at fault."""
        ...

    notify: Callable[[float, str], None] | None
    """Set before a run, for what is to be told of its progress."""

    def run(self, program_id: str, params: bytes, at: float | None = None) -> Completed | Failed: ...

    def assign(self, job: str, session: str | None) -> None:
        """The job that is run next, and the session that it is in."""
        ...

    def end_session(self, session: str) -> None:
        """This session does not have the device any more."""
        ...

    def health(self) -> tuple[str | None, bool]:
        """Why the device can take no job now, and whether only a new worker can. Asked only where the traits
        of its description say that there is something to ask."""
        ...

    def cancel(self) -> None:
        """Stop the run. Called in another thread, where the traits have seconds for it."""
        ...


class HostClass(Protocol):
    def load(self, spec: DeviceSpec) -> Host: ...


PROGRESS_INTERVAL = 0.5
"""Seconds between two notes of the progress of a run: a driver may have more to say than anybody reads."""

_MAX_WORDS = 200


def hello() -> messages.Hello:
    """Who this worker is. Qiskit, which every device needs, is imported for it."""
    made = messages.Hello(messages.PROTOCOL, os.getpid(), sojourn.__version__, platform.python_version())
    try:
        import qiskit
        from qiskit import qpy
    except Exception:  # the host that needs it says why
        return made
    return msgspec.structs.replace(made, qiskit=qiskit.__version__, qpy=qpy.QPY_VERSION)


class _LoadError(Exception):
    """The device could not be loaded; the arguments are one line and a traceback."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def one_line(error: BaseException) -> str:
    """The error as a reason: its kind and its words, on one line of at most 2,000 characters."""
    return shorten(" ".join(f"{type(error).__name__}: {error}".split()), 2000)


def _reason(error: BaseException) -> str:
    """As `one_line`; an error of ours is written for the reader and needs no label."""
    ours = type(error).__module__.startswith("sojourn.")
    return shorten(" ".join(str(error).split()), 2000) if ours else one_line(error)


def find(path: str) -> HostClass:
    """The object at ``module:name``. Raises ImportError, AttributeError or ValueError."""
    module, _, name = path.partition(":")
    if not name:
        raise ValueError(f"{path!r} is not of the form module:Class")
    found: HostClass = getattr(importlib.import_module(module), name)
    return found


class Worker:
    """The loop of one worker process."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._specs: dict[str, DeviceSpec] = {}
        self._host_class = messages.DEFAULT_HOST
        self._memory = 0
        self._base = 0
        self._hosts: dict[str, Host] = {}
        self._cancel: set[str] = set()  # devices whose runs can be cancelled

    def serve(self) -> None:
        """Answer until the server closes the connection."""
        self._send(hello())
        while (frame := self._channel.receive()) is not None:
            message = messages.from_server(frame.header)
            match message:
                case messages.Ping():
                    self._send(messages.Pong())
                case messages.Start():
                    if message.hidden:  # before anything of a driver or of a user runs
                        put_out_of_reach(Path(message.hidden))
                    self._specs = {spec.name: spec for spec in message.devices}
                    self._host_class = message.host_class
                    self._memory = message.memory
                case messages.Load():
                    self._load(message, frame.payload)
                case messages.Prepare():
                    self._prepare(message, frame.payload)
                case messages.Run():
                    self._run(message, frame.payload)
                case messages.SessionEnded():
                    self._end_session(message)
                case messages.Cancel():
                    pass  # that run has ended: see `cancelling`
                case messages.AskHealth():
                    self._health(message.device)
                case _:
                    assert_never(message)

    def _send(self, message: messages.FromWorker, payload: bytes = b"") -> None:
        flush_output()
        self._channel.send(messages.encode(message), payload)

    def _host(self, device: str) -> Host:
        """The device's host, loaded on first need. Raises `_LoadError`."""
        host = self._hosts.get(device)
        if host is not None:
            return host
        spec = self._specs.get(device)
        if spec is None:
            raise _LoadError(f"this worker was not given a device {device!r}")
        self._send(messages.Loading(device))
        try:
            host = find(self._host_class).load(spec)
        except Exception as error:
            raise _LoadError(_reason(error), traceback.format_exc()) from error
        self._hosts[device] = host
        return host

    def _load(self, message: messages.Load, properties: bytes) -> None:
        try:
            host = self._host(message.device)
            try:
                if properties:
                    host.apply_calibration(properties)
                payload = self._described(message.device, host) if message.describe else b""
            except Exception as error:
                raise _LoadError(_reason(error), traceback.format_exc()) from error
        except _LoadError as error:
            self._send(messages.LoadFailed(message.device, error.reason, shorten(error.detail)))
        else:
            self._send(messages.Loaded(message.device), payload)

    def _end_session(self, message: messages.SessionEnded) -> None:
        host = self._hosts.get(message.device)
        if host is None:
            return
        try:
            host.end_session(message.session)
        except Exception:  # nobody waits for it, and the next job is told of its own session
            traceback.print_exc()

    def _described(self, device: str, host: Host) -> bytes:
        description = host.describe()
        if description.traits.cancel_seconds > 0:
            self._cancel.add(device)
        return messages.encode_description(description)

    def _health(self, device: str) -> None:
        host = self._hosts.get(device)
        reason, reload = (None, False) if host is None else host.health()
        self._send(messages.HealthReply(device, reason and shorten(reason, 2000), reload))

    def _prepare(self, message: messages.Prepare, params: bytes) -> None:
        try:
            known = message.device in self._hosts
            host = self._host(message.device)
            if not known:  # the preparation's time counts from here
                self._send(messages.Loaded(message.device))
            with bounded_memory(self._memory):
                prepared = host.prepare(message.program_id, params)
        except JobRefused as refused:
            if isinstance(refused, JobBroke):
                sys.stderr.write(refused.detail)  # to the server's log: the user gets the message only
            self._send(messages.RefusedReply(message.id, shorten(refused.message), refused.code))
        except MemoryError:
            self._send(messages.RefusedReply(message.id, self._too_large(), codes.JOB_UNFIT))
        except Exception as error:  # a host answers for the job's errors itself: this one is not the job's
            # To the server's log: nobody else sees it.
            sys.stderr.write(error.detail if isinstance(error, _LoadError) else traceback.format_exc())
            reason = error.reason if isinstance(error, _LoadError) else one_line(error)
            self._send(messages.UnavailableReply(message.id, reason))
        else:
            self._send(messages.PreparedReply(message.id, prepared))

    def _too_large(self) -> str:
        limit = f"the {self._memory / 2**20:.0f} MB" if self._memory else "the memory"
        return (
            f"Preparing the job takes more than {limit} that one job may have. Its circuits or its parameter "
            "values are too large, or claim to be; submit fewer or smaller ones in one job."
        )

    def _run(self, message: messages.Run, params: bytes) -> None:
        outcome: Completed | Failed
        try:
            host = self._host(message.device)
            if message.job:
                host.assign(message.job, message.session)
            memory = self._specs[message.device].memory
            self._base = self._base or memory_taken()  # of the first run: later ones find what others left
            host.notify = self._progress(message.id)
            with (
                watched(self._channel.fileno(), host.cancel)
                if message.device in self._cancel
                else nullcontext(),
                bounded_memory(memory and memory + KEPT + stacks(), self._base),
            ):
                outcome = host.run(message.program_id, params, message.at)
        except DeviceAway as away:
            self._send(messages.UnavailableReply(message.id, _reason(away)))
            return
        except MemoryError:
            memory = self._specs[message.device].memory
            outcome = Failed(exceeded(message.device, memory), codes.OUT_OF_MEMORY, traceback.format_exc())
        except Exception as error:  # a run answers for the user's errors itself: this one is ours
            outcome = Failed(
                f"Internal error: {one_line(error)}", codes.INTERNAL_ERROR, traceback.format_exc()
            )
        if isinstance(outcome, Failed) and outcome.code == codes.OUT_OF_MEMORY:
            give_back_memory()
        if isinstance(outcome, Completed) and len(outcome.result) > MAX_PAYLOAD:
            outcome = Failed(
                f"The result has {len(outcome.result)} bytes; the limit is {MAX_PAYLOAD}. "
                "Ask for fewer shots or split the job.",
                codes.INTERNAL_ERROR,
                logs=outcome.logs,
            )
        if isinstance(outcome, Completed):
            self._send(
                messages.CompletedReply(
                    message.id,
                    outcome.quantum_seconds,
                    shorten(outcome.logs),
                    used=outcome.used,
                    held=outcome.held,
                ),
                outcome.result,
            )
        else:
            self._send(
                messages.FailedReply(
                    message.id,
                    shorten(outcome.reason, 8000),
                    outcome.code,
                    shorten(outcome.detail),
                    shorten(outcome.logs),
                    used=outcome.used,
                )
            )

    def _progress(self, run: int) -> Callable[[float, str], None]:
        """What a driver calls: sends a note now and then."""
        last = -math.inf

        def note(part: float, words: str) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last < PROGRESS_INTERVAL:
                return
            last = now
            part = float(part)
            done = min(max(part, 0.0), 1.0) if math.isfinite(part) else 0.0
            said = "".join(c for c in " ".join(str(words).split()) if c.isprintable())
            self._send(messages.ProgressNote(run, done, shorten(said[:_MAX_WORDS])))

        return note


def serve(sock: socket.socket, count: int | None = None) -> int:
    """Serve on a connected socket until the server closes it; the process's exit code. For `count` see
    `Channel`."""
    faulthandler.enable()
    try:
        Worker(Channel(sock, count)).serve()
    except (BrokenPipeError, ConnectionResetError, FrameError):
        return 0  # the server went away in the middle of a word
    except SystemExit as stop:  # a driver's own exit: the server reports it as the crash that it is
        return stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 70
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sojourn.worker.main")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--count", type=int)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--name", default="worker")
    arguments = parser.parse_args()
    die_with(arguments.parent)
    orderly_signals()
    call_itself(arguments.name)
    expendable()
    sock = socket.socket(fileno=arguments.fd)
    sock.set_inheritable(False)
    if arguments.count is not None:
        os.set_inheritable(arguments.count, False)
    status = serve(sock, arguments.count)
    flush_output()
    os._exit(status)  # libraries' exit handlers have nothing to say here


if __name__ == "__main__":
    sys.exit(main())
