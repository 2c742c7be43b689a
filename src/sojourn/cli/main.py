"""Owns the shape of `sojourn …`: which commands there are and how they end; not what they do."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from sojourn.cli import output
from sojourn.cli.commands import audit, devices, jobs, projects, reservations, sessions, usage, users, why
from sojourn.cli.commands.local import database, demo, env, journal, policy, serve
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
app.add_typer(sessions.devices_app, name="devices")
app.add_typer(jobs.app, name="jobs")
app.add_typer(sessions.sessions_app, name="sessions")
app.command("why")(why.why)
app.command("pause")(devices.pause)
app.command("drain")(devices.drain)
app.command("maintain")(devices.maintain)
app.command("resume")(devices.resume)
app.command("calibrate")(devices.calibrate)
app.command("calibrations")(devices.calibrations)
app.command("reserve")(reservations.reserve)
app.command("calendar")(reservations.calendar)
app.add_typer(reservations.app, name="reservations")
app.command("policy")(policy.policy)
app.add_typer(journal.app, name="journal")
app.command("replay")(journal.replay)
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
            output.note(text if number else f"sojourn: {text}")
        sys.exit(error.code)
    except BrokenPipeError:
        # `sojourn jobs | head` is no fault; a closed stream keeps the interpreter quiet at exit.
        sys.stderr.close()
        sys.exit(0)
    sys.exit(0)
