"""Owns `sojourn devices` and `sojourn sessions …`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import typer

from sojourn.cli import output
from sojourn.cli.context import Ask, asks

devices_app = typer.Typer(help="Look at devices.")
_Device = Annotated[str, typer.Argument(metavar="DEVICE", help="Name of the device.")]
sessions_app = typer.Typer(help="Look at sessions and batches, and end them.")
_Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the session.")]


@devices_app.callback(invoke_without_command=True)
@asks
def devices(
    ask: Ask,
    context: typer.Context,
) -> None:
    """List the devices: what they are, who has them, who waits."""
    if context.invoked_subcommand is not None:
        return
    answer = ask.api.get("/devices")
    if ask.json:
        output.as_json(answer)
        return
    rows = [output.device_row(device) for device in answer["devices"]]
    output.table(output.DEVICE_COLUMNS, rows, empty="no devices")
    for device in answer["devices"]:
        if device["state"] != "online":
            output.line(output.device_state(device))
        if device["phase"] == "failed":
            output.line(f"{device['name']}: {device['reason'] or device['message']}")


@devices_app.command("show")
@asks
def show_device(
    ask: Ask,
    device: _Device,
) -> None:
    """Show one device."""
    found = ask.api.get(f"/devices/{quote(device, safe='')}")
    if ask.json:
        output.as_json(found)
        return
    output.facts([(name.replace("_", " "), value) for name, value in found.items()])


@sessions_app.callback(invoke_without_command=True)
@asks
def sessions(
    ask: Ask,
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="How many, newest first.")] = 20,
) -> None:
    """List the sessions, newest first."""
    if context.invoked_subcommand is not None:
        return
    answer = ask.api.get("/sessions", limit=limit)
    if ask.json:
        output.as_json(answer)
        return
    now = datetime.now(UTC)
    rows = [output.session_row(session, now) for session in answer["sessions"]]
    output.table(output.SESSION_COLUMNS, rows, empty="no sessions yet")


@sessions_app.command("show")
@asks
def show_(
    ask: Ask,
    session_id: _Id,
) -> None:
    """Show one session."""
    session = ask.api.get(f"/sessions/{quote(session_id, safe='')}")
    if ask.json:
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


@sessions_app.command("close")
@asks
def close(
    ask: Ask,
    session_id: _Id,
    drain: Annotated[bool, typer.Option("--drain", help="Let the jobs that it has finish first.")] = False,
) -> None:
    """End a session now, and with it its queued jobs; the running one finishes."""
    verb = "drain" if drain else "close"
    session = ask.api.post(f"/sessions/{quote(session_id, safe='')}/{verb}")
    if ask.json:
        output.as_json(session)
    elif drain and session["state"] != "closed":
        output.line(f"{session_id} takes no more jobs; it is {session['state']}")
    else:
        output.line(f"{session_id} is {session['state']}")
