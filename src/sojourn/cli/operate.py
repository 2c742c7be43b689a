"""Owns the operator's commands on a device: `sojourn pause`, `drain`, `maintain`, `resume`, `calibrate`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from sojourn.cli import show
from sojourn.cli.api import Api
from sojourn.cli.options import Config, Data, Json, Token, Url, where

_Device = Annotated[str, typer.Argument(metavar="DEVICE", help="Name of the device.")]
_Message = Annotated[str, typer.Option("--message", "-m", help="Why; users see it.")]
_Until = Annotated[
    str | None, typer.Option("--until", help="Expected end: 2026-11-22T14:00 (UTC), +2h, 'in 30m'.")
]


def pause(
    device: _Device,
    message: _Message = "",
    until: _Until = None,
    url: Url = None,
    token: Token = None,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Start no more jobs on a device; jobs are accepted and wait."""
    _halt(Api.of(where(url, token, config, data)), device, "pause", message, until, json)


def drain(
    device: _Device,
    message: _Message = "",
    until: _Until = None,
    url: Url = None,
    token: Token = None,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Accept no more jobs and sessions on a device; those it has run."""
    _halt(Api.of(where(url, token, config, data)), device, "drain", message, until, json)


def maintain(
    device: _Device,
    message: _Message = "",
    until: _Until = None,
    url: Url = None,
    token: Token = None,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Take a device into maintenance: like a pause, under another name."""
    _halt(Api.of(where(url, token, config, data)), device, "maintain", message, until, json)


def resume(
    device: _Device,
    url: Url = None,
    token: Token = None,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Put a device online again."""
    answer = Api.of(where(url, token, config, data)).post(_path(device, "resume"))
    _show(answer, json)


def calibrate(
    device: _Device,
    message: _Message = "",
    url: Url = None,
    token: Token = None,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Queue a calibration of a device; it goes before all other jobs."""
    job = Api.of(where(url, token, config, data)).post(_path(device, "calibrate"), {"message": message})
    if json:
        show.as_json(job)
    else:
        show.line(f"{device} is calibrated by job {job['id']}, which is {job['state']}")


def calibrations(
    device: _Device,
    url: Url = None,
    token: Token = None,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """List a device's calibrations, the newest first."""
    answer = Api.of(where(url, token, config, data)).get(_path(device, "calibrations"))
    if json:
        show.as_json(answer)
        return
    rows = [[c["id"], show.utc(c["at"]), c["job"], c["present"]] for c in answer["calibrations"]]
    show.table(
        ("calibration", "from (UTC)", "job", "in force"), rows, empty=f"nothing is known of {device} yet"
    )


def _halt(api: Api, device: str, verb: str, message: str, until: str | None, json: bool) -> None:
    _show(api.post(_path(device, verb), {"message": message, "until": until}), json)


def _path(device: str, verb: str) -> str:
    return f"/devices/{quote(device, safe='')}/{verb}"


def _show(device: dict[str, object], json: bool) -> None:
    if json:
        show.as_json(device)
    else:
        show.line(show.device_state(device))
