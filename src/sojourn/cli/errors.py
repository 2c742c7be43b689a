"""Owns how the command line ends: a user's mistake is a sentence on stderr and a number, no traceback."""

from __future__ import annotations


class CliError(Exception):
    """Ends the command with exit code 1 and its message."""
