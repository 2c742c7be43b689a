"""Finds a program by its name: those of Sojourn, and those that other packages install.

Importing this module imports the programs of Sojourn, so that a fork server has them before it forks. Those
of other packages are loaded by the worker whose job names one first.
"""

from __future__ import annotations

import sys
import traceback
from importlib import import_module

from sojourn import codes, programs
from sojourn.worker.programs.base import Program
from sojourn.worker.protocol.types import JobRefused, no_such_program


def load(place: str) -> Program:
    """The program at ``module:name``. Raises whatever its import raises, and TypeError for another object."""
    module, _, name = place.partition(":")
    found = getattr(import_module(module), name)
    if not isinstance(found, Program):
        raise TypeError(f"{place} is not a sojourn.worker.programs.base.Program")
    return found


_loaded = {known.name: load(known.place) for known in programs.PRIMITIVES if known.place is not None}


def built_in() -> tuple[Program, ...]:
    """The programs of Sojourn itself."""
    return tuple(_loaded[known.name] for known in programs.PRIMITIVES if known.place is not None)


def find(name: str) -> Program:
    """The program called `name`. Raises `JobRefused` when there is none, or it cannot be loaded."""
    program = _loaded.get(name)
    if program is None:
        place = programs.installed().get(name)
        if place is None:
            raise no_such_program(name)
        program = _loaded[name] = _installed(name, place)
    return program


def _installed(name: str, place: str) -> Program:
    try:
        return load(place)
    except Exception as error:
        traceback.print_exc(file=sys.stderr)  # to the server's log, for the operator
        raise JobRefused(
            f"The program {name!r} ({place}) cannot be loaded on this device: "
            f"{type(error).__name__}: {error}",
            codes.UNKNOWN_PROGRAM,
        ) from error
