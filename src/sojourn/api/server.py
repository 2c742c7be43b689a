"""Runs a service behind HTTP: binds, starts, announces its address, stops. No request is answered here."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import json
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import uvicorn

from sojourn.api.app import create_app
from sojourn.api.dashboard import Dashboard
from sojourn.api.http.bounds import Bounds, Connections
from sojourn.api.http.connections import RecordingProtocol
from sojourn.api.http.log import LogWriter, log_to_stderr
from sojourn.api.http.process import keep_what_there_is, prepare
from sojourn.service.errors import ServiceFailed
from sojourn.service.metrics.lag import Lag

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from sojourn.config import Settings
    from sojourn.service.service import Service

KEEP_ALIVE = 620
"""Seconds that an idle connection is kept. Longer than the ttl of a session: a client whose next submit meets
a connection that is just being closed does not repeat it, and its program would fail."""

GRACE = 3
"""Seconds that a stop waits for requests in flight."""

_BACKLOG = 2048


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process before the service has stopped."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def serve(settings: Settings, *, ready: Callable[[str], None] | None = None, tied: bool = False) -> None:
    """Serve until SIGTERM or SIGINT. OSError when the address or the data directory cannot be had,
    ServiceFailed when the database cannot be used or a commit failed.

    When it answers, one line with the URL is written to standard output and `server.json` to the data
    directory, and `ready` is called with the URL. With `tied` the end of standard input is a stop as well.
    """
    import uvloop

    prepare()
    log = log_to_stderr(settings.server.log_format)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings, ready=ready or _announce, tied=tied))
    finally:
        log.end()


async def run(
    settings: Settings,
    *,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
    tied: bool = False,
    make_service: Callable[[Callable[[BaseException], None]], Service] | None = None,
    make_app: Callable[..., ASGIApp] = create_app,
    protocol: type[RecordingProtocol] = RecordingProtocol,
) -> None:
    """Serve on the running loop until `stop` is set, or until a signal when `stop` is None.

    `make_service`, `make_app` and `protocol` are for `sojourn.testing`, whose server has parts around these.
    """
    data = settings.server.data
    with _alone(data), _listen(settings.server.host, settings.server.port) as listener:
        url = _url(settings.server.host, listener)
        broken, orphaned = asyncio.Event(), asyncio.Event()
        if tied:
            _watch_stdin(orphaned)
        bounds = Bounds.of(settings.server, _files_of_helpers(settings))
        service = (make_service or functools.partial(_plain, settings))(lambda _: broken.set())
        await service.start()
        keep_what_there_is()
        lag = Lag(service.measures.late)
        lag.start()
        try:
            connections = Connections(bounds, time.monotonic)
            dashboard = Dashboard(settings, url, _say)
            made = functools.partial(protocol, connections=connections)
            server = _Server(
                uvicorn.Config(
                    make_app(service, settings, connections.state, dashboard.lead),
                    http=made,  # type: ignore[arg-type]
                    ws="none",
                    lifespan="off",
                    loop="none",
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    proxy_headers=False,
                    timeout_keep_alive=KEEP_ALIVE,
                    timeout_graceful_shutdown=GRACE,
                    backlog=_BACKLOG,
                )
            )
            with _stopping(server, service, stop, broken, orphaned), _noted(data, url):
                serving = asyncio.create_task(server.serve(sockets=[listener]))
                listening = asyncio.create_task(server.listening.wait())
                await asyncio.wait((serving, listening), return_when=asyncio.FIRST_COMPLETED)
                if ready is not None and server.started:
                    ready(url)
                listening.cancel()
                checking = asyncio.create_task(service.check_store())
                async with dashboard.running():
                    await serving
                checking.cancel()
                await asyncio.wait({checking})  # else its thread keeps the process until it is through
        finally:
            lag.stop()
            await service.stop()
    if service.fatal is not None:
        why = " ".join(str(getattr(service.fatal, "orig", service.fatal)).split()) or repr(service.fatal)
        raise ServiceFailed(
            f"the service had to stop ({why}). Nothing that it acknowledged is lost: fix the cause and "
            "restart it"
        ) from service.fatal


def _plain(settings: Settings, on_fatal: Callable[[BaseException], None]) -> Service:
    from sojourn.service.service import Service

    return Service(settings, on_fatal=on_fatal)


def _files_of_helpers(settings: Settings) -> int:
    """Those of all workers and preparers, if they start at the same time."""
    from sojourn.execution.local.descriptors import files_for
    from sojourn.service.companions import specs

    devices = specs(settings.devices).values()
    interpreters = len({spec.python for spec in devices})
    workers = len(devices) + settings.server.preparers * interpreters
    if any(spec.python is not None for spec in devices):  # the rewriter, in the server's own interpreter
        workers, interpreters = workers + 1, interpreters + 1
    return files_for(workers, interpreters)


def _announce(url: str) -> None:
    """A line on standard output, which may be as broken as the log; `server.json` says the same."""
    _say(f"Sojourn is listening on {url}")


def _say(line: str) -> None:
    LogWriter(sys.stdout.fileno()).write(f"{line}\n")


@contextlib.contextmanager
def _stopping(server: uvicorn.Server, service: Service, *events: asyncio.Event | None) -> Iterator[None]:
    """Turns any of the events into an orderly stop, and a signal when one of the events is None.

    A second signal stops without waiting.
    """

    def end() -> None:
        if server.should_exit:
            server.force_exit = True
        server.should_exit = True
        service.jobs.release_polls()
        service.streams.release()

    async def end_at(event: asyncio.Event) -> None:
        await event.wait()
        end()

    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT) if None in events else ()
    for number in signals:
        loop.add_signal_handler(number, end)
    waiting = [loop.create_task(end_at(event)) for event in events if event is not None]
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
        for task in waiting:
            task.cancel()


def _watch_stdin(ended: asyncio.Event) -> None:
    """Sets the event at the end of standard input; what comes before it is thrown away."""
    loop, stdin = asyncio.get_running_loop(), 0

    def look() -> None:
        if not os.read(stdin, 4096):
            loop.remove_reader(stdin)
            ended.set()

    try:
        loop.add_reader(stdin, look)
    except OSError:  # a file, which is at its end for ever
        ended.set()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.set_inheritable(False)
    except OSError as error:
        listener.close()
        raise OSError(
            error.errno,
            f"cannot listen on {host}:{port} ({error.strerror or error}); "
            "choose another with --host and --port, or 0 for a free port",
        ) from None
    return listener


@contextlib.contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Holds the data directory for this process: two servers on one queue would run its jobs twice.

    The locks are the kernel's, so they end with the process however that ends. The file can be removed while
    the server runs, and then a new one be locked; the folder with the database in it stays the same.
    """
    with _lock_file(data) as lock:
        folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for number in (lock.fileno(), folder):
                _lock(number, data)
            yield
        finally:
            os.close(folder)


def _lock(number: int, data: Path) -> None:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(
            error.errno,
            f"another server uses the data folder {data}; stop it, or choose another folder with --data",
        ) from None
    except OSError:
        if not stat.S_ISDIR(os.fstat(number).st_mode):  # not every file system locks folders
            raise


def _lock_file(data: Path) -> TextIO:
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        return (data / "server.lock").open("a")
    except OSError as error:
        raise OSError(
            error.errno,
            f"the data folder {data} cannot be written ({error.strerror}); choose another with --data or "
            "server.data",
        ) from None


def _url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


@contextlib.contextmanager
def _noted(data: Path, url: str) -> Iterator[None]:
    """`server.json` in the data directory, for as long as the server runs."""
    path = data / "server.json"
    partial = data / f".server.json.{os.getpid()}"
    partial.write_text(json.dumps({"url": url, "pid": os.getpid()}) + "\n", encoding="utf-8")
    partial.replace(path)
    try:
        yield
    finally:
        # Only our own: another server may have taken the directory over meanwhile.
        with contextlib.suppress(OSError, ValueError, KeyError):
            if json.loads(path.read_text(encoding="utf-8"))["pid"] == os.getpid():
                path.unlink()
