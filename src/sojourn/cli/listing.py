"""Prints a list that a server gives, once or again and again: as a table, in place on a terminal, as JSON."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sojourn.cli import output


@dataclass(frozen=True, slots=True)
class Page:
    """A table, the lines below it, and notes that are for people only."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    empty: str
    lines: Sequence[str] = ()
    notes: Sequence[str] = ()


def show(
    fetch: Callable[[], Any], page: Callable[[Any], Page], *, json: bool, watch: float | None = None
) -> None:
    """Print what `fetch` answers, every `watch` seconds until Ctrl-C when that is given.

    With `json` the answer itself: indented, or a document a line when it is watched.
    """
    if watch is None:
        _print(fetch(), page, json)
        return
    try:
        if sys.stdout.isatty() and not json:
            _in_place(fetch, page, watch)
        else:
            _one_after_another(fetch, page, json, watch)
    except KeyboardInterrupt:
        # This is how it ends; a command that was interrupted in its work would end otherwise.
        return
    except BrokenPipeError:
        # So does a reader that has seen enough. What is left to be written at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print(answer: Any, page: Callable[[Any], Page], json: bool) -> None:
    if json:
        output.as_json(answer)
        return
    shown = page(answer)
    output.table(shown.columns, shown.rows, empty=shown.empty)
    for text in shown.lines:
        output.line(text)
    for text in shown.notes:
        output.note(text)


def _one_after_another(
    fetch: Callable[[], Any], page: Callable[[Any], Page], json: bool, watch: float
) -> None:
    while True:
        answer = fetch()
        if json:
            output.as_json_line(answer)
        else:
            _print(answer, page, json)
            output.line()
        sys.stdout.flush()  # whoever reads it wants it now
        time.sleep(watch)


def _in_place(fetch: Callable[[], Any], page: Callable[[Any], Page], watch: float) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            shown = page(fetch())
            body = output.table_of(shown.columns, shown.rows, room=console.width) or Text(shown.empty)
            below = [Text(output.visible(text)) for text in shown.lines]
            notes = [Text(output.visible(text), style="dim") for text in shown.notes]
            hint = Text(f"every {watch:g} s; Ctrl-C ends", style="dim")
            live.update(Group(body, *below, *notes, hint), refresh=True)
            time.sleep(watch)
