"""`sojourn keys …`: the API keys of a user, by the user or an operator."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer

from sojourn.cli import completion, output
from sojourn.cli.context import Context, asks_server
from sojourn.cli.grammar import Noun

app = typer.Typer(
    cls=Noun,
    help="List, add, rotate and revoke API keys: your own; operators everybody's.",
    epilog="""Examples:
  sojourn keys list
  sojourn keys add ada --name ci --expires +90d
  sojourn keys rotate ada ci --keep 2d""",
)

_User = Annotated[
    str, typer.Argument(metavar="USER", help="Name of the user.", autocompletion=completion.users)
]
_Key = Annotated[
    str,
    typer.Argument(
        metavar="KEY", help="Name of the key, as `sojourn keys list` has it.", autocompletion=completion.keys
    ),
]
_Expires = Annotated[
    str | None,
    typer.Option(
        "--expires", help="When it ends: +90d, 2027-01-31 or 2027-01-31T12:00 (UTC); default: never."
    ),
]


@app.command("list")
@asks_server
def list_(
    context: Context,
    user: Annotated[
        str | None,
        typer.Argument(
            metavar="[USER]",
            help="Name of the user; default: the caller.",
            autocompletion=completion.users,
        ),
    ] = None,
) -> None:
    """List the keys of a user, without their secrets."""
    api = context.api
    answer = api.get(_path(user or api.get("/me")["user"]))
    if context.json:
        output.as_json(answer)
        return
    now = datetime.now(UTC)
    rows = [
        [
            key["name"],
            key["project"] or "(the first)",
            output.age(key["created"], now),
            "expired" if key["expired"] else _day(key["expires"]) or "never",
            _day(key["used"]) or "never",
            "*" if key["present"] else "",
        ]
        for key in answer["keys"]
    ]
    output.table(
        ("key", "project", "age>", "expires (UTC)", "last used (UTC)", "in use"), rows, empty="no keys"
    )


@app.command("add")
@asks_server
def add(
    context: Context,
    user: _User,
    name: Annotated[
        str | None, typer.Option("--name", help="Its name, unique among the user's; default: key-N.")
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(
            "--project",
            "-P",
            help="Where it acts when a program does not name one; default: the first.",
            autocompletion=completion.projects,
        ),
    ] = None,
    expires: _Expires = None,
) -> None:
    """Make a further key and print it; it is never shown again."""
    body = {"name": name, "project": project, "expires": expires}
    _print(context, context.api.post(_path(user), body))


@app.command("rotate")
@asks_server
def rotate(
    context: Context,
    user: _User,
    key: _Key,
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep", help="How long the old key goes on working, such as 2d; 0: it ends now. Default: 1h."
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", help="When the new key ends; default: when the old one was to."),
    ] = None,
) -> None:
    """Replace a key by a new one and print it; the old key works for a while longer."""
    _print(context, context.api.post(f"{_path(user, key)}/rotate", {"keep": keep, "expires": expires}))


@app.command("revoke")
@asks_server
def revoke(context: Context, user: _User, key: _Key) -> None:
    """End one key now, and every access token made from it."""
    ended = context.api.post(f"{_path(user, key)}/revoke")
    if context.json:
        output.as_json(ended)
    else:
        output.line(f"key {key} of {user} is revoked")


def _print(context: Context, made: Mapping[str, Any]) -> None:
    if context.json:
        output.as_json(made)
        return
    key, old = made["key"], made["old"]
    output.facts(
        [
            ("user", key["user"]),
            ("key", key["name"]),
            ("project", key["project"] or "(the first)"),
            ("expires", _day(key["expires"]) or "never"),
            ("api_key", made["api_key"]),
        ]
    )
    output.note("The key is shown only now.")
    if old is not None:
        output.note(
            f"The old key is {old['name']} now and ends at {_day(old['expires'])} UTC. To end it at once: "
            f"sojourn keys revoke {key['user']} {old['name']}"
        )


def _day(at: str | None) -> str:
    return output.day(at) or ""


def _path(user: str, key: str | None = None) -> str:
    path = f"/users/{quote(user, safe='')}/keys"
    return path if key is None else f"{path}/{quote(key, safe='')}"
