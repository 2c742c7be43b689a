"""Runs the dashboard: `python -m sojourn.dashboard --server URL`. The server starts it so.

A line of JSON on the standard input brings what must be on no command line: `link`, the one-time link, and
`key`, whom it signs in. When that input ends, the server is gone, and the dashboard ends too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from sojourn.dashboard.visitors import Visitors


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sojourn.dashboard", description=__doc__)
    parser.add_argument("--server", required=True, help="address of the server, without a path")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8421, help="0 for any free one, which is printed")
    parser.add_argument("--visits", type=Path, help="file that keeps who has signed in over restarts")
    given = parser.parse_args()
    told = json.loads(sys.stdin.readline() or "{}")
    os.environ.setdefault("NICEGUI_STORAGE_PATH", tempfile.mkdtemp(prefix="sojourn-dashboard-"))
    visitors = Visitors(told.get("link", ""), told.get("key", ""), given.visits)
    asyncio.run(_serve(given.server, given.host, given.port, visitors))


async def _serve(server: str, host: str, port: int, visitors: Visitors) -> None:
    import uvicorn

    from sojourn.dashboard.app import create
    from sojourn.dashboard.upstream import Upstream

    app = create(Upstream(server, visitors.refused), visitors)
    config = uvicorn.Config(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=2)
    serving = uvicorn.Server(config)
    sockets = [config.bind_socket()]
    sockets[0].listen(config.backlog)  # who comes before the pages are there waits, and is not refused
    print(json.dumps({"port": sockets[0].getsockname()[1]}), flush=True)  # noqa: T201 - the server reads it
    loop = asyncio.get_running_loop()

    async def watched() -> None:
        await loop.run_in_executor(None, sys.stdin.read)
        serving.should_exit = True

    watching = asyncio.ensure_future(watched())
    await serving.serve(sockets=sockets)
    watching.cancel()


if __name__ == "__main__":
    main()
