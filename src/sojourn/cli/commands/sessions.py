"""`sojourn sessions …`: looks at sessions and batches, and ends them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer

from sojourn.cli import completion, listing, output
from sojourn.cli.context import Context, asks_server
from sojourn.cli.grammar import Noun, Watchable
from sojourn.cli.options import Watch

COLUMNS = ("session", "state", "mode", "device", "user", "age>", "used>", "left>")

app = typer.Typer(
    cls=Noun,
    help="List and show sessions and batches; close them.",
    epilog="""Examples:
  sojourn sessions --watch
  sojourn sessions close ID --drain""",
)
_Id = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the session.", autocompletion=completion.sessions)
]


@app.command("list", cls=Watchable)
@asks_server
def list_(
    context: Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="How many, newest first.")] = 20,
    watch: Watch = None,
) -> None:
    """List the sessions, newest first."""
    listing.show(lambda: context.api.get("/sessions", limit=limit), _page, json=context.json, watch=watch)


def _page(answer: Mapping[str, Any]) -> listing.Page:
    now = datetime.now(UTC)
    rows = [session_row(session, now) for session in answer["sessions"]]
    return listing.Page(COLUMNS, rows, empty="no sessions yet")


def session_row(session: Mapping[str, Any], now: datetime) -> list[object]:
    return [
        session["id"],
        session["state"],
        session["mode"],
        session["device"],
        session["user"],
        output.age(session["created"], now),
        output.duration(session["elapsed"]),
        output.duration(session["active_ttl"]) if session["state"] != "closed" else None,
    ]


@app.command("show")
@asks_server
def show_(
    context: Context,
    session_id: _Id,
) -> None:
    """Show one session."""
    session = context.api.get(f"/sessions/{quote(session_id, safe='')}")
    if context.json:
        output.as_json(session)
        return
    output.facts(
        [
            ("session", session["id"]),
            ("state", session["state"]),
            ("reason", session["reason"]),
            ("mode", session["mode"]),
            ("device", session["device"]),
            ("user", f"{session['user']} ({session['project']})"),
            ("accepts jobs", session["accepting_jobs"]),
            ("used", output.duration(session["elapsed"])),
            ("max time", output.duration(session["max_time"])),
            ("left", output.duration(session["active_ttl"])),
            ("held between jobs", output.duration(session["interactive_ttl"])),
            ("created", session["created"]),
            ("last job started", session["last_job_started"]),
            ("last job completed", session["last_job_completed"]),
        ]
    )
    for stamp in session["timestamps"]:
        output.line(f"  {stamp['timestamp']}  {stamp['status']}")


@app.command("close")
@asks_server
def close(
    context: Context,
    session_id: _Id,
    drain: Annotated[bool, typer.Option("--drain", help="Let the jobs that it has finish first.")] = False,
) -> None:
    """End a session now, and with it its queued jobs; the running one finishes."""
    verb = "drain" if drain else "close"
    session = context.api.post(f"/sessions/{quote(session_id, safe='')}/{verb}")
    if context.json:
        output.as_json(session)
    elif drain and session["state"] != "closed":
        output.line(f"{session_id} takes no more jobs; it is {session['state']}")
    else:
        output.line(f"{session_id} is {session['state']}")
