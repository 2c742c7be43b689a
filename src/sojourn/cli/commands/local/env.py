"""`sojourn env`: prints the variables with which an unmodified Qiskit program finds the server."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from sojourn.cli import output
from sojourn.cli.errors import CliError
from sojourn.cli.options import Config, Data, Json, Url, where
from sojourn.cli.refusals import sentence
from sojourn.client import Client, Unreachable
from sojourn.crn import is_crn
from sojourn.environment import Shell, around_proxies, render, variables


class _Shell(StrEnum):
    SH = "sh"
    FISH = "fish"
    POWERSHELL = "powershell"
    JSON = "json"


class _Way(StrEnum):
    A = "A"
    D = "D"


_EVALUATE = {
    "sh": 'eval "$(sojourn env)"',
    "fish": "sojourn env --shell fish | source",
    "powershell": "sojourn env --shell powershell | Out-String | Invoke-Expression",
}


def env(
    token: Annotated[
        str | None,
        typer.Option("--token", envvar="SOJOURN_TOKEN", help="API key; default: that of the user `local`."),
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(
            "--instance", help="Instance (project) by name or CRN; default: the only one of the user, or any."
        ),
    ] = None,
    shell: Annotated[_Shell, typer.Option("--shell", help="Shell that evaluates the output.")] = _Shell.SH,
    way: Annotated[
        _Way,
        typer.Option("--way", help="D: instances by name, several of them; A: one instance, fewer requests."),
    ] = _Way.D,
    url: Url = None,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Print the environment variables for an unmodified Qiskit program.

    eval "$(sojourn env)" and QiskitRuntimeService() connects to this server.
    """
    place = where(url, token, config, data)
    address = place.find_url()
    key = place.find_key("local")
    try:
        instance, remarks = _bind(Client(address, key), instance, way)
    except Unreachable as error:
        if way is _Way.A and not is_crn(instance or ""):
            raise
        output.note(f"warning: {sentence(error)}. The instance ({instance or 'auto'}) was not looked up")
        remarks = []
    found = variables(address, key, instance=instance, way=way.value) | around_proxies(address)
    chosen: Shell = "json" if json else shell.value
    sys.stdout.write(render(found, chosen, remarks) + "\n")  # for a shell, and of several lines
    if sys.stdout.isatty() and chosen in _EVALUATE:
        output.note(f"# to use them: {_EVALUATE[chosen]}")


def _bind(api: Client, wanted: str | None, way: _Way) -> tuple[str | None, list[str]]:
    """The CRN of the caller's instance `wanted`, a name or a CRN, or of the only one, and remarks on it.

    Only clients from 0.49 on look instances up by name or take "auto" for any of them. None when there are
    several, or "auto" is asked for, and way D lets the client choose; way A has the first one.
    """
    if wanted is not None and is_crn(wanted):
        return wanted, []
    if wanted == "auto":
        if way is _Way.D:
            return None, []
        wanted = None
    instances = api.get("/instances")["instances"]
    chosen = [each for each in instances if wanted in (None, each["name"])]
    if not chosen:
        known = ", ".join(each["name"] for each in instances) or "none"
        raise CliError(f"this key has no instance {wanted!r}; it has: {known}")
    if len(chosen) == 1 or way is _Way.A:
        only = ", the only one of this user" if len(instances) == 1 else ""
        others = [each["name"] for each in chosen[1:]]
        rest = f"; by --instance NAME it is one of: {', '.join(others)}" if others else ""
        return chosen[0]["crn"], [f"QISKIT_IBM_INSTANCE is the project {chosen[0]['name']}{only}{rest}"]
    return None, [
        "QISKIT_IBM_INSTANCE=auto is any of these; clients before 0.49 and QRMI need one, "
        "by --instance NAME:",
        *(f"{each['name']} {each['crn']}" for each in chosen),
    ]
