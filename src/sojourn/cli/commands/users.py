"""`sojourn users …`: who may use the server, by the operator."""

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
    help="List, add, revoke and restore users (needs the operator's key).",
    epilog="""Examples:
  sojourn users add ada --project chem
  sojourn users revoke ada --cancel-jobs""",
)
_Known = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the user.", autocompletion=completion.users)
]


@app.command("add")
@asks_server
def add(
    context: Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.")],
    project: Annotated[
        str,
        typer.Option(
            "--project",
            "-P",
            help="Project (instance); made if it is new.",
            autocompletion=completion.projects,
        ),
    ],
    operator: Annotated[
        bool, typer.Option("--operator", help="The user may administrate the server.")
    ] = False,
    anew: Annotated[
        bool,
        typer.Option(
            "--anew", help="Give the name of a revoked user to somebody else, who inherits nothing."
        ),
    ] = False,
) -> None:
    """Add a user, or put one into a further project, and print the API key, which is never shown again."""
    body = {"name": name, "project": project, "operator": operator}
    _print_key(context, context.api.post("/users", body | {"anew": True} if anew else body))


@app.command("restore")
@asks_server
def restore(
    context: Context,
    name: _Known,
) -> None:
    """Restore a revoked user with the former projects and jobs, and print a new API key."""
    _print_key(context, context.api.post(f"/users/{quote(name, safe='')}/restore"))


def _print_key(context: Context, made: Mapping[str, Any]) -> None:
    if context.json:
        output.as_json({key: made[key] for key in ("name", "project", "instance", "api_key")})
        return
    output.facts([(key, made[key]) for key in ("name", "project", "instance", "api_key")])
    output.note("The key is shown only now. It is used with:")
    output.note(f'  eval "$(sojourn env --url {context.api.url} --token {made["api_key"]})"')


@app.command("list")
@asks_server
def list_(
    context: Context,
) -> None:
    """List the users, their projects, and how often in the last hour their jobs have ended a worker."""
    answer = context.api.get("/users")
    if context.json:
        output.as_json(answer)
        return
    now = datetime.now(UTC)
    rows = [
        [
            u["name"],
            ", ".join(u["projects"]),
            u["operator"],
            u["revoked"],
            u["crashes"] or None,
            output.age(u["created"], now),
        ]
        for u in answer["users"]
    ]
    output.table(("user", "projects", "operator", "revoked", "crashes>", "age>"), rows, empty="no users")


@app.command("revoke")
@asks_server
def revoke(
    context: Context,
    name: _Known,
    close_sessions: Annotated[
        bool, typer.Option("--close-sessions", help="Close the user's sessions too; their queued jobs fail.")
    ] = False,
    cancel_jobs: Annotated[
        bool, typer.Option("--cancel-jobs", help="Cancel the user's jobs too, also those that run.")
    ] = False,
) -> None:
    """Revoke all keys of a user, from the next request on, and list what of the user's goes on."""
    body = {"close_sessions": close_sessions, "cancel_jobs": cancel_jobs}
    answer = context.api.post(f"/users/{quote(name, safe='')}/revoke", body)
    if context.json:
        output.as_json(answer)
        return
    output.line(f"{name} is revoked")
    again = f"sojourn users revoke {name}"
    show_remains(answer, name, again, close_sessions=close_sessions, cancel_jobs=cancel_jobs)


def show_remains(
    answer: Mapping[str, Any], name: str, again: str, *, close_sessions: bool, cancel_jobs: bool
) -> None:
    """What of a user's goes on, and with which flags of the command `again`, if they were not given, it
    ends."""
    for count, what, done in (
        (answer["closed_sessions"], "session", "closed"),
        (answer["cancelled_jobs"], "job", "cancelled"),
    ):
        if count:
            output.line(f"{_counted(count, what)} {done}")
    flags = []
    for key, flag, said in (
        ("sessions", "--close-sessions", close_sessions),
        ("jobs", "--cancel-jobs", cancel_jobs),
        ("reservations", "", True),
    ):
        left = answer[key]
        if not left["count"]:
            continue
        output.line(f"{_counted(left['count'], key.removesuffix('s'))} of {name} left:")
        for each in left["oldest"]:
            output.line(f"  {each['id']} on {each['device']}: {each['state']}")
        if more := left["count"] - len(left["oldest"]):
            output.line(f"  and {more} more")
        if not said:
            flags.append(flag)
    if flags:
        output.note(f"They go on. To end them as well: {again} {' '.join(flags)}")
    if answer["reservations"]["count"]:
        output.note("A reservation is cancelled with: sojourn reservations cancel ID")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
