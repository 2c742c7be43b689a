"""Hosts for the tests of the process machinery: they do what the job says, down to dying of it.

Loaded inside workers by dotted path, in place of `sojourn.worker.host:DeviceHost`.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from sojourn.worker.protocol.types import (
    Completed,
    Description,
    DeviceAway,
    DeviceSpec,
    Failed,
    JobRefused,
    Prepared,
    Traits,
)


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    while True:
        signal.pause()


class EchoHost:
    """Obeys program names; `options` say how loading goes."""

    def __init__(self, spec: DeviceSpec) -> None:
        self.spec = spec

    @classmethod
    def load(cls, spec: DeviceSpec) -> EchoHost:
        options = spec.options
        if "import" in options:
            importlib.import_module(options["import"])
        match options.get("load"):
            case "raise":
                raise RuntimeError("the dilution fridge\nis warm")
            case "segfault":
                sys.stderr.write("about to die\n")
                segfault()
            case "hang":
                hang()
            case "until":  # fails as long as the file is missing
                if not Path(options["path"]).exists():
                    raise RuntimeError("not yet")
            case "crash-once":  # dies the first time
                path = Path(options["path"])
                if not path.exists():
                    path.write_text("been there")
                    segfault()
            case "exit":
                sys.exit(3)
        return cls(spec)

    def describe(self) -> Description:
        return Description(2, {"options": dict(self.spec.options), "pid": os.getpid()}, None, "1.0")

    def prepare(self, program_id: str, params: bytes) -> Prepared:
        match program_id:
            case "refuse":
                raise JobRefused("too wide", 1234)
            case "segfault":
                segfault()
            case "hang":
                hang()
            case "raise":
                raise RuntimeError("broken")
            case "greedy":
                bytearray(int(params))
            case "gate":  # opens the fifo: both sides wait for each other
                Path(os.fsdecode(params)).read_bytes()
            case "gate-segfault":
                Path(os.fsdecode(params)).read_bytes()
                segfault()
        return Prepared(0.5, 1, 2, 4096, (self.spec.name, str(os.getpid())))

    def run(self, program_id: str, params: bytes, at: float | None = None) -> Completed | Failed:
        started = time.monotonic()
        result = params
        match program_id:
            case "noop":
                result = b""
            case "pid":
                result = str(os.getpid()).encode()
            case "segfault":
                segfault()
            case "exit":
                os._exit(3)
            case "quit":
                sys.exit(4)
            case "hang":
                hang()
            case "greedy":
                bytearray(int(params))
            case "greedy-native":  # as C++ ends that did not get what it asked for
                sys.stderr.write("terminate called after throwing an instance of 'std::bad_alloc'\n")
                os.abort()
            case "raise":
                raise RuntimeError("no\nway")
            case "fail":
                return Failed("user error", 1517, "Traceback: here", "log line")
            case "big":
                result = b"x" * int(params)
            case "flood":
                for _ in range(int(params)):
                    sys.stderr.write("y" * 1023 + "\n")
            case "print":
                sys.stdout.write(params.decode())
                subprocess.run(["printf", "from-a-child"], check=True)
                return Completed(b"", 0.0, "own log")
            case "meet":  # [mine, theirs]: fifos of two runs that need each other
                mine, theirs = (Path(path) for path in json.loads(params))
                if mine < theirs:
                    mine.write_text("here")
                    result = theirs.read_bytes()
                else:
                    result = theirs.read_bytes()
                    mine.write_text("there")
            case "child":  # leaves a process behind
                pid = os.spawnvp(os.P_NOWAIT, "sleep", ["sleep", "1000"])
                result = str(pid).encode()
            case "random":
                import numpy as np

                result = str(np.random.random()).encode()
            case "signals":
                os.killpg(os.getpgrp(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGTERM)
        return Completed(result, time.monotonic() - started)


class FarHost(EchoHost):
    """A device elsewhere: it is there while the file `path` is, and is what the file says."""

    def __init__(self, spec: DeviceSpec) -> None:
        super().__init__(spec)
        self._path = Path(spec.options["path"])
        self._told: list[str] = []
        self.describe()

    @classmethod
    def load(cls, spec: DeviceSpec) -> FarHost:
        return cls(spec)

    def describe(self) -> Description:
        try:
            said = self._path.read_text()
        except FileNotFoundError:
            raise RuntimeError("the line is dead") from None
        return Description(2, {"said": said}, None, "1.0", Traits(renew=0.05))

    def assign(self, job: str, session: str | None) -> None:
        self._told.append(f"{job} of {session}")

    def end_session(self, session: str) -> None:
        self._told.append(f"end of {session}")
        if session == "bad":
            raise RuntimeError("it cannot be ended")

    def run(self, program_id: str, params: bytes, at: float | None = None) -> Completed | Failed:
        if not self._path.exists():
            raise DeviceAway("the line is\ndead")
        told, self._told = self._told, []
        if program_id == "fail":
            return Failed("no", 1, used=0.25)
        return Completed(json.dumps(told).encode(), 3.0, used=1.5)


class SilentHost(EchoHost):
    """Leaves a thread behind that holds the interpreter: the process lives, and answers nothing."""

    def run(self, program_id: str, params: bytes, at: float | None = None) -> Completed | Failed:
        if program_id == "fall silent":
            sleep = ctypes.PyDLL(None).sleep  # one that does not let go of the interpreter
            threading.Timer(0.2, sleep, (1000,)).start()
        return super().run(program_id, params, at)


class GarbageHost(EchoHost):
    """Writes garbage to the worker's own socket in the middle of a run."""

    def run(self, program_id: str, params: bytes, at: float | None = None) -> Completed | Failed:
        if program_id == "garbage":
            for entry in Path("/proc/self/fd").iterdir():
                if entry.is_symlink() and str(entry.readlink()).startswith("socket:"):
                    os.write(int(entry.name), b"\xff" * 64)
            hang()
        return super().run(program_id, params, at)
