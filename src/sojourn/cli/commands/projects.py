"""`sojourn projects …`: who is entitled to how much, by the operator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer

from sojourn.cli import completion, output
from sojourn.cli.commands.users import show_remains
from sojourn.cli.context import Context, asks_server
from sojourn.cli.errors import WrongCall
from sojourn.cli.grammar import Noun
from sojourn.cli.options import number

app = typer.Typer(
    cls=Noun,
    help="List, show, add and change projects: weights, allocations, limits, members.",
    epilog="""Examples:
  sojourn projects show chem
  sojourn projects set chem --weight 3 --allocation 36000 --limit pending_per_user=50
  sojourn projects set chem --user ada=2 --admin ada""",
)


class _Plan(StrEnum):
    OPEN = "open"
    PREMIUM = "premium"


_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the project.")]
_Known = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the project.", autocompletion=completion.projects)
]
_Account = Annotated[
    str | None,
    typer.Option("--account", help="Account that it belongs to.", autocompletion=completion.accounts),
]
_Weight = Annotated[
    str | None, typer.Option("--weight", metavar="NUMBER", help="Its part within the account, 0 or more.")
]
_Allocation = Annotated[
    str | None,
    typer.Option(
        "--allocation", help="Device seconds in the fair-share window; 0: nothing runs, none: no limit."
    ),
]
_PlanOption = Annotated[_Plan | None, typer.Option("--plan", help="open or premium.")]
_Limit = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="NAME=VALUE", help="Its own limit; VALUE `default` removes it."),
]
_Tags = Annotated[
    str | None,
    typer.Option("--tags", metavar="TAG,TAG", help="Tags of the instance, all of them; '' removes them."),
]


@app.command("list")
@asks_server
def list_(
    context: Context,
) -> None:
    """List the projects: their weights, what they have used, who waits."""
    answer = context.api.get("/projects")
    if context.json:
        output.as_json(answer)
        return
    rows = [
        [
            p["name"],
            p["account"],
            f"{p['weight']:g}",
            output.duration(p["used_seconds"]),
            output.duration(p["allocation"]),
            f"{p['stored_mb']:.1f}",
            p["plan"],
            p["pending"],
        ]
        for p in answer["projects"]
    ]
    columns = ("project", "account", "weight>", "used>", "allocation>", "stored MB>", "plan", "pending>")
    output.table(columns, rows, empty="no projects")
    for p in answer["projects"]:
        if p["exhausted"]:
            output.line(f"{p['name']}: its allocation is used up; its jobs wait")


@app.command("show")
@asks_server
def show_(
    context: Context,
    name: _Known,
) -> None:
    """Show one project with its users and the limits in force."""
    _print(context.api.get(f"/projects/{quote(name, safe='')}"), context.json)


@app.command("add")
@asks_server
def add(
    context: Context,
    name: _Name,
    account: _Account = None,
    weight: _Weight = None,
    allocation: _Allocation = None,
    plan: _PlanOption = None,
    limit: _Limit = None,
    tags: _Tags = None,
) -> None:
    """Make a project ahead of its first user."""
    body = {"name": name, **_change(account, weight, allocation, plan, limit, tags)}
    _print(context.api.post("/projects", body), context.json)


@app.command("set")
@asks_server
def set_(
    context: Context,
    name: _Known,
    account: _Account = None,
    weight: _Weight = None,
    allocation: _Allocation = None,
    plan: _PlanOption = None,
    limit: _Limit = None,
    tags: _Tags = None,
    user: Annotated[
        list[str] | None,
        typer.Option("--user", metavar="USER=WEIGHT", help="Weight of a user within the project."),
    ] = None,
    admin: Annotated[
        list[str] | None,
        typer.Option("--admin", metavar="USER", help="A user who may make reservations for it."),
    ] = None,
    no_admin: Annotated[
        list[str] | None,
        typer.Option("--no-admin", metavar="USER", help="A user who may not make reservations any more."),
    ] = None,
) -> None:
    """Change a project; takes effect at once, for waiting jobs too."""
    members: dict[str, dict[str, Any]] = {}
    for who, value in _pairs("--user", user):
        members.setdefault(who, {})["weight"] = number(f"--user {who}", value)
    for names, may in ((admin, True), (no_admin, False)):
        for who in names or ():
            members.setdefault(who, {})["admin"] = may
    body = _change(account, weight, allocation, plan, limit, tags)
    if members:
        body["members"] = members
    if not body:
        raise WrongCall("nothing to change; `sojourn projects set --help` lists what can be")
    _print(context.api.patch(f"/projects/{quote(name, safe='')}", body), context.json)


@app.command("remove-user")
@asks_server
def remove_user(
    context: Context,
    name: _Known,
    user: Annotated[
        str, typer.Argument(metavar="USER", help="Name of the user.", autocompletion=completion.users)
    ],
    close_sessions: Annotated[
        bool,
        typer.Option("--close-sessions", help="Close the user's sessions there; their queued jobs fail."),
    ] = False,
    cancel_jobs: Annotated[
        bool, typer.Option("--cancel-jobs", help="Cancel the user's jobs there, also those that run.")
    ] = False,
) -> None:
    """Take a user out of a project, from the next request on, and list what of the user's goes on there."""
    body = {"close_sessions": close_sessions, "cancel_jobs": cancel_jobs}
    path = f"/projects/{quote(name, safe='')}/members/{quote(user, safe='')}/remove"
    answer = context.api.post(path, body)
    if context.json:
        output.as_json(answer)
        return
    output.line(f"{user} is not in {name} any more")
    again = f"sojourn projects remove-user {name} {user}"
    show_remains(answer, user, again, close_sessions=close_sessions, cancel_jobs=cancel_jobs)


