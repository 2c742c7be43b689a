"""Starts the dashboard beside the server, starts it again when it ends, and leads people to it.

The server needs nothing of it: whatever becomes of that process, jobs go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from sojourn import private_file
from sojourn.api.http.replies import Reply

if TYPE_CHECKING:
    from sojourn.api.http.endpoint import Request
    from sojourn.config import Settings

FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0
"""Seconds until it is started again; twice as long each time that it ends at once."""
LONG_ENOUGH = 60.0
"""Seconds after which it has not ended at once."""
STOPPING = 3.0
FILE, VISITS = "dashboard.json", "visits.json"
"""In the data folder: the addresses that were printed, for programs, and who has signed in."""

log = structlog.get_logger("sojourn.dashboard")


def installed() -> bool:
    return importlib.util.find_spec("nicegui") is not None


class Dashboard:
    """`server` is the address at which the server answers this machine."""

    def __init__(self, settings: Settings, server: str, said: Callable[[str], None]) -> None:
        self._settings = settings
        self._server = server
        self._said = said
        self._link = secrets.token_urlsafe(24)
        self.port: int | None = None
        """Where it listens, once it does."""
        self._last_port = settings.dashboard.port
        self._data = Path(settings.server.data).absolute()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        wanted = self._settings.dashboard.enabled and installed()
        task = asyncio.create_task(self._live(), name="dashboard") if wanted else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
                (self._data / FILE).unlink(missing_ok=True)

    async def lead(self, request: Request) -> Reply:
        """`GET /`: to the dashboard, or what this is."""
        address = self._address(dict(request.headers).get(b"host", b"").decode("ascii", "replace"))
        if address is None:
            text = b"This is Sojourn. The dashboard is not running; the API is at /sojourn/v1.\n"
            return Reply(text, 200, b"text/plain; charset=utf-8")
        return Reply(status=307, headers=((b"location", address.encode()),))

    def _address(self, host: str) -> str | None:
        if self._settings.dashboard.url is not None:
            return self._settings.dashboard.url
        if self.port is None:
            return None
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            name = None
        return f"http://{_bracketed(name or '127.0.0.1')}:{self.port}/"

    async def _live(self) -> None:
        delay, first = FIRST_DELAY, True
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                await self._run(first)
            except OSError as error:
                log.error("dashboard.failed", why=str(error))
            first = False
            self.port = None
            delay = FIRST_DELAY if loop.time() - begun > LONG_ENOUGH else min(2 * delay, LONGEST_DELAY)
            log.warning("dashboard.ended", again_in=delay)
            await asyncio.sleep(delay)

    async def _run(self, first: bool) -> None:
        settings = self._settings.dashboard
        host = settings.host or self._settings.server.host
        command = [sys.executable, "-m", "sojourn.dashboard", "--server", self._server]
        # Where it was before, too, if any free port would do: people have its pages open.
        command += ["--host", host, "--port", str(self._last_port)]
        command += ["--visits", str(self._data / VISITS)]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # The link is for the first one: it stands in the terminal's history from then on.
            told = {"link": self._link, "key": self._key()} if first else {}
            process.stdin.write(json.dumps(told).encode() + b"\n")
            line = await process.stdout.readline()
            if line:
                self.port = self._last_port = int(json.loads(line)["port"])
                if first:
                    self._announce(host)
            else:  # the port may be another's by now
                self._last_port = settings.port
            await process.wait()
        finally:
            process.stdin.close()
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOPPING):
                    await process.wait()
            except TimeoutError:
                process.kill()

    def _announce(self, host: str) -> None:
        address = self._settings.dashboard.url
        if address is None:
            shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
            address = f"http://{_bracketed(shown)}:{self.port}/"
        link = f"{address.rstrip('/')}/link/{self._link}"
        self._said(f"The dashboard is at {address}")
        if self._key():
            self._said(f"Sign in as {self._settings.dashboard.link}, once: {link}")
        private_file.write(self._data / FILE, json.dumps({"url": address, "link": link}) + "\n")

    def _key(self) -> str:
        path = self._data / f"{self._settings.dashboard.link}.key"
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError:
            return ""


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
