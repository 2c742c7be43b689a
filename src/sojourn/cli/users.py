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
    """List the users, their projects, and how often in the last hour their jobs have ended a worker."""
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
            u["crashes"] or None,
            show.age(u["created"], now),
        ]
        for u in answer["users"]
    ]
    show.table(("user", "projects", "operator", "revoked", "crashes>", "age>"), rows, empty="no users")


@app.command("revoke")
@asks
def revoke(
    ask: Ask,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.")],
    close_sessions: Annotated[
        bool, typer.Option("--close-sessions", help="Close the user's sessions too; their queued jobs fail.")
    ] = False,
    cancel_jobs: Annotated[
        bool, typer.Option("--cancel-jobs", help="Cancel the user's jobs too, also those that run.")
    ] = False,
) -> None:
    """Take a user's key away; holds from the next request on. Says what of the user's goes on."""
    body = {"close_sessions": close_sessions, "cancel_jobs": cancel_jobs}
    answer = ask.api.post(f"/users/{quote(name, safe='')}/revoke", body)
    if ask.json:
        show.as_json(answer)
        return
    show.line(f"{name} is revoked")
    for count, what, done in (
        (answer["closed_sessions"], "session", "closed"),
        (answer["cancelled_jobs"], "job", "cancelled"),
    ):
        if count:
            show.line(f"{_counted(count, what)} {done}")
    flags = []
    for key, flag, so in (
        ("sessions", "--close-sessions", close_sessions),
        ("jobs", "--cancel-jobs", cancel_jobs),
        ("reservations", "", True),
    ):
        left = answer[key]
        if not left["count"]:
            continue
        show.line(f"{_counted(left['count'], key.removesuffix('s'))} of {name} left:")
        for each in left["oldest"]:
            show.line(f"  {each['id']} on {each['device']}: {each['state']}")
        if more := left["count"] - len(left["oldest"]):
            show.line(f"  and {more} more")
        if not so:
            flags.append(flag)
    if flags:
        show.note(f"They go on. To end them as well: sojourn users revoke {name} {' '.join(flags)}")
    if answer["reservations"]["count"]:
        show.note("A reservation is cancelled with: sojourn reservations cancel ID")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
