"""`sojourn journal …`: exports the record of a server's queues, and checks one.

Reads the database file itself, so that a record can be taken of a server that does not start any more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Annotated

import typer

from sojourn.cli import output
from sojourn.cli.commands.local.database import database_of
from sojourn.cli.errors import CliError
from sojourn.cli.options import Config, Data, Json

app = typer.Typer(
    no_args_is_help=True,
    help="Export the journal of events and decisions of the queues, and replay one.",
    epilog="""Examples:
  sojourn journal export queue.jsonl --data /srv/sojourn
  sojourn journal replay queue.jsonl""",
)


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; - is standard output.")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Write the journal to a file, a JSON object a line. The server may run."""
    from sojourn.journal.recorder import export as lines
    from sojourn.store.journal import count_journal

    database = database_of(config, data)
    if not count_journal(database):
        raise CliError(
            f"nothing is recorded in {database}: set journal = true in [server] and start the server again"
        )
    count = 0
    with _opened(file, "wb") as out:
        for line in lines(database):
            out.write(line)
            count += 1
    output.note(f"{count} lines written to {file}")


@app.command("replay")
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An exported journal; - is standard input.")],
    json: Json = False,
) -> None:
    """Replay a journal and check that the policy core takes the same decisions. Does not need a server."""
    from sojourn.journal import replay as run

    with _opened(file, "rb") as lines:
        try:
            report = run(lines)
        except ValueError as error:
            raise CliError(f"{file}: {error}") from None
    found = report.difference
    if found is None and not report.events:
        raise CliError(
            f"{file} contains no events, so there is nothing to replay. `sojourn journal export` writes "
            "what a server recorded"
        )
    if json:
        table = asdict(report) | {"devices": sorted(report.devices), "events_per_second": report.rate}
        output.as_json(table)
    else:
        output.line(
            f"{report.events} events of {len(report.devices)} devices in {report.lives} lives, "
            f"{report.decisions} decisions, {report.seconds:.2f} s ({report.rate:,.0f} events/s)"
        )
    if found is None:
        output.note("The core takes the same decisions.")
        return
    if not json:
        output.line(f"First difference: line {found.number}, device {found.device}, at {found.at:.6f}")
        output.line(f"  event: {found.event}")
        for title, decisions in (("then", found.then), ("now", found.now)):
            for sentence in decisions or ("nothing",):
                output.line(f"  {title:>5}: {sentence}")
    raise CliError(f"line {found.number} of {file} is decided differently now")


@contextmanager
def _opened(file: Path, mode: str) -> Iterator[IO[bytes]]:
    if str(file) == "-":
        yield sys.stdin.buffer if mode == "rb" else sys.stdout.buffer
        return
    try:
        handle = file.open(mode)
    except OSError as error:
        raise CliError(f"{file}: {error.strerror}") from None
    with handle:
        yield handle
