"""Defines the flags that several commands share, so that they read the same everywhere."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli.connection import Where
from sojourn.cli.errors import WrongCall

_SERVER = "Which server"

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="SOJOURN_URL",
        help="Address of the server, http://HOST:PORT.",
        rich_help_panel=_SERVER,
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="SOJOURN_TOKEN",
        help="API key to use; default: the operator's, in the data folder.",
        rich_help_panel=_SERVER,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="SOJOURN_CONFIG",
        help="Configuration file (TOML) of the server.",
        rich_help_panel=_SERVER,
    ),
]


def _folder(text: str) -> Path:
    """An empty --data is a variable that was not set, and no wish for the working folder."""
    if not text:
        raise typer.BadParameter("the path is empty")
    return Path(text)


Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        parser=_folder,
        metavar="FOLDER",
        help="Data folder of the server.",
        rich_help_panel=_SERVER,
    ),
]
Watch = Annotated[
    float | None,
    typer.Option(
        "--watch",
        metavar="[SECONDS]",
        min=0.2,
        help="Refresh until Ctrl-C, every 2 seconds or as given; with --json one line each time.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def where(url: str | None, token: str | None, config: Path | None, data: Path | None) -> Where:
    """The four flags as one value. An empty variable is one that is not set."""
    return Where(url=url or None, token=token or None, config=config, data=data)


def number(flag: str, text: str) -> float:
    """The value of a flag as a number that JSON can carry; WrongCall when it is not one."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise WrongCall(f"{flag}: {text!r} is not a number such as 2 or 0.5; give one")
    return found
