"""Owns the flags that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli.connection import Where

Url = Annotated[
    str | None, typer.Option("--url", envvar="SOJOURN_URL", help="Address of the server, http://HOST:PORT.")
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token", envvar="SOJOURN_TOKEN", help="API key to ask with; default: the one in the data folder."
    ),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="SOJOURN_CONFIG", help="Configuration file (TOML) of the server."),
]


def _folder(text: str) -> Path:
    """An empty --data is a variable that was not set, and no wish for the working folder."""
    if not text:
        raise typer.BadParameter("the path is empty")
    return Path(text)


Data = Annotated[
    Path | None,
    typer.Option("--data", parser=_folder, metavar="FOLDER", help="Data folder of the server."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def where(url: str | None, token: str | None, config: Path | None, data: Path | None) -> Where:
    """The four flags as one value. An empty variable is one that is not set."""
    return Where(url=url or None, token=token or None, config=config, data=data)
