"""Gives every command that calls a server the shared flags, and a client of the server that they name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from sojourn.cli.connection import Where
from sojourn.cli.errors import WrongCall
from sojourn.cli.options import Config, Data, Json, Token, Url, where
from sojourn.client import Client


@dataclass(frozen=True, slots=True)
class Context:
    """The server to ask, and whether the answer is printed as JSON."""

    where: Where
    json: bool

    @property
    def api(self) -> Client:
        """The server's own API, called as the operator unless a key is given; CliError without a key."""
        return Client(self.where.find_url(), self.where.find_key("operator"))


def _context(
    url: Url = None, token: Token = None, config: Config = None, data: Data = None, json: Json = False
) -> Context:
    return Context(where(url, token, config, data), json)


def _check(said: object) -> None:
    """Bytes that are no text reach us as lone surrogates, and none of those can be sent."""
    if isinstance(said, str) and any("\ud800" <= character <= "\udfff" for character in said):
        raise WrongCall(f"{said!r} is not text in UTF-8; write it in UTF-8")


_FLAGS = inspect.signature(_context, eval_str=True).parameters


def asks_server(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose first parameter is a `Context`, made of the flags that are added after its own."""

    @wraps(command)
    def run(**said: Any) -> None:
        context = _context(**{flag: said.pop(flag) for flag in _FLAGS})
        for each in said.values():
            for text in each if isinstance(each, list) else [each]:
                _check(text)
        command(context, **said)

    signature = inspect.signature(command, eval_str=True)
    _, *own = signature.parameters.values()
    parameters = [*own, *_FLAGS.values()]
    # Typer reads both: the one for the order and the defaults, the other for the types.
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
    return run
