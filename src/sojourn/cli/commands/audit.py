"""`sojourn audit`: who administrated what, when, and from where."""

from __future__ import annotations

from typing import Annotated

import typer

from sojourn.cli import completion, output
from sojourn.cli.context import Context, asks_server


@asks_server
def audit(
    context: Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many, the newest.")] = 50,
    by: Annotated[
        str | None, typer.Option("--by", help="Only what this user did.", autocompletion=completion.users)
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", help="Only this action, or the kind before its dot: key, user.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="Only what was done to this: 'user ada', 'device aer'.")
    ] = None,
    address: Annotated[
        str | None, typer.Option("--from", metavar="ADDRESS", help="Only what came from this address.")
    ] = None,
    after: Annotated[
        str | None, typer.Option("--after", help="Only from this time on: 2026-11-22T14:00 (UTC).")
    ] = None,
) -> None:
    """Show who did what when to whom from where, the newest last (operators)."""
    answer = context.api.get(
        "/audit", limit=limit, by=by, action=action, subject=subject, address=address, after=after
    )
    if context.json:
        output.as_json(answer)
        return
    rows = [
        [
            output.utc(entry["at"]),
            entry["by"],
            entry["address"],
            entry["action"],
            entry["subject"],
            ", ".join(f"{name}={_worded(value)}" for name, value in entry["detail"].items()),
        ]
        for entry in reversed(answer["entries"])
    ]
    output.table(("at (UTC)", "by", "from", "action", "subject", "detail"), rows, empty="nothing on record")


def _worded(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_worded(inner)}" for name, inner in value.items()) + "}"
    return f"{value:.15g}" if isinstance(value, float) else str(value)
