"""`sojourn reservations …`: who has which device when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from sojourn.cli import completion, listing, output
from sojourn.cli.context import Context, asks_server
from sojourn.cli.errors import WrongCall
from sojourn.cli.grammar import Noun, Watchable
from sojourn.cli.options import Watch

COLUMNS = ("reservation", "device", "start (UTC)", "end (UTC)", "project", "mode")

app = typer.Typer(
    cls=Noun,
    help="List, make, show and cancel reservations of devices.",
    epilog="""Examples:
  sojourn reservations add ibm_fez --project chem --start 2026-11-23T09:00 --for 2h
  sojourn reservations list ibm_fez --ended
  sojourn reservations cancel ID""",
)
_DEVICE = "Name of the device."
_Device = Annotated[str, typer.Argument(metavar="DEVICE", help=_DEVICE, autocompletion=completion.devices)]
_Id = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the reservation.", autocompletion=completion.reservations)
]


@app.command("list", cls=Watchable)
@asks_server
def list_(
    context: Context,
    device: Annotated[
        str | None,
        typer.Argument(
            metavar="[DEVICE]", help="Only of this device; default: all.", autocompletion=completion.devices
        ),
    ] = None,
    ended: Annotated[bool, typer.Option("--ended", help="Also those that are over.")] = False,
    watch: Watch = None,
) -> None:
    """List who has which device when. Other projects' reservations show as busy."""
    listing.show(
        lambda: context.api.get("/reservations", device=device, ended="true" if ended else None),
        _page,
        json=context.json,
        watch=watch,
    )


def _page(answer: Mapping[str, Any]) -> listing.Page:
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
    return listing.Page(COLUMNS, rows, empty="no reservations")


@app.command("add")
@asks_server
def add(
    context: Context,
    device: _Device,
    project: Annotated[
        str | None,
        typer.Option(
            "--project",
            "-P",
            help="For whose users; default: the caller's project.",
            autocompletion=completion.projects,
        ),
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
            "--after-window", help="What happens to its sessions' queued jobs at the end: fail or requeue."
        ),
    ] = "fail",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Reserve nothing: say what is in the way and what is left of the allowances. Exit status 1 "
            "when it would be refused.",
        ),
    ] = False,
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
    if dry_run:
        _planned(context.api.post("/reservations", body, dry_run="true"), json=context.json)
        return
    made = context.api.post("/reservations", body)
    if context.json:
        output.as_json(made)
    else:
        output.line(made["id"])
        output.note(
            f"{device} is reserved for {made['project']} ({made['mode']}), "
            f"{output.utc(made['start'])} to {output.utc(made['end'])} UTC"
        )


def _planned(plan: Mapping[str, Any], *, json: bool) -> None:
    if json:
        output.as_json(plan)
    else:
        times = f"{output.utc(plan['start'])} to {output.utc(plan['end'])} UTC"
        output.facts(
            [
                ("device", plan["device"]),
                ("project", plan["project"]),
                ("times", times),
                ("mode", plan["mode"]),
                *[("in its way", _conflict(each)) for each in plan["conflicts"]],
                *[("reserved", _allowance(each)) for each in plan["allowances"]],
                ("refused", plan["refused"]),
            ]
        )
        if plan["refused"] is None:
            output.line("it would be made")
    if plan["refused"] is not None:
        raise typer.Exit(1)


def _conflict(taken: Mapping[str, Any]) -> str:
    of = taken["project"] or "another project"
    return f"{of}, {output.utc(taken['start'])} to {output.utc(taken['end'])} UTC"


def _allowance(each: Mapping[str, Any]) -> str:
    """`by project chem: 1h 30m of 1d 16h within any 7d 00h, 2h 00m with this one; 1d 14h left`."""
    where = f" on {each['device']}" if each["device"] is not None else ""
    within = f" within any {output.duration(each['period'])}" if each["period"] is not None else " ahead"
    limit = f" of {output.duration(each['limit'])}" if each["limit"] is not None else ""
    left = f"{output.duration(each['left'])} left" if each["left"] is not None else "no limit"
    bound = "" if each["binds"] else ", which does not bind an operator"
    used, then = output.duration(each["used"]), output.duration(each["then"])
    return (
        f"by {each['of']} {each['name']}: {used}{limit}{where}{within}, {then} with this one; {left}{bound}"
    )


@app.command("show")
@asks_server
def show_(
    context: Context,
    reservation_id: _Id,
) -> None:
    """Show one reservation."""
    found = context.api.get(_path(reservation_id))
    if context.json:
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
@asks_server
def cancel(
    context: Context,
    reservation_id: _Id,
) -> None:
    """Cancel a reservation; one that is open ends now."""
    found = context.api.post(_path(reservation_id) + "/cancel")
    if context.json:
        output.as_json(found)
    else:
        output.line(f"{reservation_id} is {found['state']}")


def _path(reservation_id: str) -> str:
    return f"/reservations/{quote(reservation_id, safe='')}"
