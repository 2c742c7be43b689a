"""The errors that end a command: a sentence on standard error and an exit code, no traceback."""

from __future__ import annotations

from typing import ClassVar


class CliError(Exception):
    """Ends the command with its exit code and its message."""

    code: ClassVar[int] = 1


class WrongCall(CliError):
    """The command sees by itself that it was called in a wrong way."""

    code = 2
