"""Completes names that a server knows: devices, jobs, sessions, reservations, users, projects, keys.

Silent, and fast whatever the server does: a shell waits for it at each press of the key.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from urllib.parse import quote

import typer

from sojourn.cli.api import Api
from sojourn.cli.options import where

_PATIENCE = 0.5
"""Seconds for finding the server and its answer; nothing is completed when it takes longer."""
_MOST = 50


def _names(path: str, table: str, field: str, **query: object) -> Callable[[typer.Context], list[str]]:
    def complete(ctx: typer.Context) -> list[str]:
        return _within_patience(lambda: _asked(ctx, path, table, field, query))

    return complete


def _asked(ctx: typer.Context, path: str, table: str, field: str, query: dict[str, object]) -> list[str]:
    said = {flag: ctx.params.get(flag) for flag in ("url", "token", "config", "data")}
    answer = Api.of(where(**said), timeout=_PATIENCE).get(path, **query)
    return [str(row[field]) for row in answer[table] if row[field] is not None]


def _within_patience(look_up: Callable[[], list[str]]) -> list[str]:
    found: list[str] = []

    def run() -> None:
        # A name that cannot be completed is not an error: no server, no key, not allowed to know.
        with suppress(Exception):
            found.extend(look_up())

    # Looking up a host's name has no time-out of its own; what is late ends with the process.
    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
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
