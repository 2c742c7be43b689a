"""`sojourn serve`: settings from three layers, then the server, imported only then."""

from __future__ import annotations

from typing import Annotated

import typer

from sojourn.cli.errors import CliError
from sojourn.cli.options import Config, Data


def serve(
    config: Config = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", "-p", help="TCP port; 0 takes a free one.")] = None,
    data: Data = None,
    stop_with_stdin: Annotated[
        bool,
        typer.Option(
            "--stop-with-stdin", help="Stop when standard input ends, with the program that holds it."
        ),
    ] = False,
) -> None:
    """Start the server and serve until it is stopped.

    Flags win over SOJOURN_… variables, those over the configuration file.

    Without any: three simulated devices on 127.0.0.1:8420 and ./sojourn-data.
    """
    from sojourn.config import ConfigError, load

    try:
        settings = load(config, {"server": {"host": host, "port": port, "data": data}})
    except ConfigError as error:
        raise CliError(str(error)) from None
    from sojourn.api.server import serve as run
    from sojourn.service.errors import ServiceFailed

    try:
        run(settings, tied=stop_with_stdin)
    except OSError as error:
        # An address that is taken, a data folder that cannot be written: for the user to fix.
        raise CliError(error.strerror or str(error)) from None
    except ServiceFailed as error:
        raise CliError(str(error)) from None
