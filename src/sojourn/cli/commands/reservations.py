"""Owns `sojourn reserve`, `sojourn calendar` and `sojourn reservations …`: who has a device when."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from sojourn.cli import output
from sojourn.cli.context import Ask, asks
from sojourn.cli.errors import WrongCall

app = typer.Typer(no_args_is_help=True, help="Show and cancel a reservation.")
_Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the reservation.")]


@asks
def reserve(
    ask: Ask,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="Name of the device.")],
    project: Annotated[
        str | None, typer.Option("--project", "-P", help="For whose users; default: the caller's project.")
    ] = None,
    start: Annotated[
        str,
        typer.Option("--start", help="2026-11-22T14:00 (UTC), 2026-11-22T14:00+01:00, +2h, 'in 30m', now."),
    ] = "now",
    end: Annotated[str | None, typer.Option("--end", help="As --start; or give --for.")] = None,
    length: Annotated[
        str | None, typer.Option("--for", help="How long: 2h, '1h 30m'; instead of --end.")
    ] = None,
    mode: Annotated[
        str,
        typer.Option("--mode", help="dedicated: nothing else runs; priority: the project's jobs go first."),
    ] = "dedicated",
    after_window: Annotated[
        str,
        typer.Option(
            "--after-window", help="What becomes of its sessions' queued jobs at the end: fail or requeue."
        ),
    ] = "fail",
) -> None:
    """Reserve a device for a project (operators, and the project's admins)."""
    if (end is None) == (length is None):
        raise WrongCall("say when the reservation ends: --end TIME or --for DURATION, one of the two")
    body = {
        "device": device,
        "project": project,
        "start": start,
        "end": end,
        "duration": length,
        "mode": mode,
        "after_window": after_window,
    }
    made = ask.api.post("/reservations", body)
    if ask.json:
        output.as_json(made)
    else:
        output.line(made["id"])
        output.note(
            f"{device} is reserved for {made['project']} ({made['mode']}), "
            f"{output.utc(made['start'])} to {output.utc(made['end'])} UTC"
        )


@asks
def calendar(
    ask: Ask,
    device: Annotated[
        str | None, typer.Argument(metavar="[DEVICE]", help="Only of this device; default: all.")
    ] = None,
    ended: Annotated[bool, typer.Option("--ended", help="Also those that are over.")] = False,
) -> None:
    """Show who has which device when. Other projects' reservations show as busy."""
    answer = ask.api.get("/reservations", device=device, ended="true" if ended else None)
    if ask.json:
        output.as_json(answer)
        return
    rows = [
        [
            r["id"] or "busy",
            r["device"],
            output.day(r["start"]),
            output.day(r["end"]),
            r["project"],
            {"booked": r["mode"], "open": f"{r['mode']} now"}.get(r["state"], r["state"]),
        ]
        for r in answer["reservations"]
    ]
    columns = ("reservation", "device", "start (UTC)", "end (UTC)", "project", "mode")
    output.table(columns, rows, empty="no reservations")


@app.command("show")
@asks
def show_(
    ask: Ask,
    reservation_id: _Id,
) -> None:
    """Show one reservation."""
    found = ask.api.get(_path(reservation_id))
    if ask.json:
        output.as_json(found)
        return
    output.facts(
        [
            ("reservation", found["id"]),
            ("state", found["state"]),
            ("device", found["device"]),
            ("project", found["project"]),
            ("booked by", found["user"]),
            ("start", found["start"]),
            ("end", found["end"]),
            ("mode", found["mode"]),
            ("after the window", found["after_window"]),
        ]
    )


@app.command("cancel")
@asks
def cancel(
    ask: Ask,
    reservation_id: _Id,
) -> None:
    """Cancel a reservation; one that is open ends now."""
    found = ask.api.post(_path(reservation_id) + "/cancel")
    if ask.json:
        output.as_json(found)
    else:
        output.line(f"{reservation_id} is {found['state']}")


def _path(reservation_id: str) -> str:
    return f"/reservations/{quote(reservation_id, safe='')}"
