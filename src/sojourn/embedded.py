"""Runs a server of one's own for the time of a `with` block: for tests, the demo and notebooks.

Without a block it ends with this process.

It starts `sojourn serve` in a process of its own, as any user does, and calls it over HTTP only. Qiskit is
imported only by `Embedded.service`.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from sojourn.client import Client, ClientError, Refused
from sojourn.embedded_environment import PROCESS
from sojourn.environment import ADDRESSES, CLEARED, Way, around_proxies, variables

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService

_TICK = 0.05
_STOP_PATIENCE = 15.0


class EmbeddedError(RuntimeError):
    """The server did not come up, or refused what we asked; the message ends with the end of its log."""


@dataclass(frozen=True, slots=True)
class Key:
    """A user's API key as the server gave it out. `instance` is the CRN of the project."""

    name: str
    project: str
    instance: str
    api_key: str


class Embedded:
    """`with Embedded() as server:` - a running server on a free port of this machine.

    Parameters:
        data: its data folder; None makes a temporary one that is removed at the end.
        config: a configuration file, as for `sojourn serve --config`.
        devices: `[[devices]]` tables instead of those of the configuration or the default.
        policy, server: more settings, as in the file's sections.
        dashboard: whether it has the pages for people as well, where their extra is installed.
        pages_for: whom the link of `pages` signs in.
        wait: "ready" waits until every device's worker is up, "alive" only until the server answers.
        patience: seconds until that, before EmbeddedError.
    """

    def __init__(
        self,
        data: Path | None = None,
        *,
        config: Path | None = None,
        devices: Sequence[Mapping[str, Any]] | None = None,
        policy: Mapping[str, Any] | None = None,
        server: Mapping[str, Any] | None = None,
        dashboard: bool = False,
        pages_for: Literal["local", "operator"] = "local",
        wait: Literal["alive", "ready"] = "ready",
        patience: float = 90.0,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="sojourn-") if data is None else None
        self.data = (
            Path(self._temporary.name) if self._temporary is not None else Path(data or ".").absolute()
        )
        self._config = config
        pages = {"enabled": dashboard, "port": 0, "link": pages_for}
        self._settings: dict[str, Any] = {
            "DEVICES": devices,
            "POLICY": policy,
            "SERVER": server,
            "DASHBOARD": pages,
        }
        self._wait = wait
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a path."""
        if self._url is None:
            raise EmbeddedError("the server is not running; use it inside `with Embedded() as server:`")
        return self._url

    @property
    def pid(self) -> int:
        if self._process is None:
            raise EmbeddedError("the server is not running; use it inside `with Embedded() as server:`")
        return self._process.pid

    def pages(self, *, link: bool = False) -> str:
        """The address of the dashboard, or a link that signs in, once. EmbeddedError when
        the server was started without it."""
        path, deadline = self.data / "dashboard.json", time.monotonic() + self._patience
        while self._settings["DASHBOARD"]["enabled"] and time.monotonic() < deadline:
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
                return str(found["link" if link else "url"])
            except (OSError, ValueError):  # it comes up after the server
                time.sleep(_TICK)
        raise EmbeddedError(
            f"the server has no dashboard; start it with dashboard=True and its extra\n{self._tail()}"
        )

    @property
    def log(self) -> Path:
        """What the server wrote to its standard output and error."""
        return self.data / "server.log"

    @property
    def operator_key(self) -> str:
        return (self.data / "operator.key").read_text(encoding="utf-8").strip()

    @property
    def local_key(self) -> str:
        """The key of the user `local`, who is there from the start."""
        return (self.data / "local.key").read_text(encoding="utf-8").strip()

    def start(self) -> Self:
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A file of an earlier, killed server must not be taken for the new one's.
        (self.data / "server.json").unlink(missing_ok=True)
        # The caller's own variables name other servers; this one is what the arguments say.
        environment = {k: v for k, v in os.environ.items() if not k.upper().startswith("SOJOURN_")}
        for section, value in self._settings.items():
            if value is not None:
                environment[f"SOJOURN_{section}"] = json.dumps(value, default=str)
        with self.log.open("ab") as log:
            # In a group of its own: Ctrl-C, and a notebook's button that interrupts its kernel, are for the
            # program. It ends with that all the same, when the pipe does.
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=self._files(),
                process_group=0,
            )
        # Nobody may call stop(): a notebook just ends, or its kernel is killed, which closes the pipe.
        atexit.register(self.stop)
        try:
            self._await()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ask the server to stop, and see to it that it did. Does nothing the second time."""
        atexit.unregister(self.stop)
        process, self._process, self._url = self._process, None, None
        PROCESS.release(self)
        if process is not None:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(_STOP_PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            _close_input(process)
        if self._temporary is not None:
            self._temporary.cleanup()

    def kill(self) -> None:
        """SIGKILL, as a power cut would; the data folder stays for the next start."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            _close_input(self._process)
        self._process, self._url = None, None
        PROCESS.release(self)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def user(self, name: str, project: str, *, operator: bool = False) -> Key:
        """Add a user; the project is made when it is new."""
        wanted = {"name": name, "project": project, "operator": operator}
        try:
            made = Client(self.url, self.operator_key).post("/users", wanted)
        except Refused as error:
            raise EmbeddedError(f"the user {name!r} was refused: {error.status} {error.body}") from None
        except ClientError as error:
            raise EmbeddedError(str(error)) from None
        return Key(made["name"], made["project"], made["instance"], made["api_key"])

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of GET `path` of the own API, as the operator. EmbeddedError without an answer."""
        try:
            return Client(self.url, self.operator_key).get(path, **query)
        except ClientError as error:
            raise EmbeddedError(str(error)) from None

    def env(self, key: Key | str | None = None, *, way: Way = "D") -> dict[str, str]:
        """The variables for a program of its own process; without a key those of the user `local`.

        With a `Key` the program is bound to the key's project.
        """
        api_key = key.api_key if isinstance(key, Key) else key or self.local_key
        instance = key.instance if isinstance(key, Key) else None
        return variables(self.url, api_key, instance=instance, way=way) | around_proxies(self.url)

    def service(self, key: Key | str | None = None) -> QiskitRuntimeService:
        """An ordinary client in this process; clients of several users and servers may live side by side.

        Some addresses can only be given by the environment, which all of them share, and the client reads
        them again later. So each client has its own server as its proxy: whatever host the environment names
        then, for a token or for anything else, the request goes here or nowhere. The variables stay set until
        the server stops; the account is set only while the client is made.
        """
        import qiskit_ibm_runtime

        found = self.env(key)
        account = {name: value for name, value in found.items() if name.startswith("QISKIT_IBM_")}
        addresses = {name: found[name] for name in ADDRESSES}

        def lasting(environment: Mapping[str, str]) -> Mapping[str, str]:
            return addresses | around_proxies(self.url, environment)

        with PROCESS.of(self, lasting, account, CLEARED):
            return qiskit_ibm_runtime.QiskitRuntimeService(
                proxies={"urls": {"http": self.url, "https": self.url}}
            )

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "sojourn", "serve"]
        command += ["--host", "127.0.0.1", "--port", "0", "--data", str(self.data), "--stop-with-stdin"]
        return command if self._config is None else [*command, "--config", str(self._config)]

    def _files(self) -> tuple[int, ...]:
        """Descriptors that the process inherits beside the standard ones."""
        return ()

    def _await(self) -> None:
        """Wait until the server answers, with a bound. Another process: one can only look again."""
        import httpx

        deadline = time.monotonic() + self._patience
        answer = "no answer"
        with httpx.Client(trust_env=False, timeout=5.0) as client:
            while time.monotonic() < deadline:
                if self._process is None or self._process.poll() is not None:
                    raise EmbeddedError(f"the server ended while it started\n{self._tail()}")
                if self._url is None:
                    self._url = self._announced()
                if self._url is not None:
                    path = "/readyz" if self._wait == "ready" else "/healthz"
                    try:
                        reply = client.get(self._url + path)
                    except httpx.HTTPError as error:
                        answer = str(error)
                    else:
                        if reply.status_code == 200:
                            return
                        answer = reply.text
                time.sleep(_TICK)
        raise EmbeddedError(
            f"the server was not {self._wait} after {self._patience:g} s: {answer}\n{self._tail()}"
        )

    def _announced(self) -> str | None:
        try:
            return str(json.loads((self.data / "server.json").read_text(encoding="utf-8"))["url"])
        except (OSError, ValueError, KeyError):
            return None

    def _tail(self) -> str:
        try:
            return self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
        except OSError:
            return "(no log)"


def _close_input(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
