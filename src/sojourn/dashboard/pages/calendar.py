"""Reservations: who has which device when, and making and cancelling them."""

from __future__ import annotations

from functools import partial

from nicegui import ui

from sojourn.dashboard.frame import Caller, Frame, refreshing
from sojourn.dashboard.pages.parts import ask, heading, stamp_text
from sojourn.dashboard.upstream import UpstreamError


def add_pages(frame: Frame) -> None:
    frame.page("/calendar", "Calendar")(calendar)


async def calendar(caller: Caller) -> None:
    heading("Calendar")
    devices = [each["name"] for each in (await caller.get("/devices"))["devices"] if not each["mock"]]
    holder = ui.element("div").classes("panel")
    with ui.element("div").classes("panel"):
        heading("Reserve", 2)
        with ui.row().classes("items-end q-gutter-md"):
            device = ui.select(devices, value=devices[0] if devices else None, label="Device").classes("w-40")
            start = ui.input("From", value="+1h", placeholder="2026-11-22T14:00, +2h, now")
            length = ui.input("For", value="1h", placeholder="2h, 1h 30m")
            mode = ui.select(
                {"dedicated": "dedicated: nothing else runs", "priority": "priority: goes first"},
                value="dedicated",
                label="Mode",
            ).classes("w-64")

            async def reserve() -> None:
                wanted = {
                    "device": device.value,
                    "start": start.value,
                    "duration": length.value,
                    "mode": mode.value,
                }
                try:
                    made = await caller.post("/reservations", wanted)
                except UpstreamError as error:
                    ui.notify(str(error), type="negative", multi_line=True)
                    return
                ui.notify(f"{made['device']} is reserved from {stamp_text(made['start'])}", type="positive")
                await look()

            ui.button("Reserve", on_click=reserve).props("no-caps")

    async def look() -> None:
        found = (await caller.get("/reservations"))["reservations"]
        holder.clear()
        with holder:
            if not found:
                ui.label("No reservations. Operators and admins of a project make them below.").classes(
                    "quiet"
                )
            for each in found:
                with ui.row().classes("items-center q-gutter-md"):
                    ui.label(each["device"]).classes("text-bold")
                    ui.label(f"{stamp_text(each['start'])} to {stamp_text(each['end'])}")
                    ui.label(each["project"] or "another project")
                    ui.label(f"{each['mode']}, {each['state']}")
                    if each["id"] is not None:
                        ui.button(
                            "Cancel",
                            on_click=partial(
                                ask,
                                f"Cancel the reservation of {each['device']}?",
                                partial(_cancel, caller, each["id"], look),
                            ),
                        ).props("no-caps flat dense color=negative")

    refreshing(look, 5.0)


async def _cancel(caller: Caller, id: str, then: object) -> None:
    await caller.post(f"/reservations/{id}/cancel")
    if callable(then):
        await then()
