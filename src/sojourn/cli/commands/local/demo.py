"""`sojourn demo`: its flags. What happens is in sojourn.demo."""

from __future__ import annotations

from typing import Annotated

import typer

from sojourn.cli.errors import CliError
from sojourn.cli.options import Json


def demo(
    iterations: Annotated[
        int, typer.Option("--iterations", "-n", min=25, max=200, help="Iterations of each of the two runs.")
    ] = 30,
    keep: Annotated[
        bool, typer.Option("--keep", help="Stay up at the end, with the dashboard, until Ctrl-C.")
    ] = False,
    json: Json = False,
) -> None:
    """Watch a session keep a device: a real VQE against another user's flood of jobs."""
    from sojourn.demo.conduct import DemoFailed, run

    try:
        run(iterations, as_json=json, keep=keep)
    except DemoFailed as error:
        raise CliError(str(error)) from None
