"""Small parts of pages: tables, lists of facts, times, questions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from nicegui import ui

from sojourn.dashboard.upstream import UpstreamError


def when(at: str | None) -> str:
    """How long ago, or in how long."""
    if at is None:
        return "never"
    seconds = (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()
    text = lasting(abs(seconds))
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def lasting(seconds: float) -> str:
    """`3.2 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def stamp_text(at: str) -> str:
    return datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M:%S UTC")


def heading(text: str, level: int = 1, mono: str = "") -> None:
    """`mono` is an id that follows the text."""
    more = f' <span class="mono">{escape(mono)}</span>' if mono else ""
    ui.html(f"<h{level}>{escape(text)}{more}</h{level}>", sanitize=False)


def facts(holder: ui.element, named: Mapping[str, str | None]) -> None:
    """Names and values, without those that are None."""
    rows = "".join(
        f'<dt class="quiet">{escape(name)}</dt><dd style="margin: 0">{escape(value)}</dd>'
        for name, value in named.items()
        if value is not None
    )
    holder.clear()
    with holder:
        style = "display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: 0"
        ui.html(f'<dl style="{style}">{rows}</dl>', sanitize=False)


def table(
    holder: ui.element,
    columns: Mapping[str, str],
    rows: Iterable[Mapping[str, Any]],
    *,
    link: str = "name",
    empty: str,
) -> None:
    """A plain table; the column `link` leads to the row's `link`. `empty` says what to do without rows."""
    found = list(rows)
    holder.clear()
    with holder:
        if not found:
            ui.label(empty).classes("panel quiet")
            return
        head = "".join(
            f'<th scope="col" class="text-left q-pr-md">{escape(n)}</th>' for n in columns.values()
        )
        body = "".join(
            "<tr>" + "".join(f'<td class="q-pr-md">{_cell(row, key, link)}</td>' for key in columns) + "</tr>"
            for row in found
        )
        ui.html(
            f'<div class="panel" style="overflow-x: auto"><table style="border-spacing: 0 .3rem">'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>",
            sanitize=False,
        )


def _cell(row: Mapping[str, Any], key: str, link: str) -> str:
    text = escape("" if row.get(key) is None else str(row[key]))
    if key == link and row.get("link"):
        return f'<a class="plain" href="{escape(row["link"])}">{text}</a>'
    return text


def ask(question: str, then: Callable[[], Awaitable[None]]) -> None:
    """A question before what somebody might regret."""
    with ui.dialog() as dialog, ui.card():
        ui.label(question)

        async def yes() -> None:
            dialog.close()
            try:
                await then()
            except UpstreamError as error:
                ui.notify(str(error), type="negative")

        with ui.row():
            ui.button("Yes", on_click=yes).props("no-caps")
            ui.button("No", on_click=dialog.close).props("no-caps flat autofocus")
    dialog.open()
