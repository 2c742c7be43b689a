"""`sojourn usage`: sums of the ledger as a table, JSON or CSV."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from sojourn.cli import completion, listing, output
from sojourn.cli.context import Context, asks_server
from sojourn.cli.errors import WrongCall
from sojourn.cli.options import Watch


class _By(StrEnum):
    USER = "user"
    PROJECT = "project"
    DEVICE = "device"
    KIND = "kind"
    SESSION = "session"
    JOB = "job"
    DAY = "day"


class _Kind(StrEnum):
    JOB = "job"
    HELD = "held"
    SYSTEM = "system"
    RESERVATION = "reservation"


_UNITS = {"m": 60, "h": 3600, "d": 86400}


@asks_server
def usage(
    context: Context,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", help="Begin: 2026-11-01, 2026-11-01T12:00 (UTC), or 7d ago (d, h, m); default 28d."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="End, not included, in the same forms; default now.")
    ] = None,
    by: Annotated[
        list[_By] | None,
        typer.Option(
            "--by", help="user (default), project, device, kind, session, job, day; may be repeated."
        ),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="Only of this user.", autocompletion=completion.users)
    ] = None,
    project: Annotated[
        str | None,
        typer.Option("--project", "-P", help="Only of this project.", autocompletion=completion.projects),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", "-d", help="Only of this device.", autocompletion=completion.devices),
    ] = None,
    kind: Annotated[
        _Kind | None, typer.Option("--kind", help="Only job, held, system or reservation.")
    ] = None,
    session: Annotated[
        str | None,
        typer.Option("--session", help="Only of this session.", autocompletion=completion.sessions),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    watch: Watch = None,
) -> None:
    """Sum up who has used the devices for how long, from the ledger."""
    if csv and watch is not None:
        raise WrongCall("--csv is printed once; give --csv or --watch, one of the two")

    def fetch() -> dict[str, Any]:
        now = datetime.now(UTC)
        period = {"from": _moment("--from", since, now), "to": _moment("--to", until, now)}
        answer: dict[str, Any] = context.api.get(
            "/usage",
            by=[each.value for each in by or (_By.USER,)],
            user=user,
            project=project,
            device=device,
            kind=kind.value if kind else None,
            session=session,
            **period,
        )
        return answer

    if csv and not context.json:
        _csv(fetch())
    else:
        listing.show(fetch, _page, json=context.json, watch=watch)


def _page(answer: dict[str, Any]) -> listing.Page:
    by = answer["by"]
    total = answer["total_seconds"]
    rows = [
        [
            *(row["keys"][key] for key in by),
            f"{row['seconds']:.3f}",
            output.duration(row["seconds"]),
            f"{100 * row['seconds'] / total:.1f}" if total else None,
        ]
        for row in answer["rows"]
    ]
    sums = [f"{total:.3f} s in all, {answer['from']} to {answer['to']}"] if rows else []
    return listing.Page((*by, "seconds>", "time>", "%>"), rows, empty="no usage in this period", lines=sums)


def _csv(answer: dict[str, Any]) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*answer["by"], "seconds", "entries"])
    for row in answer["rows"]:
        writer.writerow([*(row["keys"][key] or "" for key in answer["by"]), row["seconds"], row["entries"]])


def _moment(flag: str, text: str | None, now: datetime) -> str | None:
    """As ISO 8601 in UTC."""
    if text is None:
        return None
    try:
        if ago := re.fullmatch(r"(\d{1,6})([dhm])", text):
            return (now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])).isoformat()
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):  # the latter when it is more days ago than there are dates
        raise WrongCall(
            f"{flag} {text!r}: it must be a date (2026-11-01), a time (2026-11-01T12:00) or a span (7d, 12h)"
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()
