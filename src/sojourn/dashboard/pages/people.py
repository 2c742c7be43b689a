"""The part of the operators' page about one user: the keys, and revoking them or the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from nicegui import ui

from sojourn.dashboard.frame import Caller
from sojourn.dashboard.moments import moment, when
from sojourn.dashboard.pages.parts import ask, heading, table
from sojourn.dashboard.upstream import UpstreamError


class Person:
    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._keys: Sequence[Mapping[str, Any]] = ()
        with ui.element("div").classes("panel"):
            heading("Keys", 2)
            with ui.row().classes("items-center q-gutter-md"):
                self._name = ui.select([], label="User", on_change=self.show).classes("w-48")
                self._which = ui.select([], label="Key").classes("w-48")
                for text, then in (("Revoke the key", self._ask_key), ("Revoke the user", self._ask_user)):
                    ui.button(text, on_click=then).props("no-caps outline color=negative")
            self._shown = ui.element("div").classes("w-full")

    def know(self, users: Sequence[Mapping[str, Any]]) -> None:
        """Those that can be chosen: who has been revoked has no keys."""
        names = [each["name"] for each in users if not each["revoked"]]
        if names != self._name.options:
            chosen = self._name.value if self._name.value in names else None
            self._name.set_options(names, value=chosen)

    async def show(self) -> None:
        name = self._name.value
        try:
            self._keys = (await self._caller.get(self._path("keys")))["keys"] if name else ()
        except UpstreamError as error:
            ui.notify(str(error), type="negative")
            return
        names = [key["name"] for key in self._keys]
        self._which.set_options(names, value=names[0] if names else None)
        rows = [
            {
                "name": key["name"] + (" (this visit's)" if key["present"] else ""),
                "project": key["project"] or "the first of the user's",
                "created": moment(key["created"]),
                "expires": "never" if key["expires"] is None else moment(key["expires"], "ago"),
                "used": when(key["used"]),
            }
            for key in self._keys
        ]
        columns = {
            "name": "Key",
            "project": "Project",
            "created": "Made",
            "expires": "Expires",
            "used": "Last used",
        }
        empty = f"{name} has no keys. Make one: sojourn keys add {name}." if name else "Choose a user."
        table(self._shown, columns, rows, empty=empty)

    def _path(self, *parts: str) -> str:
        return "/".join(["/users", *(quote(part, safe="") for part in (self._name.value, *parts))])

    def _ask_key(self) -> None:
        if key := self._which.value:
            path = self._path("keys", key, "revoke")
            ask(f"Revoke the key {key} of {self._name.value}?", partial(self._revoke, path))

    def _ask_user(self) -> None:
        if name := self._name.value:
            question = (
                f"Revoke {name}? All keys end now. Sessions, jobs and reservations of {name} go on until "
                "they are ended."
            )
            ask(question, partial(self._revoke, self._path("revoke")))

    async def _revoke(self, path: str) -> None:
        await self._caller.post(path)
        await self.show()
