"""Starts the server for tests as a process, and gives it orders through a pipe that nobody else has."""

from __future__ import annotations

import json
import socket
import sys
import threading
from typing import Any, Self

from sojourn.embedded import Embedded

_PATIENCE = 120.0
"""Seconds that an order may take: to move the time on may mean thousands of deadlines."""


class ScriptError(RuntimeError):
    """An order to the server for tests was refused; the message says why."""


class ScriptedServer(Embedded):
    """As `Embedded`, but the process is `sojourn.testing.server`, which takes `order`s."""

    ago = 0.0
    """Seconds before now at which the server's time begins."""
    _socket: socket.socket | None = None
    _theirs = -1

    def start(self) -> Self:
        ours, theirs = socket.socketpair()
        ours.settimeout(_PATIENCE)
        self._socket, self._theirs = ours, theirs.fileno()
        self._turn = threading.Lock()
        self._stream = ours.makefile("rwb")
        with theirs:
            return super().start()

    def stop(self) -> None:
        super().stop()
        self._hang_up()

    def kill(self) -> None:
        super().kill()
        self._hang_up()

    def order(self, do: str, **what: Any) -> Any:
        """Have the server do something, and wait until it is done. Raises `ScriptError`."""
        if self._socket is None:
            raise ScriptError("the server is not running")
        with self._turn:
            try:
                self._stream.write(json.dumps({"do": do, **what}).encode() + b"\n")
                self._stream.flush()
                line = self._stream.readline()
            except OSError as error:
                raise ScriptError(
                    f"the server did not answer to {do!r} ({error}); its log: {self.log}"
                ) from None
        if not line:
            raise ScriptError(f"the server ended before it answered to {do!r}; its log: {self.log}")
        answer = json.loads(line)
        if "error" in answer:
            raise ScriptError(answer["error"])
        return answer["done"]

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "sojourn.testing.server", "--orders", str(self._theirs)]
        return [*command, "--data", str(self.data), "--ago", str(self.ago)]

    def _files(self) -> tuple[int, ...]:
        return (self._theirs,)

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._stream.close()
            self._socket.close()
            self._socket = None
