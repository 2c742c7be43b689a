"""Owns the operator's commands on a device: `sojourn pause`, `drain`, `maintain`, `resume`, `calibrate`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from sojourn.cli import output
from sojourn.cli.context import Ask, asks

_Device = Annotated[str, typer.Argument(metavar="DEVICE", help="Name of the device.")]
_Message = Annotated[str, typer.Option("--message", "-m", help="Why; users see it.")]
_Until = Annotated[
    str | None, typer.Option("--until", help="Expected end: 2026-11-22T14:00 (UTC), +2h, 'in 30m'.")
]


@asks
def pause(
    ask: Ask,
    device: _Device,
    message: _Message = "",
    until: _Until = None,
) -> None:
    """Start no more jobs on a device; jobs are accepted and wait."""
    _halt(ask, device, "pause", message, until)


@asks
def drain(
    ask: Ask,
    device: _Device,
    message: _Message = "",
    until: _Until = None,
) -> None:
    """Accept no more jobs and sessions on a device; those it has run."""
    _halt(ask, device, "drain", message, until)


@asks
def maintain(
    ask: Ask,
    device: _Device,
    message: _Message = "",
    until: _Until = None,
) -> None:
    """Take a device into maintenance: like a pause, under another name."""
    _halt(ask, device, "maintain", message, until)


@asks
def resume(
    ask: Ask,
    device: _Device,
) -> None:
    """Put a device online again."""
    answer = ask.api.post(_path(device, "resume"))
    _show(answer, ask.json)


@asks
def calibrate(
    ask: Ask,
    device: _Device,
    message: _Message = "",
) -> None:
    """Queue a calibration of a device; it goes before all other jobs."""
    job = ask.api.post(_path(device, "calibrate"), {"message": message})
    if ask.json:
        output.as_json(job)
    else:
        output.line(f"{device} is calibrated by job {job['id']}, which is {job['state']}")


@asks
def calibrations(
    ask: Ask,
    device: _Device,
) -> None:
    """List a device's calibrations, the newest first."""
    answer = ask.api.get(_path(device, "calibrations"))
    if ask.json:
        output.as_json(answer)
        return
    rows = [[c["id"], output.utc(c["at"]), c["job"], c["present"]] for c in answer["calibrations"]]
    output.table(
        ("calibration", "from (UTC)", "job", "in force"), rows, empty=f"nothing is known of {device} yet"
    )


def _halt(ask: Ask, device: str, verb: str, message: str, until: str | None) -> None:
    _show(ask.api.post(_path(device, verb), {"message": message, "until": until}), ask.json)


def _path(device: str, verb: str) -> str:
    return f"/devices/{quote(device, safe='')}/{verb}"


def _show(device: dict[str, object], json: bool) -> None:
    if json:
        output.as_json(device)
    else:
        output.line(output.device_state(device))
