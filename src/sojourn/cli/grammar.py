"""Defines the grammar of the command line: `sojourn NOUN VERB`, a noun alone lists, old spellings work."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from typer.core import TyperCommand, TyperGroup

from sojourn.cli.output import note

Words: TypeAlias = tuple[str, ...]

RENAMED: Mapping[Words, Words] = {
    ("pause",): ("devices", "pause"),
    ("drain",): ("devices", "drain"),
    ("maintain",): ("devices", "maintain"),
    ("resume",): ("devices", "resume"),
    ("calibrate",): ("devices", "calibrate"),
    ("calibrations",): ("devices", "calibrations"),
    ("why",): ("jobs", "why"),
    ("reserve",): ("reservations", "add"),
    ("calendar",): ("reservations", "list"),
    ("users", "key"): ("keys",),
    ("projects", "account"): ("accounts", "list"),
    ("replay",): ("journal", "replay"),
    ("backup",): ("database", "backup"),
    ("check",): ("database", "check"),
}
"""Old spellings, and today's. An old one works, is not listed, and names the new one on standard error."""

WATCH_SECONDS = "2"
"""Between two answers where --watch does not say."""


def renamed(words: list[str]) -> tuple[Words, Words] | None:
    """The old spelling with which the words begin and the one of today; None when it is not an old one."""
    for old, new in RENAMED.items():
        if tuple(words[: len(old)]) == old:
            # It listed the accounts, and set the weight of one.
            sets = new == ("accounts", "list") and any(word.startswith("--weight") for word in words)
            return old, ("accounts", "set") if sets else new
    return None


class Program(TyperGroup):
    """`sojourn` itself. Typer has the classes of the parameters from one package or another."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if found := renamed(args):
            old, new = found
            if not ctx.resilient_parsing:
                note(f"sojourn: `sojourn {' '.join(old)}` is now `sojourn {' '.join(new)}`")
            args = [*new, *args[len(old) :]]
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """Nouns before the rest, so that the panels of the help come in the order of use."""
        return sorted(super().list_commands(ctx), key=lambda name: not isinstance(self.commands[name], Noun))


class Noun(TyperGroup):
    """A noun whose first verb is `list`, which it does as well when it stands alone or before a flag."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        alone = not args and not ctx.resilient_parsing  # the shell then wants to know the verbs
        if alone or (args and args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            known = {item.value for item in found}
            of_list = self.commands["list"].shell_complete(ctx, incomplete)
            found += [item for item in of_list if item.value not in known]
        return found


class Watchable(TyperCommand):
    """A list with the flag --watch, whose value may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, watched(args))


def watched(args: list[str]) -> list[str]:
    """The arguments with `--watch` made `--watch=2` unless a number follows it."""
    return [
        f"--watch={WATCH_SECONDS}" if arg == "--watch" and not re.fullmatch(r"\d*\.?\d+", after) else arg
        for arg, after in zip(args, [*args[1:], ""], strict=False)
    ]
