"""`sojourn accounts …`: the accounts above the projects, and their weights."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from sojourn.cli import completion, output
from sojourn.cli.context import Context, asks_server
from sojourn.cli.errors import CliError
from sojourn.cli.grammar import Noun
from sojourn.cli.options import number

app = typer.Typer(
    cls=Noun,
    help="List the accounts above the projects; set the weight of one.",
    epilog="""Example:
  sojourn accounts set science --weight 2""",
)
_HELP = "Name of the account."


@app.command("list")
@asks_server
def list_(
    context: Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help=f"{_HELP} Default: all.", autocompletion=completion.accounts),
    ] = None,
) -> None:
    """List the accounts with their weights."""
    _list(context, name)


@app.command("set")
@asks_server
def set_(
    context: Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help=_HELP, autocompletion=completion.accounts)],
    weight: Annotated[
        str, typer.Option("--weight", metavar="NUMBER", help="Its part of the devices, 0 or more.")
    ],
) -> None:
    """Set the weight of an account; one that does not exist is made."""
    body = {"weight": number("--weight", weight)}
    context.api.put(f"/accounts/{quote(name, safe='')}", body)
    _list(context, name)


def _list(context: Context, name: str | None) -> None:
    found = [a for a in context.api.get("/accounts")["accounts"] if name in (None, a["name"])]
    if name is not None and not found:
        raise CliError(f"there is no account {name!r}; `sojourn accounts set {name} --weight 1` makes it")
    if context.json:
        output.as_json({"accounts": found})
    else:
        output.table(("account", "weight>"), [[a["name"], f"{a['weight']:g}"] for a in found], empty="none")
