"""Runs the nginx of this system, unprivileged, with a configuration and a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

DOCUMENTED = Path(__file__).parents[2] / "docs" / "proxy.md"
PATIENCE = 15.0


def program() -> str | None:
    """Where nginx is; distributions put it where only root looks."""
    return shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


def documented(upstream: str) -> str:
    """The configuration in the documentation: with `upstream` (host:port), and without TLS and name."""
    (text,) = re.findall(r"```nginx\n(.*?)```", DOCUMENTED.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = text.replace("127.0.0.1:8420", upstream).replace("listen 443 ssl", "listen ADDRESS")
    assert found.count(upstream) == found.count("ADDRESS") == 1
    return re.sub(r"^ *(server_name|ssl_).*\n", "", found, flags=re.MULTILINE)


class Nginx:
    """`with Nginx(folder, servers) as nginx:` - each of the named `server` blocks on a port of its own.

    A block listens on ADDRESS. nginx inherits the listening sockets, so the ports are free for certain and
    connections are taken from the start.
    """

    def __init__(self, folder: Path, servers: Mapping[str, str]) -> None:
        self._folder = folder
        self._servers = servers
        self._sockets: dict[str, socket.socket] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._log = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # a line for each request
        self._lines: list[list[str]] = []

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._sockets[name].getsockname()[1]}"

    def statuses(self, name: str, request: str, until: int) -> list[int]:
        """Those of `request`, such as "POST /api", on the server `name`; waits for one that is `until`."""
        _, port = self.url(name).rsplit(":", 1)
        while until not in (found := [int(line[1]) for line in self._lines if line[::2] == [port, request]]):
            self._lines.append(self._log.recv(4096).decode().rpartition(": ")[2].split(maxsplit=2))
        return found

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log.bind(("127.0.0.1", 0))
        self._log.settimeout(PATIENCE)
        blocks = []
        for name, text in self._servers.items():
            listener = self._sockets[name] = socket.socket()
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)
            blocks.append(text.replace("ADDRESS", self.url(name).removeprefix("http://")))
        temporary = "".join(
            f"{part}_temp_path {self._folder}/{part};\n"
            for part in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = self._folder / "nginx.conf"
        config.write_text(
            f"daemon off; worker_processes 1; pid {self._folder}/pid; error_log stderr;\n"
            + ("user root;\n" if os.geteuid() == 0 else "")  # its own folder is this user's
            + "events {}\n"
            "http {\n"
            'log_format short "$server_port $status $request_method $uri";\n'
            f"access_log syslog:server=127.0.0.1:{self._log.getsockname()[1]} short;\n{temporary}"
            + "\n".join(blocks)
            + "}\n",
            encoding="utf-8",
        )
        found = program()
        assert found is not None, "nginx is not installed"
        handles = [listener.fileno() for listener in self._sockets.values()]
        with (self._folder / "error.log").open("wb") as log:
            self._process = subprocess.Popen(
                [found, "-p", str(self._folder), "-c", str(config)],
                stderr=log,
                pass_fds=handles,
                env={**os.environ, "NGINX": "".join(f"{handle};" for handle in handles)},
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(PATIENCE)
        for opened in (*self._sockets.values(), self._log):
            opened.close()
