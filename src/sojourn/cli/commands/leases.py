"""`sojourn leases …`: to whom another scheduler, such as Slurm, has given a device."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from sojourn.cli import completion, listing, output
from sojourn.cli.context import Context, asks_server
from sojourn.cli.grammar import Noun, Watchable
from sojourn.cli.options import Watch
from sojourn.client import Refused

COLUMNS = ("device", "lease", "user", "project", "state", "taken (UTC)", "until (UTC)")
_AGAIN = 1.0
"""Seconds between two tries to take a lease."""
_CONFLICT = 409

app = typer.Typer(
    cls=Noun,
    help="List, take and end leases: to whom another scheduler has given a device with external_queue.",
    epilog="""Examples:
  sojourn leases list
  sojourn leases take lab slurm-4711-0 --user ann --for 2h --wait 60
  sojourn leases end lab slurm-4711-0""",
)
_Device = Annotated[
    str, typer.Argument(metavar="DEVICE", help="Name of the device.", autocompletion=completion.devices)
]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="What the other scheduler calls the lease.")]


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
    watch: Watch = None,
) -> None:
    """List the leases, newest first: your own; for an operator everybody's."""
    listing.show(lambda: context.api.get("/leases", device=device), _page, json=context.json, watch=watch)


def _page(answer: Mapping[str, Any]) -> listing.Page:
    rows = [
        [
            lease["device"],
            lease["name"],
            lease["user"],
            lease["project"],
            lease["state"],
            output.day(lease["taken"]),
            output.day(lease["until"]),
        ]
        for lease in answer["leases"]
    ]
    return listing.Page(COLUMNS, rows, empty="no leases")


@app.command("take")
@asks_server
def take(
    context: Context,
    device: _Device,
    name: _Name,
    user: Annotated[str, typer.Option("--user", "-u", help="Who may submit.")],
    project: Annotated[
        str | None,
        typer.Option(
            "--project",
            "-P",
            help="Only in this project; default: all of the user's.",
            autocompletion=completion.projects,
        ),
    ] = None,
    length: Annotated[
        str | None, typer.Option("--for", help="How long at most: 2h, '1h 30m'; default: until it is ended.")
    ] = None,
    wait: Annotated[
        int, typer.Option("--wait", min=0, help="Seconds to wait for another lease of the device to end.")
    ] = 0,
) -> None:
    """Let one user submit to a device; again with the same name it is no error (operators)."""
    body = {"device": device, "name": name, "user": user, "project": project, "duration": length}
    until = time.monotonic() + wait
    while True:
        try:
            taken = context.api.post("/leases", body)
            break
        except Refused as refused:
            if refused.status != _CONFLICT or time.monotonic() >= until:
                raise
        time.sleep(_AGAIN)
    if context.json:
        output.as_json(taken)
    else:
        end = f" until {output.utc(taken['until'])} UTC" if taken["until"] else ""
        output.line(f"{device} is leased to {user}{end}")


@app.command("end")
@asks_server
def end(
    context: Context,
    device: _Device,
    name: _Name,
) -> None:
    """End a lease, and with it the sessions and jobs that its user has on the device (operators)."""
    path = f"/leases/{quote(device, safe='')}/{quote(name, safe='')}/end"
    ended = context.api.post(path)
    if context.json:
        output.as_json(ended)
    else:
        output.line(
            f"lease {name} of {device} is {ended['state']}: {ended['closed_sessions']} sessions closed, "
            f"{ended['cancelled_jobs']} jobs cancelled"
        )
