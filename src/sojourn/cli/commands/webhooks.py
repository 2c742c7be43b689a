"""`sojourn webhooks …`: where a project's events are delivered; for its admins and for operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from sojourn.cli import completion, output
from sojourn.cli.commands.watch import Kind
from sojourn.cli.context import Context, asks_server
from sojourn.cli.errors import WrongCall
from sojourn.cli.grammar import Noun

COLUMNS = ("webhook", "enabled", "url", "kinds", "up to>", "failures>", "next attempt (UTC)")

app = typer.Typer(
    cls=Noun,
    help="Deliver a project's events to an address: add, list, change, replay, remove.",
    epilog="""Examples:
  sojourn webhooks add chem https://ci.example.org/sojourn --kind job
  sojourn webhooks list chem
  sojourn webhooks replay chem WEBHOOK --after 4711""",
)
_Project = Annotated[
    str | None,
    typer.Argument(
        metavar="[PROJECT]",
        help="Name of the project. Default: that of the key.",
        autocompletion=completion.projects,
    ),
]
_Named = Annotated[
    str, typer.Argument(metavar="PROJECT", help="Name of the project.", autocompletion=completion.projects)
]
_Webhook = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Id of the webhook.")]
_Kind = Annotated[
    list[Kind] | None, typer.Option("--kind", help="Only events of this kind; may be repeated. Default: all.")
]


@app.command("list")
@asks_server
def list_(context: Context, project: _Project = None) -> None:
    """List the webhooks of a project."""
    answer = context.api.get(_path(project or context.api.get("/me")["project"]))
    if context.json:
        output.as_json(answer)
        return
    output.table(COLUMNS, [_row(hook) for hook in answer["webhooks"]], empty="no webhooks")
    for hook in answer["webhooks"]:
        if why := hook["disabled"] or hook["error"]:
            output.line(f"{hook['id']}: {why}")


@app.command("add")
@asks_server
def add(
    context: Context,
    project: _Named,
    address: Annotated[str, typer.Argument(metavar="URL", help="Where to, https://HOST/PATH.")],
    kind: _Kind = None,
) -> None:
    """Deliver what happens from now on; prints the secret, which is shown only now."""
    body = {"url": address, "kinds": [each.value for each in kind or ()]}
    made = context.api.post(_path(project), body)
    if context.json:
        output.as_json(made)
        return
    output.facts([("webhook", made["id"]), ("url", made["url"]), ("secret", made["secret"])])


@app.command("set")
@asks_server
def set_(
    context: Context,
    project: _Named,
    webhook: _Webhook,
    address: Annotated[str | None, typer.Option("--to", metavar="URL", help="Another address.")] = None,
    kind: _Kind = None,
    every_kind: Annotated[bool, typer.Option("--every-kind", help="Events of all kinds.")] = False,
    new_secret: Annotated[
        bool, typer.Option("--new-secret", help="Sign with a new secret from now on; prints it.")
    ] = False,
) -> None:
    """Change the address, the kinds or the secret."""
    if kind and every_kind:
        raise WrongCall("give --kind or --every-kind, one of the two")
    body: dict[str, Any] = {"url": address, "new_secret": new_secret}
    if kind or every_kind:
        body["kinds"] = [each.value for each in kind or ()]
    _changed(context, context.api.patch(_path(project, webhook), body))


@app.command("enable")
@asks_server
def enable(context: Context, project: _Named, webhook: _Webhook) -> None:
    """Go on with one that is disabled, where it was, and try at once."""
    _changed(context, context.api.patch(_path(project, webhook), {"enabled": True}))


@app.command("disable")
@asks_server
def disable(context: Context, project: _Named, webhook: _Webhook) -> None:
    """Deliver nothing until it is enabled again; nothing is lost by that."""
    _changed(context, context.api.patch(_path(project, webhook), {"enabled": False}))


@app.command("replay")
@asks_server
def replay(
    context: Context,
    project: _Named,
    webhook: _Webhook,
    after: Annotated[
        int, typer.Option("--after", min=0, metavar="ID", help="Everything behind the event of this id.")
    ],
) -> None:
    """Deliver events once more."""
    _changed(context, context.api.post(f"{_path(project, webhook)}/replay", {"after": after}))


@app.command("remove")
@asks_server
def remove(context: Context, project: _Named, webhook: _Webhook) -> None:
    """Deliver nothing any more, and forget it."""
    gone = context.api.delete(_path(project, webhook))
    if context.json:
        output.as_json(gone)
    else:
        output.line(f"{gone['id']} is removed")


def _path(project: str, webhook: str | None = None) -> str:
    path = f"/projects/{quote(project, safe='')}/webhooks"
    return path if webhook is None else f"{path}/{quote(webhook, safe='')}"


def _changed(context: Context, hook: Mapping[str, Any]) -> None:
    if context.json:
        output.as_json(hook)
        return
    output.table(COLUMNS, [_row(hook)], empty="")
    if hook.get("secret"):
        output.line(f"secret  {hook['secret']}")


def _row(hook: Mapping[str, Any]) -> list[object]:
    return [
        hook["id"],
        hook["enabled"],
        hook["url"],
        ", ".join(hook["kinds"]) or "all",
        hook["last_event_id"],
        hook["failures"],
        output.utc(hook["next_attempt"]),
    ]
