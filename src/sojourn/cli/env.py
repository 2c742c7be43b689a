"""Owns `sojourn env`: prints the variables with which an unmodified Qiskit program finds the server."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from sojourn.cli import show
from sojourn.cli.api import Api
from sojourn.cli.errors import CliError
from sojourn.cli.options import Config, Data, Json, Url, where
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
        typer.Option("--instance", help="Instance (project) by name or CRN; default: all of the user."),
    ] = None,
    shell: Annotated[_Shell, typer.Option("--shell", help="Who will read the lines.")] = _Shell.SH,
    way: Annotated[
        _Way,
        typer.Option("--way", help="D: instances by name, several of them; A: one instance, fewer requests."),
    ] = _Way.D,
    url: Url = None,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Print the environment of an unmodified Qiskit program.

    eval "$(sojourn env)" and QiskitRuntimeService() connects to this server.
    """
    place = where(url, token, config, data)
    address = place.find_url()
    key = place.find_key("local")
    if way is _Way.A and not (instance or "").startswith("crn:"):
        instance = _crn(Api(address, key), instance)
    found = variables(address, key, instance=instance, way=way.value) | around_proxies(address)
    chosen: Shell = "json" if json else shell.value
    sys.stdout.write(render(found, chosen) + "\n")  # for a shell, and of several lines
    if sys.stdout.isatty() and chosen in _EVALUATE:
        show.note(f"# to use them: {_EVALUATE[chosen]}")


def _crn(api: Api, name: str | None) -> str:
    """The CRN of the caller's instance `name`, or of the first one."""
    instances = api.get("/instances")["instances"]
    for instance in instances:
        if name is None or instance["name"] == name:
            return str(instance["crn"])
    known = ", ".join(instance["name"] for instance in instances) or "none"
    raise CliError(f"this key has no instance {name!r}; it has: {known}")
