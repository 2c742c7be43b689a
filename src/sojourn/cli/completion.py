"""Completes names that a server knows: devices, jobs, sessions, reservations, users, projects, keys.

Silent, and fast whatever the server does: a shell waits for it at each press of the key. The annotations are
evaluated once here; as strings Typer would evaluate them for each parameter that is completed.
"""

from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from urllib.parse import quote

import typer

from sojourn.cli.options import where
from sojourn.client import Client

TIME_LIMIT = 0.4
"""Seconds for the server's answer; nothing is completed when it takes longer."""
_MOST = 50


def _names(path: str, table: str, field: str, **query: object) -> Callable[[typer.Context], list[str]]:
    def complete(ctx: typer.Context) -> list[str]:
        # A name that cannot be completed is not an error: no server, no key, not allowed to know.
        with suppress(Exception):
            said = {flag: ctx.params.get(flag) for flag in ("url", "token", "config", "data")}
            place = where(**said)
            api = Client(place.find_url(), place.find_key("operator"), timeout=TIME_LIMIT)
            import httpx  # noqa: F401  not in the time that the server has

            return within_limit(lambda: [row[field] for row in api.get(path, **query)[table] if row[field]])
        return []

    return complete


def within_limit(ask: Callable[[], list[str]]) -> list[str]:
    """What `ask` returns, or nothing when it fails or takes longer than `TIME_LIMIT`."""
    found: list[str] = []

    def run() -> None:
        with suppress(Exception):
            found.extend(ask())

    # Looking up a host's name has no time-out of its own; what is late ends with the process.
    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(TIME_LIMIT)
    return list(found)


devices = _names("/devices", "devices", "name")
jobs = _names("/jobs", "jobs", "id", limit=_MOST)
pending_jobs = _names("/jobs", "jobs", "id", limit=_MOST, pending="true")
sessions = _names("/sessions", "sessions", "id", limit=_MOST)
reservations = _names("/reservations", "reservations", "id")
users = _names("/users", "users", "name")
projects = _names("/projects", "projects", "name")
accounts = _names("/accounts", "accounts", "name")


def keys(ctx: typer.Context) -> list[str]:
    """The keys of the user who is named before."""
    user = str(ctx.params.get("user") or "")
    return _names(f"/users/{quote(user, safe='')}/keys", "keys", "name")(ctx)
