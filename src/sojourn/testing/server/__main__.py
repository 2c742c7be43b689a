"""`python -m sojourn.testing.server`: the server for tests. Started by `sojourn.testing.process` only."""

from __future__ import annotations

import argparse
import asyncio
import functools
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sojourn.config import ConfigError, Settings, load
from sojourn.service.errors import ServiceFailed

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sojourn.testing.server")
    parser.add_argument("--orders", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ago", type=float, default=0.0)
    arguments = parser.parse_args()
    flags = {"server": {"host": "127.0.0.1", "port": 0, "data": arguments.data}}
    try:
        _serve(load(None, flags), socket.socket(fileno=arguments.orders), arguments.ago)
    except (ConfigError, OSError, ServiceFailed) as error:
        sys.stderr.write(f"sojourn.testing.server: {error}\n")
        return 1
    return 0


def _serve(settings: Settings, connection: socket.socket, ago: float) -> None:
    import uvloop

    from sojourn.api.http.log import log_to_stderr
    from sojourn.api.http.process import prepare

    connection.set_inheritable(False)
    prepare()
    log = log_to_stderr(settings.server.log_format)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings, connection, ago))
    finally:
        log.end()


async def _run(settings: Settings, connection: socket.socket, ago: float) -> None:
    from sojourn.api.app import create_app
    from sojourn.api.server import run
    from sojourn.service.service import Service
    from sojourn.service.timing.clock import SystemClock
    from sojourn.testing.server.clock import MovableClock
    from sojourn.testing.server.engine import ScriptedEngine
    from sojourn.testing.server.http import ScriptedHttp, ScriptedProtocol
    from sojourn.testing.server.orders import Orders

    clock = MovableClock(SystemClock(lambda: time.time() - ago))
    orders = Orders(settings.server.data, clock)

    def make_service(on_fatal: Callable[[BaseException], None]) -> Service:
        engine = functools.partial(ScriptedEngine, director=orders)
        orders.service = Service(settings, clock=orders.clock, engine=engine, on_fatal=on_fatal)
        return orders.service

    def make_app(
        service: Service, settings: Settings, connections: Callable[[], dict[str, Any]], _: object
    ) -> ASGIApp:
        return ScriptedHttp(create_app(service, settings, connections), orders.script)

    following = asyncio.create_task(orders.follow(connection))
    try:
        await run(
            settings,
            ready=lambda _: None,
            tied=True,
            make_service=make_service,
            make_app=make_app,
            protocol=ScriptedProtocol,
        )
    finally:
        following.cancel()


if __name__ == "__main__":
    sys.exit(main())
