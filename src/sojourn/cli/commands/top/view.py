"""The view of `sojourn top`: three tables that follow the server, and keys that act on the chosen row.

An act asks once. What the server refuses is shown, and so is that it does not answer; the last answer stays.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.coordinate import Coordinate
from textual.screen import ModalScreen, Screen
from textual.widgets import DataTable, Footer, Static

from sojourn.cli import output
from sojourn.cli.commands.top import snapshot
from sojourn.cli.commands.top.snapshot import Row, Snapshot
from sojourn.cli.refusals import sentence
from sojourn.client import Client, ClientError

TICK = 1.0
"""Seconds between two steps of the clocks."""


class Ask(ModalScreen[bool]):
    """A question that is answered by y or n."""

    CSS = """
    Ask { align: center middle; }
    Ask > Vertical {
        width: 70; max-width: 90%; height: auto; padding: 1 2; border: solid $warning; background: $surface;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(output.visible(self._question), markup=False)
            yield Static("y  yes     n  no", markup=False)

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class Top(App[None]):
    """`every`: seconds between two questions to the server."""

    CSS = """
    #head { height: 1; background: $panel; }
    .title { height: 1; color: $accent; }
    #devices { height: auto; max-height: 30%; }
    #jobs { height: 2fr; }
    #sessions { height: 1fr; }
    """
    TITLE = "sojourn top"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
        Binding("tab", "app.focus_next", "Next table", show=True),
        Binding("c", "cancel", "Cancel job"),
        Binding("x", "close", "Close session"),
        Binding("p", "pause", "Pause or resume device"),
        Binding("r", "refresh", "Refresh"),
    ]

    def __init__(self, api: Client, *, every: float) -> None:
        super().__init__()
        self._api = api
        self._every = every
        self._snapshot: Snapshot | None = None
        self._wrong = ""
        self._asking = False
        self._shown: dict[str, list[str]] = {}  # the ids of the rows of each table

    def compose(self) -> ComposeResult:
        yield Static("", id="head", markup=False)
        yield Static("Devices", classes="title", markup=False)
        yield _table("devices")
        yield Static("Jobs that have not ended", id="jobs-title", classes="title", markup=False)
        yield _table("jobs")
        yield Static("Sessions and batches", classes="title", markup=False)
        yield _table("sessions")
        yield Footer()

    def on_mount(self) -> None:
        columns = {"devices": snapshot.DEVICES, "jobs": snapshot.JOBS, "sessions": snapshot.SESSIONS}
        for name, labels in columns.items():
            self._table(name).add_columns(*(label.rstrip(">") for label in labels))
        self.set_interval(TICK, self._draw)
        self.set_interval(self._every, self.action_refresh)
        self._table("jobs").focus()
        self.action_refresh()

    def _table(self, name: str) -> DataTable[Text]:
        table: DataTable[Text] = self._main.query_one(f"#{name}", DataTable)
        return table

    @property
    def _main(self) -> Screen[object]:
        """The tables, also while a question is asked before them."""
        return self.screen_stack[0]

    # the server's answers

    def action_refresh(self) -> None:
        if not self._asking:  # a server that is slow is not asked twice at a time
            self._asking = True
            self.run_worker(self._fetch())

    async def _fetch(self) -> None:
        try:
            self._snapshot = await asyncio.to_thread(snapshot.take, self._api)
            self._wrong = ""
        except ClientError as error:
            self._wrong = sentence(error)
        finally:
            self._asking = False
        self._draw()

    def _draw(self) -> None:
        shown, now, at = self._snapshot, snapshot.now(), time.monotonic()
        self._main.query_one("#head", Static).update(Text(self._head(shown, at), no_wrap=True))
        if shown is None:
            return
        more = f" ({len(shown.jobs)} of {shown.count})" if shown.count > len(shown.jobs) else ""
        self._main.query_one("#jobs-title", Static).update(Text(f"Jobs that have not ended{more}"))
        self._fill("devices", shown.device_rows())
        self._fill("jobs", shown.job_rows(now))
        self._fill("sessions", shown.session_rows(now, at))

    def _head(self, shown: Snapshot | None, at: float) -> str:
        if self._wrong:
            old = f"; what is shown is {output.duration(at - shown.taken)} old" if shown is not None else ""
            return output.visible(f"{self._wrong}{old}")
        clock = snapshot.now().strftime("%H:%M:%S")
        return f"{self._api.url}   {clock} UTC" if shown is not None else f"asking {self._api.url} …"

    def _fill(self, name: str, rows: Sequence[Row]) -> None:
        """What has changed only, so that neither the chosen row nor the place in the list moves."""
        table, ids = self._table(name), [identity for identity, _ in rows]
        cells = [[_cell(value) for value in values] for _, values in rows]
        if ids == self._shown.get(name):
            for number, row in enumerate(cells):
                for column, cell in enumerate(row):
                    place = Coordinate(number, column)
                    if table.get_cell_at(place) != cell:
                        table.update_cell_at(place, cell, update_width=True)
            return
        chosen, scrolled = self._chosen(name), table.scroll_y
        table.clear()
        for identity, row in zip(ids, cells, strict=True):
            table.add_row(*row, key=identity)
        self._shown[name] = ids
        if chosen in ids:
            table.move_cursor(row=ids.index(chosen), scroll=False)
        table.scroll_to(y=scrolled, animate=False)

    def _chosen(self, name: str) -> str | None:
        """The id of the row under the cursor."""
        ids, row = self._shown.get(name, []), self._table(name).cursor_row
        return ids[row] if 0 <= row < len(ids) else None

    # acts

    def action_cancel(self) -> None:
        if (job := self._selected("jobs", "a job")) is not None:
            self._ask(f"Cancel job {job}?", f"/jobs/{quote(job, safe='')}/cancel", f"job {job} is cancelled")

    def action_close(self) -> None:
        if (session := self._selected("sessions", "a session")) is not None:
            self._ask(
                f"Close session {session} now? Its queued jobs end with it, a running one finishes.",
                f"/sessions/{quote(session, safe='')}/close",
                f"session {session} is closed",
            )

    def action_pause(self) -> None:
        name = self._selected("devices", "a device")
        device = self._snapshot.device(name) if self._snapshot is not None and name is not None else None
        if name is None or device is None:
            return
        path = f"/devices/{quote(name, safe='')}"
        if device["state"] == "online":
            self._ask(
                f"Pause {name}? Jobs wait, a running one finishes.", f"{path}/pause", f"{name} is paused"
            )
        else:
            self._ask(f"Resume {name}, which is {device['state']}?", f"{path}/resume", f"{name} is online")

    def _selected(self, name: str, what: str) -> str | None:
        """The chosen row of the table, where the keys are in that table."""
        chosen = self._chosen(name)
        if not self._table(name).has_focus or chosen is None:
            self._say(f"Choose {what} first: Tab goes to its table, the arrows to its row.", "warning")
            return None
        return chosen

    def _ask(self, question: str, path: str, done: str) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self.run_worker(self._act(path, done))

        self.push_screen(Ask(question), answered)

    async def _act(self, path: str, done: str) -> None:
        try:
            await asyncio.to_thread(self._api.post, path)
        except ClientError as error:
            self._say(sentence(error), "error")
        else:
            self._say(done)
        self.action_refresh()

    def _say(self, text: str, severity: Any = "information") -> None:
        self.notify(output.visible(text), severity=severity, markup=False)


def _table(name: str) -> DataTable[Text]:
    return DataTable(id=name, cursor_type="row", zebra_stripes=True)


def _cell(value: object) -> Text:
    """As in the tables of the other commands. What users have written is text and no markup."""
    said = "-" if value is None or value == "" else output.visible(str(value))
    return Text(said, style=output.STATE_STYLES.get(said, ""), no_wrap=True)
