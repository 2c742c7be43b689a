"""Two labs: servers of which the outer one has devices of the inner one, and a bad line between them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from sojourn.embedded import Embedded, EmbeddedError, Key
from tests.harness.api import FINAL

PATIENCE = 150.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Lab(Embedded):
    """A server that has the same address after a restart."""

    def __init__(self, data: Path, devices: Sequence[Mapping[str, Any]], **more: Any) -> None:
        super().__init__(data, devices=devices, **more)
        self.port = free_port()

    @property
    def address(self) -> str:
        """Also while it does not run."""
        return f"http://127.0.0.1:{self.port}"

    def _command(self) -> list[str]:
        command = super()._command()
        command[command.index("--port") + 1] = str(self.port)
        return command

    def jobs(self, **query: Any) -> list[dict[str, Any]]:
        """As the operator, the newest first."""
        found: list[dict[str, Any]] = self.get("/jobs", limit=200, **query)["jobs"]
        return found

    def sessions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/sessions", limit=200)["sessions"]
        return found

    def device(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/devices/{name}")
        return found


def remote(name: str, inner: Lab, backend: str, key_file: Path, **options: Any) -> dict[str, Any]:
    """A device of the outer lab."""
    place = {"url": inner.address, "backend": backend, "key_file": str(key_file)}
    return {"name": name, "driver": "sojourn", "options": {**place, "refresh": 1.0, **options}}


def write_key(path: Path, key: Key | str) -> Path:
    path.write_text(key if isinstance(key, str) else key.api_key, encoding="utf-8")
    path.chmod(0o600)
    return path


def http(lab: Lab, key: Key | None = None) -> httpx.Client:
    """The client's dialect in the name of a user, or of the user `local`."""
    headers = {"authorization": f"apikey {lab.local_key if key is None else key.api_key}"}
    return httpx.Client(base_url=f"{lab.url}/api/v1", headers=headers, trust_env=False, timeout=60)


def operator(lab: Lab) -> httpx.Client:
    headers = {"authorization": f"apikey {lab.operator_key}"}
    return httpx.Client(base_url=f"{lab.url}/sojourn/v1", headers=headers, trust_env=False, timeout=60)


def until(true: Callable[[], Any], what: str) -> Any:
    """Wait for another process, with a bound; what `true` has found."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(EmbeddedError, httpx.HTTPError):
            if found := true():
                return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {PATIENCE:g} s")


def ended(client: httpx.Client, job: str) -> dict[str, Any]:
    """The job, when it has ended. A server that is away meanwhile is waited for."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/jobs/{job}", params={"exclude_params": "true"}).json()
        return found if found["state"]["status"] in FINAL else None

    found: dict[str, Any] = until(look, f"the end of job {job}")
    return found


class Line:
    """A line to a server on which the answer to the first submit of a job is lost."""

    def __init__(self, server: str) -> None:
        self._server = urlsplit(server).port or 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.lost = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        """One request after the other, as the driver sends them."""
        with near, socket.create_connection(("127.0.0.1", self._server)) as far, contextlib.suppress(OSError):
            for sent, request in _messages(near):
                far.sendall(request)
                answer = next(_messages(far))[1]
                if sent.startswith(b"POST /api/v1/jobs ") and not self.lost:
                    self.lost += 1
                    return
                near.sendall(answer)


def _messages(sock: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """Head and whole of each message that comes; all of them say how long they are."""
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        while len(rest) < length:
            more = sock.recv(65536)
            if not more:
                return
            rest += more
        yield head, head + b"\r\n\r\n" + rest[:length]
        data = rest[length:]
