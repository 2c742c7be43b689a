"""Puts the commands of `sojourn …` together, and says how they end; not what they do."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from sojourn.cli import output
from sojourn.cli.commands import (
    accounts,
    audit,
    devices,
    jobs,
    keys,
    leases,
    projects,
    reservations,
    sessions,
    usage,
    users,
    watch,
    webhooks,
)
from sojourn.cli.commands.local import database, demo, drivers, env, journal, policy, serve
from sojourn.cli.commands.top import command as top
from sojourn.cli.errors import CliError
from sojourn.cli.grammar import Program, Watchable
from sojourn.cli.refusals import sentence
from sojourn.client import ClientError

app = typer.Typer(
    name="sojourn",
    cls=Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""A self-hosted quantum compute service: sessions, batches and a fair queue for Qiskit programs.

    A noun alone lists: `sojourn jobs` is `sojourn jobs list`.""",
    epilog="""Examples:
  sojourn serve --config sojourn.toml
  sojourn devices --watch
  sojourn jobs why JOB""",
)

_WORK = "Devices and jobs"
_PEOPLE = "Users and usage"
_SERVER = "The server"

app.add_typer(devices.app, name="devices", rich_help_panel=_WORK)
app.add_typer(jobs.app, name="jobs", rich_help_panel=_WORK)
app.add_typer(sessions.app, name="sessions", rich_help_panel=_WORK)
app.add_typer(reservations.app, name="reservations", rich_help_panel=_WORK)
app.add_typer(leases.app, name="leases", rich_help_panel=_WORK)
app.command("top", rich_help_panel=_WORK)(top.top)
app.command("watch", rich_help_panel=_WORK)(watch.watch)
app.add_typer(users.app, name="users", rich_help_panel=_PEOPLE)
app.add_typer(keys.app, name="keys", rich_help_panel=_PEOPLE)
app.add_typer(projects.app, name="projects", rich_help_panel=_PEOPLE)
app.add_typer(accounts.app, name="accounts", rich_help_panel=_PEOPLE)
app.add_typer(webhooks.app, name="webhooks", rich_help_panel=_PEOPLE)
app.command("usage", cls=Watchable, rich_help_panel=_PEOPLE)(usage.usage)
app.command("audit", rich_help_panel=_PEOPLE)(audit.audit)
app.command("serve", rich_help_panel=_SERVER)(serve.serve)
app.command("env", rich_help_panel=_SERVER)(env.env)
app.command("policy", rich_help_panel=_SERVER)(policy.policy)
app.command("demo", rich_help_panel=_SERVER)(demo.demo)
app.add_typer(journal.app, name="journal", rich_help_panel=_SERVER)
app.add_typer(database.app, name="database", rich_help_panel=_SERVER)
app.add_typer(drivers.app, name="drivers", rich_help_panel=_SERVER)


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
        app(args=None if arguments is None else list(arguments), prog_name="sojourn")
    except CliError as error:
        _fail(str(error), error.code)
    except ClientError as error:
        _fail(sentence(error), 1)
    except BrokenPipeError:
        # `sojourn jobs | head` is no fault; a closed stream keeps the interpreter quiet at exit.
        sys.stderr.close()
        sys.exit(0)
    sys.exit(0)


def _fail(message: str, code: int) -> NoReturn:
    for number, text in enumerate(message.split("\n")):
        output.note(text if number else f"sojourn: {text}")
    sys.exit(code)
