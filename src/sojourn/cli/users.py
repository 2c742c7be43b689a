"""Owns `sojourn users …`: accounts and their keys, by the operator."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import typer

from sojourn.cli import show
from sojourn.cli.asking import Ask, asks

app = typer.Typer(no_args_is_help=True, help="Add, list and revoke users (needs the operator's key).")


@app.command("add")
@asks
def add(
    ask: Ask,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.")],
    project: Annotated[str, typer.Option("--project", "-P", help="Project (instance); made if it is new.")],
    operator: Annotated[bool, typer.Option("--operator", help="May administrate the server.")] = False,
) -> None:
    """Add a user and print the API key, which is never shown again."""
    api = ask.api
    made = api.post("/users", {"name": name, "project": project, "operator": operator})
    if ask.json:
        show.as_json({key: made[key] for key in ("name", "project", "instance", "api_key")})
        return
    show.facts([(key, made[key]) for key in ("name", "project", "instance", "api_key")])
    show.note("The key is shown only now. It is used with:")
    show.note(f'  eval "$(sojourn env --url {api.url} --token {made["api_key"]})"')


@app.command("list")
@asks
def list_(
    ask: Ask,
) -> None:
    """List the users and their projects."""
    answer = ask.api.get("/users")
    if ask.json:
        show.as_json(answer)
        return
    now = datetime.now(UTC)
    rows = [
        [
            u["name"],
            ", ".join(u["projects"]),
            u["operator"],
            u["revoked"],
            show.age(u["created"], now),
        ]
        for u in answer["users"]
    ]
    show.table(("user", "projects", "operator", "revoked", "age>"), rows, empty="no users")


@app.command("revoke")
@asks
def revoke(
    ask: Ask,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.")],
) -> None:
    """Take a user's key away; holds from the next request on."""
    answer = ask.api.post(f"/users/{quote(name, safe='')}/revoke")
    if ask.json:
        show.as_json(answer)
    else:
        show.line(f"{name} is revoked")
