"""Owns the shape of `sojourn …`: which commands there are and how they end; not what they do."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from sojourn.cli import (
    audit,
    database,
    demo,
    env,
    jobs,
    look,
    operate,
    policy,
    projects,
    replay,
    reserve,
    serve,
    show,
    usage,
    users,
    why,
)
from sojourn.cli.errors import CliError

app = typer.Typer(
    name="sojourn",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A self-hosted quantum compute service: sessions, batches and a fair queue for Qiskit programs.",
)
app.command("serve")(serve.serve)
app.command("env")(env.env)
app.add_typer(users.app, name="users")
app.add_typer(projects.app, name="projects")
app.command("usage")(usage.usage)
app.command("audit")(audit.audit)
app.add_typer(look.devices_app, name="devices")
app.add_typer(jobs.app, name="jobs")
app.add_typer(look.sessions_app, name="sessions")
app.command("why")(why.why)
app.command("pause")(operate.pause)
app.command("drain")(operate.drain)
app.command("maintain")(operate.maintain)
app.command("resume")(operate.resume)
app.command("calibrate")(operate.calibrate)
app.command("calibrations")(operate.calibrations)
app.command("reserve")(reserve.reserve)
app.command("calendar")(reserve.calendar)
app.add_typer(reserve.app, name="reservations")
app.command("policy")(policy.policy)
app.add_typer(replay.app, name="journal")
app.command("replay")(replay.replay)
app.command("backup")(database.backup)
app.command("check")(database.check)
app.command("demo")(demo.demo)


def _version(wanted: bool) -> None:
    if wanted:
        from sojourn import __version__

        typer.echo(f"sojourn {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command. Ends the process: 0 done, 1 it could not be done, 2 it was called in a wrong way."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character of ours gets a question mark, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app(args=None if arguments is None else list(arguments))
    except CliError as error:
        for number, text in enumerate(str(error).split("\n")):
            show.note(text if number else f"sojourn: {text}")
        sys.exit(error.code)
    except BrokenPipeError:
        # `sojourn jobs | head` is no fault; a closed stream keeps the interpreter quiet at exit.
        sys.stderr.close()
        sys.exit(0)
    sys.exit(0)
