"""`sojourn top`: what it needs, and what it prints where there is no terminal. The view itself is `view`."""

from __future__ import annotations

import importlib.util
import sys
from typing import Annotated

import typer

from sojourn.cli import output
from sojourn.cli.commands.top import snapshot
from sojourn.cli.context import Context, asks_server
from sojourn.cli.errors import CliError
from sojourn.client import Client

TIMEOUT = 5.0
"""Seconds that the view waits for an answer before it says that there is none."""


@asks_server
def top(
    context: Context,
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", min=0.2, max=3600, help="Seconds between answers.")
    ] = 2.0,
) -> None:
    """Watch devices, queue and sessions in the terminal; cancel, close and pause by a key.

    Needs the extra `tui`. With --json the present state is printed once, without it.
    """
    api = context.api
    if context.json:
        output.as_json(snapshot.take(api).as_json())
        return
    if importlib.util.find_spec("textual") is None:
        raise CliError("`sojourn top` needs the package textual: pip install 'sojourn[tui]'")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CliError(
            "`sojourn top` needs a terminal; `sojourn top --json` prints the state once, `sojourn devices "
            "--watch` goes on in a pipe"
        )
    from sojourn.cli.commands.top.view import Top

    watched = Client(api.url, context.where.find_key("operator"), timeout=TIMEOUT)
    Top(watched, every=every).run()
