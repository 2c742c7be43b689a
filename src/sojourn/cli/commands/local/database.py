"""`sojourn database …`: copies and checks the database file, whether the server runs or not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sojourn.cli import output
from sojourn.cli.errors import CliError
from sojourn.cli.options import Config, Data, Json, where

app = typer.Typer(
    no_args_is_help=True,
    help="Back up and check the database of a server.",
    epilog="""Examples:
  sojourn database backup /backups/monday.db --data /srv/sojourn
  sojourn database check --full""",
)


@app.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy to make; it must not exist yet.")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Copy the database, consistent as of one moment. The server may run.

    To restore: stop the server, put the copy in the data folder as sojourn.db, remove sojourn.db-wal and
    sojourn.db-shm there, start the server.
    """
    from rich.console import Console
    from rich.progress import Progress

    from sojourn.store.database.integrity import CopyFailed, copy

    database = database_of(config, data)
    try:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("Copying", total=None)
            copy(database, file, progress=lambda done, pages: bar.update(task, completed=done, total=pages))
    except CopyFailed as error:
        raise CliError(str(error)) from None
    output.note(f"{database} copied to {file} ({file.stat().st_size / 1e6:.3g} MB)")


@app.command("check")
def check(
    config: Config = None,
    data: Data = None,
    full: Annotated[
        bool, typer.Option("--full", help="Compare the indexes with the tables as well; takes longer.")
    ] = False,
    json: Json = False,
) -> None:
    """Look for damage in the database. The server may run. Ends with 1 when something is wrong."""
    from sojourn.store.database.integrity import NO_TABLES, faults, without_tables

    database = database_of(config, data)
    found = faults(database, thorough=full)
    if not found and without_tables(database):
        found = [f"it {NO_TABLES}"]
    if json:
        output.as_json({"database": str(database), "sound": not found, "faults": found})
    if found:
        advice = (
            "Stop the server, keep the file, and put a backup in its place "
            "(`sojourn database backup` makes them)."
        )
        raise CliError("\n".join([f"{database} is damaged:", *found, advice]))
    if not json:
        output.line(f"{database} is sound")


def database_of(config: Path | None, data: Path | None) -> Path:
    """The server's database file. CliError when there is none."""
    database = where(None, None, config, data).settings().server.data / "sojourn.db"
    if not database.is_file():
        raise CliError(f"there is no database {database}: name the server's folder with --data or --config")
    return database
