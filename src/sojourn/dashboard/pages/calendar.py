"""Reservations: who has a device when, week by week, and making and cancelling them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from nicegui import events, ui

from sojourn.dashboard.charts import week as weeks
from sojourn.dashboard.charts.week import Week
from sojourn.dashboard.frame import Caller, Frame, refreshing
from sojourn.dashboard.moments import lasting, stamp_text
from sojourn.dashboard.pages.parts import ask, heading
from sojourn.dashboard.upstream import UpstreamError

_ZONE = "Intl.DateTimeFormat().resolvedOptions().timeZone"


def add_pages(frame: Frame) -> None:
    frame.page("/calendar", "Calendar")(calendar)


async def calendar(caller: Caller) -> None:
    heading("Calendar")
    devices = [each["name"] for each in (await caller.get("/devices"))["devices"] if not each["mock"]]
    if not devices:
        ui.label("There is no device that could be reserved.").classes("panel quiet")
        return
    _Calendar(caller, devices).build()


class _Calendar:
    def __init__(self, caller: Caller, devices: list[str]) -> None:
        self._caller = caller
        self._devices = devices
        self._zone: tzinfo | None = None  # the viewer's, once it is known
        self._week = Week.of(datetime.now(UTC), UTC)
        self._found: list[Mapping[str, Any]] = []
        self._looked = False

    def build(self) -> None:
        with ui.element("div").classes("panel").style("overflow-x: auto"):
            with ui.row().classes("items-center"):
                self._device = ui.select(
                    self._devices, value=self._devices[0], label="Device", on_change=self._draw
                ).classes("w-40")
                for text, step in (("Week before", -1), ("This week", 0), ("Week after", 1)):
                    ui.button(text, on_click=partial(self._turn, step)).props("no-caps flat dense")
                self._of = ui.label("").classes("quiet")
            with ui.element("div").style("position: relative; min-width: 640px; max-width: 1000px") as area:
                self._picture = ui.html("", sanitize=False)
                ui.html(weeks.CHOICE, sanitize=False).style("position: absolute; inset: 0; cursor: crosshair")
            area.on("pointerdown", js_handler=weeks.DOWN)
            area.on("pointermove", js_handler=weeks.MOVE)
            area.on("pointerup", self._choose, js_handler=weeks.UP)
        with ui.element("div").classes("panel"):
            heading("Reserve", 2)
            ui.label("Drag over the week above, or write the times.").classes("quiet")
            with ui.row().classes("items-end"):
                self._start = ui.input("From", value="+2h", placeholder="2026-11-22T14:00, +2h, now")
                self._length = ui.input("For", value="1h", placeholder="2h, 1h 30m")
                self._mode = ui.select(
                    {"dedicated": "dedicated: nothing else runs", "priority": "priority: goes first"},
                    value="dedicated",
                    label="Mode",
                ).classes("w-64")
                ui.button("Check", on_click=self._check).props("no-caps outline")
                ui.button("Reserve", on_click=self._reserve).props("no-caps")
            self._told = ui.label("").props('role="status"').style("white-space: pre-line")
        self._list = ui.element("div").classes("panel")
        refreshing(self._caller, self._look, lambda event: event["kind"] == "reservation", self._caller.slow)

    # what there is

    async def _look(self) -> None:
        if self._zone is None:
            self._zone = await _zone()
            self._week = Week.of(datetime.now(UTC), self._zone)
        found = (await self._caller.get("/reservations"))["reservations"]
        same = self._looked and found == self._found
        self._found, self._looked = found, True
        self._draw()
        if same:  # who is at a button with the keyboard stays there
            return
        self._list.clear()
        with self._list:
            if not self._found:
                ui.label("No reservations. Operators and admins of a project make them above.").classes(
                    "quiet"
                )
            for each in self._found:
                self._row(each)

    def _of_device(self) -> list[Mapping[str, Any]]:
        return [each for each in self._found if each["device"] == self._device.value]

    def _draw(self) -> None:
        made = weeks.picture(self._week, self._device.value, self._of_device(), datetime.now(UTC))
        if made != self._picture.content:
            self._picture.set_content(made)
        self._of.set_text(f"Week of {self._week.monday:%d %B %Y}, times in {self._week.zone}")

    def _turn(self, step: int) -> None:
        now = Week.of(datetime.now(UTC), self._week.zone)
        self._week = self._week.moved(step) if step else now
        self._draw()

    def _row(self, each: Mapping[str, Any]) -> None:
        with ui.row().classes("items-center q-gutter-md"):
            ui.label(each["device"]).classes("text-bold")
            with ui.label(self._times(each)):
                ui.tooltip(f"{stamp_text(each['start'])} to {stamp_text(each['end'])}")
            ui.label(each["project"] or "another project")
            ui.label(f"{each['mode']}, {each['state']}")
            if each["id"] is not None:
                question = f"Cancel the reservation of {each['device']}?"
                cancel = partial(_cancel, self._caller, each["id"], self._look)
                ui.button("Cancel", on_click=partial(ask, question, cancel)).props(
                    "no-caps flat dense color=negative"
                )

    def _times(self, each: Mapping[str, Any]) -> str:
        return " to ".join(self._local(at) for at in weeks.times_of(each))

    def _local(self, at: datetime) -> str:
        return f"{at.astimezone(self._week.zone):%a %d %b %H:%M}"

    # reserve

    async def _choose(self, event: events.GenericEventArguments) -> None:
        """A time was chosen on the picture: it comes into the form, with what is in its way."""
        day, low, high = (int(event.args[name]) for name in ("day", "from", "to"))
        start, end = self._week.instant(day, low), self._week.instant(day, high)
        minutes = int((end.astimezone(UTC) - start.astimezone(UTC)).total_seconds() // 60)
        self._start.set_value(start.isoformat(timespec="minutes"))
        self._length.set_value(f"{minutes}m")
        await self._check()

    def _wanted(self) -> dict[str, Any]:
        return {
            "device": self._device.value,
            "start": self._start.value,
            "duration": self._length.value,
            "mode": self._mode.value,
        }

    async def _check(self) -> None:
        """Say what the reservation would come to."""
        try:
            plan = await self._caller.post("/reservations?dry_run=true", self._wanted())
        except UpstreamError as error:
            self._told.set_text(str(error))
            return
        start, end = weeks.times_of(plan)
        said = [
            f"{plan['device']} for project {plan['project']} from {self._local(start)} for "
            f"{lasting((end - start).total_seconds())}, not saved yet."
        ]
        said += [
            f"Taken by {each['project'] or 'another project'} from {self._times(each)}."
            for each in plan["conflicts"]
        ]
        said += [_allowance(each) for each in plan["allowances"]]
        if plan["refused"] is not None:
            said.append(f"It would be refused: {plan['refused']}")
        self._told.set_text("\n".join(said))

    async def _reserve(self) -> None:
        try:
            made = await self._caller.post("/reservations", self._wanted())
        except UpstreamError as error:
            self._told.set_text(str(error))
            ui.notify(str(error), type="negative", multi_line=True)
            return
        self._told.set_text(f"{made['device']} is reserved from {stamp_text(made['start'])}.")
        await self._look()


def _allowance(each: Mapping[str, Any]) -> str:
    """`Project chem: 1 h 30 min of 1 d 16 h reserved within 7 d 0 h, 2 h 0 min with this; 1 d 14 h left.`"""
    limit = f" of {lasting(each['limit'])}" if each["limit"] is not None else ""
    where = f" on {each['device']}" if each["device"] is not None else ""
    within = f" within {lasting(each['period'])}" if each["period"] is not None else " ahead"
    left = f"{lasting(each['left'])} left" if each["left"] is not None else "no limit"
    bound = "" if each["binds"] else ", which does not bind an operator"
    return (
        f"{each['of'].capitalize()} {each['name']}: {lasting(each['used'])}{limit} reserved{where}{within}, "
        f"{lasting(each['then'])} with this one; {left}{bound}."
    )


async def _zone() -> tzinfo:
    """The viewer's, as the browser names it; UTC where that is not known here."""
    try:
        return ZoneInfo(str(await ui.run_javascript(_ZONE, timeout=5.0)))
    except (TimeoutError, OSError, ValueError):
        return UTC


async def _cancel(caller: Caller, id: str, then: Callable[[], Awaitable[None]]) -> None:
    await caller.post(f"/reservations/{id}/cancel")
    await then()
