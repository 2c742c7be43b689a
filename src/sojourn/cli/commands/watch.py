"""`sojourn watch`: follows what happens, one line for each committed change."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from sojourn.cli import completion, output
from sojourn.cli.context import Context, asks_server


class Kind(StrEnum):
    """Kinds of events, as docs/events.md has them."""

    JOB = "job"
    SESSION = "session"
    DEVICE = "device"
    CALIBRATION = "calibration"
    RESERVATION = "reservation"


@asks_server
def watch(
    context: Context,
    device: Annotated[
        str | None,
        typer.Option("--device", "-d", help="Only of this device.", autocompletion=completion.devices),
    ] = None,
    job: Annotated[
        str | None, typer.Option("--job", help="Only of this job.", autocompletion=completion.pending_jobs)
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(
            "--session", help="Only of this session and its jobs.", autocompletion=completion.sessions
        ),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option("--project", help="Only of this project.", autocompletion=completion.projects),
    ] = None,
    kind: Annotated[
        list[Kind] | None, typer.Option("--kind", help="Only of this kind; may be repeated.")
    ] = None,
    after: Annotated[
        int | None,
        typer.Option("--after", min=0, metavar="ID", help="First what came behind the event of this id."),
    ] = None,
    past: Annotated[
        bool, typer.Option("--past", help="End with what there is now, and do not follow it.")
    ] = False,
) -> None:
    """Follow what happens to jobs, sessions, devices and reservations until Ctrl-C."""
    found = context.api.events(
        last_event_id=after,
        on_lost=lambda why: output.note(f"sojourn: {why}; trying again"),
        device=device,
        job=job,
        session=session,
        project=project,
        kind=[each.value for each in kind or ()] or None,
        follow="false" if past else None,
    )
    try:
        _print(found, context.json)
    except KeyboardInterrupt:
        return  # this is how it ends
    except BrokenPipeError:
        # So does a reader that has seen enough. What is left to be written at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print(events: Iterator[Mapping[str, Any]], json: bool) -> None:
    console = None
    if sys.stdout.isatty() and not json:
        from rich.console import Console

        console = Console(highlight=False)
    for event in events:
        if json:
            output.as_json_line(event)
        elif console is None:
            output.line("  ".join(text for text, _ in _parts(event)))
        else:
            from rich.text import Text

            parts = [Text(output.visible(text), style=style) for text, style in _parts(event)]
            console.print(Text("  ").join(parts), soft_wrap=True)
        sys.stdout.flush()  # whoever reads it wants it now


def _parts(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(text, style): when, where, what, from which state to which, whose, why."""
    moment = output.moment(event["at"])
    assert moment is not None, "an event has a time"
    whose = f"{event['user']} ({event['project']})" if event["user"] else event["project"]
    subject = event["subject"] if event["kind"] != "device" else ""
    change = f"{event['before'] or 'new'} → {event['after']}"
    parts = [
        (moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3], "dim"),
        (event["device"], ""),
        (f"{event['kind']} {subject}".rstrip(), ""),
        (change, output.STATE_STYLES.get(event["after"], "")),
        (whose or "", "dim"),
        (event["reason"] or "", ""),
    ]
    return [(text, style) for text, style in parts if text]
