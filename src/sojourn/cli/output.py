"""Formats answers: tables that fit a terminal and are whole in a pipe, JSON, times and durations.

No text of a user's steers the terminal.
"""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

_GAP = 2
_SHORTEST = 4
_WIDEST = 1_000_000

STATE_STYLES = {
    "accepted": "cyan",
    "queued": "cyan",
    "running": "bold green",
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "open": "cyan",
    "active": "bold green",
    "inactive": "yellow",
    "pending_inactive": "yellow",
    "pending_closed": "yellow",
    "closed": "dim",
    "ready": "green",
    "busy": "bold green",
    "starting": "cyan",
    "paused": "yellow",
    "draining": "yellow",
    "maintenance": "yellow",
    "booked": "cyan",
    "ended": "dim",
}


_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Characters that a terminal obeys instead of showing them: escapes, line ends, directions of text."""


def visible(text: str) -> str:
    r"""The text with what would steer a terminal written out, as in `\x1b[31m`, `\n`, `\u202e`."""
    return text if text.isprintable() else "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _STEERING:
        return character
    return character.encode("unicode_escape").decode("ascii")


def as_json(value: object) -> None:
    """The server's own answer, indented; with JSON's own escapes for what would steer a terminal."""
    for each in json.dumps(value, indent=2, ensure_ascii=False).split("\n"):
        sys.stdout.write(_json_line(each))


def as_json_line(value: object) -> None:
    """The same on one line, for a program that reads one answer after another."""
    sys.stdout.write(_json_line(json.dumps(value, ensure_ascii=False)))


def _json_line(text: str) -> str:
    """Only strings can have such a character, and json has escaped those below 32."""
    return (text if text.isprintable() else "".join(map(_json_visible, text))) + "\n"


def _json_visible(character: str) -> str:
    return character if _visible(character) == character else json.dumps(character)[1:-1]


def line(text: str = "") -> None:
    sys.stdout.write(visible(text) + "\n")


def note(text: str) -> None:
    """For the human, not for the pipe."""
    sys.stderr.write(visible(text) + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print a table. In a pipe or a file nothing is cut: somebody may look for a name in there."""
    from rich.console import Console

    console = Console(highlight=False)
    if made := table_of(columns, rows, room=console.width if sys.stdout.isatty() else None):
        if not sys.stdout.isatty():
            # Rich takes a reader that has gone for an error; written by ourselves it is not one.
            console = Console(highlight=False, file=io.StringIO(), width=_WIDEST)
        with console.capture() as text:
            console.print(made)
        sys.stdout.write(text.get())
    else:
        note(empty)


def table_of(columns: Sequence[str], rows: Iterable[Sequence[object]], *, room: int | None) -> Table | None:
    """Columns whose name ends with `>` are right-aligned; states get a colour. None without a row.

    Where there is not `room` (characters) for all, the widest texts are cut; numbers and the first column,
    which names the row, never.
    """
    from rich.table import Table
    from rich.text import Text

    lines = [[_plain(cell) for cell in row] for row in rows]
    if not lines:
        return None
    widths = _needed(columns, lines)
    if room is not None:
        widths = _cut(columns, widths, room)
    made = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for name, width in zip(columns, widths, strict=True):
        made.add_column(
            name.rstrip(">"), justify="right" if name.endswith(">") else "left", no_wrap=True, width=width
        )
    for row in lines:
        made.add_row(*(Text(cell, style=STATE_STYLES.get(cell, "")) for cell in row))
    return made


def _needed(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> list[int]:
    """The width of each column's longest text."""
    from rich.cells import cell_len

    return [
        max(cell_len(cell) for cell in (name.rstrip(">"), *column))
        for name, column in zip(columns, zip(*lines, strict=True), strict=True)
    ]


def _whole(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _cut(columns: Sequence[str], needed: Sequence[int], room: int) -> list[int]:
    """What each column needs, less what is too much for `room` characters in all."""
    widths = list(needed)
    soft = [index for index, name in enumerate(columns) if index and not name.endswith(">")]
    for _ in range(_whole(widths) - room):
        widest = max(soft, key=lambda index: widths[index], default=None)
        if widest is None or widths[widest] <= _SHORTEST:
            break
        widths[widest] -= 1
    return widths


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Name and value, one a line; what is None or empty is left out."""
    shown = [(name, _plain(value)) for name, value in pairs if value not in (None, "", [], ())]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        line(f"{name:<{width}}  {value}")


def _plain(cell: object) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return visible(str(cell))


def moment(text: str | None) -> datetime | None:
    """A time of the own API: ISO 8601, UTC."""
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def duration(seconds: float | None) -> str | None:
    """`85ms`, `3.2s`, `47s`, `3m 05s`, `2h 05m`, `2h 46m 40s`, `3d 04h`: from ten seconds on exact to the
    second. What is left out at the end is zero."""
    if seconds is None:
        return None
    seconds = max(seconds, 0.0)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    days, hours = divmod(whole // 3600, 24)
    minutes, rest = divmod(whole % 3600, 60)
    parts = [f"{days}d", f"{hours:02d}h"] if days else [f"{hours}h", f"{minutes:02d}m"]
    if days and (minutes or rest):
        parts.append(f"{minutes:02d}m")
    if rest:
        parts.append(f"{rest:02d}s")
    return " ".join(parts)


def between(start: str | None, end: str | None, now: datetime) -> str | None:
    """Time from `start` to `end`, or to now while it lasts; None before the start."""
    begin = moment(start)
    if begin is None:
        return None
    return duration(((moment(end) or now) - begin).total_seconds())


def age(created: str | None, now: datetime) -> str | None:
    """How long ago, by its two largest units: nobody counts the seconds of last week."""
    exact = between(created, None, now)
    return None if exact is None else " ".join(exact.split()[:2])


def until(at: str | None, now: datetime) -> str | None:
    """`in 2m 05s`, by its two largest units; `now` for what is not ahead any more."""
    when = moment(at)
    if when is None:
        return None
    left = duration((when - now).total_seconds()) if when > now else None
    return "now" if left is None else "in " + " ".join(left.split()[:2])


def span(expected: Mapping[str, str | None] | None, now: datetime) -> str | None:
    """`in 2m 05s (80 %: in 1m 10s to in 6m 00s)`: half and eight of ten that may come."""
    if expected is None:
        return None
    latest = until(expected["latest"], now) or "perhaps never"
    return f"{until(expected['expected'], now)} (80 %: {until(expected['earliest'], now)} to {latest})"


def short(identity: str | None) -> str | None:
    """The end of an id, which distinguishes two of them."""
    return identity if identity is None or len(identity) <= 8 else f"…{identity[-7:]}"


def utc(text: str | None) -> str | None:
    """`2026-11-22 14:00`, with seconds only when there are any."""
    at = moment(text)
    if at is None:
        return None
    return at.strftime("%Y-%m-%d %H:%M:%S" if at.second else "%Y-%m-%d %H:%M")


def day(text: str | None) -> str | None:
    """As `utc`, without the year: `11-22 14:00` is short enough for a calendar."""
    whole = utc(text)
    return None if whole is None else whole.partition("-")[2]
