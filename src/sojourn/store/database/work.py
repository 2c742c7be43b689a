"""What is done on a connection: functions that take it first, and calls of them that wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")

Work = Callable[[Connection], T]
"""A call that lacks only its connection."""


def bound(function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> Work[T]:
    """The call of `function` with these arguments after the connection. `functools.partial` would take the
    first of them for the connection."""

    def run(connection: Connection) -> T:
        return function(connection, *args, **kwargs)

    return run


def mapped(work: Work[T], make: Callable[[T], U]) -> Work[U]:
    """The call, and then `make` of what it answers, on the same thread."""

    def run(connection: Connection) -> U:
        return make(work(connection))

    return run


def run_all(connection: Connection, *works: Work[object]) -> None:
    """Several in one transaction, in this order."""
    for work in works:
        work(connection)