def _change(
    account: str | None,
    weight: str | None,
    allocation: str | None,
    plan: _Plan | None,
    limits: list[str] | None,
    tags: str | None,
) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if account is not None:
        body["account"] = account
    if weight is not None:
        body["weight"] = number("--weight", weight)
    if allocation is not None:
        none = allocation.lower() == "none"
        body["allocation"] = None if none else number("--allocation", allocation)
    if plan is not None:
        body["plan"] = plan.value
    if limits:
        body["limits"] = {
            name: None if value == "default" else number(f"--limit {name}", value)
            for name, value in _pairs("--limit", limits)
        }
    if tags is not None:
        body["tags"] = [tag.strip() for tag in tags.split(",")] if tags.strip() else []
    return body


def _pairs(flag: str, texts: list[str] | None) -> Iterable[tuple[str, str]]:
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise WrongCall(f"{flag} {text!r}: it must be NAME=VALUE")
        yield name, value


def _print(project: Mapping[str, Any], json: bool) -> None:
    if json:
        output.as_json(project)
        return
    limits = [
        f"{name} {value:.15g}{' (its own)' if name in project['own_limits'] else ''}"
        if value
        else f"{name} none"
        for name, value in project["limits"].items()
    ]
    output.facts(
        [
            ("project", project["name"]),
            ("instance", project["instance"]),
            ("account", f"{project['account']} (weight {project['account_weight']:g})"),
            ("weight", f"{project['weight']:g}"),
            ("used", output.duration(project["used_seconds"])),
            ("allocation", output.duration(project["allocation"]) or "no limit"),
            ("stored", f"{project['stored_mb']:.6g} MB"),
            ("plan", project["plan"]),
            ("tags", ", ".join(project["tags"])),
            ("pending jobs", project["pending"]),
            ("limits", limits[0]),
            *((" ", limit) for limit in limits[1:]),
            ("configured", ", ".join(project["configured"])),
        ]
    )
    if project["exhausted"]:
        output.line("its allocation is used up; its jobs wait")
    rows = [
        [m["name"], f"{m['weight']:g}", m["admin"], output.duration(m["used_seconds"]), m["pending"]]
        for m in project["members"]
    ]
    output.table(("user", "weight>", "admin", "used>", "pending>"), rows, empty="no users")
