"""`sojourn drivers …`: which drivers there are, whether one keeps its promises, and environments for them.

Needs no server.
"""

from __future__ import annotations

import sys
import tomllib
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any

import typer

from sojourn.cli import output
from sojourn.cli.errors import CliError, WrongCall
from sojourn.cli.grammar import Noun
from sojourn.cli.options import Config, Data, Json, where

app = typer.Typer(
    cls=Noun,
    help="List and check drivers; build environments for them.",
    epilog="""Examples:
  sojourn drivers
  sojourn drivers check lab --option qubits=5
  sojourn drivers make-env vendor --with vendor-driver""",
)

_Python = Annotated[
    str | None,
    typer.Option("--python", metavar="PATH", help="Another interpreter, as `python` of a device."),
]


@app.command("list")
def list_(python: _Python = None, json: Json = False) -> None:
    """List the drivers that are installed, and the packages that they come from."""
    from sojourn.cli.drivers.interpreters import told_by

    found = told_by(python)
    if json:
        output.as_json(found)
        return
    rows = [[each["name"], each["package"], each["version"], each["place"]] for each in found["drivers"]]
    output.table(("driver", "package", "version", "class"), rows, empty="no drivers are installed")


@app.command("check")
def check(
    driver: Annotated[str, typer.Argument(metavar="NAME", help="Name of the driver, as in `driver = …`.")],
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-o",
            metavar="KEY=VALUE",
            help="An option of the device, its value as in TOML; may be repeated.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="CHECK", help="Make this check and no others; may be repeated."),
    ] = None,
    python: _Python = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1.0, help="Longest time of one check.")
    ] = 60.0,
    memory_mb: Annotated[
        int | None,
        typer.Option("--memory-mb", min=0, help="Memory limit of one check; default: as of a device's run."),
    ] = None,
    json: Json = False,
) -> None:
    """Check that a driver keeps what a device needs. Ends with 1 when it does not.

    It runs in worker processes, as in a server: a driver that crashes or hangs costs its own check.
    """
    options = dict(_option(text) for text in option or ())
    from sojourn.cli.drivers.conduct import UnknownCheck, examine
    from sojourn.cli.drivers.interpreters import told_by
    from sojourn.execution.engine import DeviceUnavailable
    from sojourn.worker.protocol.memory import MB, run_memory

    known = told_by(python)["drivers"]
    found = next((each for each in known if each["name"] == driver), None)
    if found is None:
        names = ", ".join(each["name"] for each in known) or "none"
        raise CliError(f"there is no driver {driver!r}; installed are {names}")
    memory = run_memory() if memory_mb is None else memory_mb * MB
    try:
        report = examine(
            driver,
            options,
            only=only or (),
            python=python,
            limit=timeout,
            memory=memory,
            tell=lambda name: _progress(name, json),
        )
    except UnknownCheck as error:
        raise WrongCall(f"--only: {error}") from None
    except DeviceUnavailable as error:
        raise CliError(f"the checks cannot run: {error}") from None
    if json:
        output.as_json(
            {
                "driver": found,
                "options": options,
                "environment": report.environment,
                "sound": report.sound,
                "findings": [
                    {name: getattr(each, name) for name in each.__struct_fields__} for each in report.findings
                ],
            }
        )
    else:
        _show(found, report.environment, report.findings)
    if not report.sound:
        broken = [each.check for each in report.findings if each.verdict == "fail"]
        raise CliError(
            f"the driver {driver!r} fails {len(broken)} of {len(report.findings)} checks: {', '.join(broken)}"
        )


@app.command("make-env")
def make_env(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the environment: letters, digits, `.`, `_`, `-`.")
    ],
    packages: Annotated[
        list[str] | None,
        typer.Option(
            "--with", metavar="PACKAGE", help="What to install: a requirement or a path; may be repeated."
        ),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option("--python", metavar="PATH", help="Interpreter to build it with; default: this one."),
    ] = None,
    older: Annotated[
        bool,
        typer.Option(
            "--older-qiskit", help="Leave out what needs Qiskit 2.3, for packages that need an earlier one."
        ),
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FOLDER", help="Folder to build it in; default: beside the data."),
    ] = None,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Build an environment with the worker of this release and a driver's packages.

    Prints the lines for the configuration. A second call with the same packages changes nothing, but for the
    worker after an update of Sojourn.
    """
    from sojourn.cli.drivers.environments import build, folder_of

    folder = to if to is not None else folder_of(where(None, None, config, data).settings().server.data, name)
    made = build(folder.absolute(), name, packages or [], python, older=older, tell=output.note)
    if json:
        output.as_json(made)
        return
    drivers = [each["name"] for each in made["drivers"] if each["package"] != "sojourn-worker"]
    output.line("[[devices]]")
    output.line(f'name = "{name}"')
    output.line(f'driver = "{drivers[0] if drivers else "aer"}"')
    output.line(f'python = "{made["python"]}"')
    if not drivers:
        output.note("none of the packages has a driver; `aer` stands for one")
    elif len(drivers) > 1:
        output.note(f"it has the drivers {', '.join(drivers)}")


def _option(text: str) -> tuple[str, Any]:
    """`qubits=5` as a key and a value of TOML; what is no value of TOML is text, and so are dates."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise WrongCall(f"--option {text!r}: it must be KEY=VALUE, such as qubits=5")
    try:
        found = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        found = value.strip()
    return key.strip(), value.strip() if isinstance(found, date | time) else found


def _progress(name: str, json: bool) -> None:
    """On a terminal, so that a slow check does not look like a stop."""
    if not json and sys.stderr.isatty():
        output.note(f"checking: {name}")


def _show(found: dict[str, Any], environment: Any, findings: Any) -> None:
    package = " ".join(filter(None, (found["package"], found["version"])))
    output.line(
        f"{found['name']}: {found['place']} ({package or 'of no package'}), Python {environment['python']}, "
        f"Qiskit {environment['qiskit'] or 'none'}"
    )
    rows = [
        [each.verdict, each.check, output.duration(each.seconds), "; ".join(each.evidence)]
        for each in findings
    ]
    output.table(("verdict", "check", "took>", "evidence"), rows, empty="there are no checks")
    for each in findings:
        if each.verdict == "fail":
            output.line()
            output.line(f"{each.check} ({each.promise}):")
            for sentence in each.evidence:
                output.line(f"  {sentence}")
            for text in each.detail.strip().splitlines():
                output.line(f"    {text}")
