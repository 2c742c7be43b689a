"""Small parts of pages: tables, lists of facts, questions."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from html import escape
from typing import Any

from nicegui import ui

from sojourn.dashboard.moments import Html, html
from sojourn.dashboard.upstream import UpstreamError

SHORT = 24
"""Characters of a cell that is not broken into lines."""
_TAG = re.compile(r"<[^>]*>")


def heading(text: str, level: int = 1, mono: str = "") -> None:
    """`mono` is an id that follows the text."""
    more = f' <span class="mono">{escape(mono)}</span>' if mono else ""
    ui.html(f"<h{level}>{escape(text)}{more}</h{level}>", sanitize=False)


def facts(holder: ui.element, values: Mapping[str, str | None]) -> None:
    """Names above their values, beside each other as far as there is room."""
    pairs = "".join(
        f'<div><dt class="quiet">{escape(name)}</dt><dd>{html(value)}</dd></div>'
        for name, value in values.items()
        if value is not None
    )
    put(holder, f'<dl class="facts">{pairs}</dl>')


def named(values: Mapping[str, str | None]) -> Html:
    """Names beside their values, in lines, without those that are None."""
    rows = "".join(
        f'<dt class="quiet">{escape(name)}</dt><dd style="margin: 0">{html(value)}</dd>'
        for name, value in values.items()
        if value is not None
    )
    style = "display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: 0"
    return Html(f'<dl style="{style}">{rows}</dl>')


def put(holder: ui.element, content: str) -> None:
    """Show this HTML alone. What is there already stays: who is at a link with the keyboard stays there."""
    found = holder.default_slot.children
    if len(found) == 1 and isinstance(found[0], ui.html):
        if found[0].content != content:
            found[0].set_content(content)
        return
    holder.clear()
    with holder:
        ui.html(content, sanitize=False)


def table(
    holder: ui.element,
    columns: Mapping[str, str],
    rows: Iterable[Mapping[str, Any]],
    *,
    link: str = "name",
    empty: str,
) -> None:
    """A plain table; the column `link` leads to the row's `link`. A column that is empty in all rows is left
    out. `empty` says what to do without rows."""
    found = list(rows)
    if not found:
        put(holder, f'<div class="panel quiet">{escape(empty)}</div>')
        return
    used = [key for key in columns if any(row.get(key) not in (None, "") for row in found)]
    head = "".join(f'<th scope="col">{escape(columns[key])}</th>' for key in used)
    body = "".join("<tr>" + "".join(_cell(row, key, link) for key in used) + "</tr>" for row in found)
    put(
        holder,
        f'<div class="panel" style="overflow-x: auto"><table class="list">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>",
    )


def _cell(row: Mapping[str, Any], key: str, link: str) -> str:
    text = html(row.get(key))
    if key == link and row.get("link"):
        text = Html(f'<a class="plain" href="{escape(row["link"])}">{text}</a>')
    whole = ' class="whole"' if len(_TAG.sub("", text)) <= SHORT else ""
    return f"<td{whole}>{text}</td>"


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
