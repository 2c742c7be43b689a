"""The devices, and the page of each: who has it when, who waits, and what operators do with it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from nicegui import ui

from sojourn.dashboard.charts import timeline
from sojourn.dashboard.frame import Caller, Frame, refreshing
from sojourn.dashboard.pages.parts import ask, facts, heading, table, when

RANGES = {"minute": 60, "10 minutes": 600, "hour": 3600, "day": 86_400, "week": 604_800}
AHEAD = 0.15
"""Part of the range that is shown of the time to come."""


def add_pages(frame: Frame) -> None:
    frame.page("/", "Devices")(overview)
    frame.page("/devices/{name}", "Device")(device)


async def overview(caller: Caller) -> None:
    heading("Devices")
    holder = ui.element("div").classes("w-full")

    async def look() -> None:
        found = (await caller.get("/devices"))["devices"]
        rows = [
            {
                "name": each["name"],
                "link": f"/devices/{quote(each['name'], safe='')}",
                "state": each["state"] if each["operational"] else each["message"],
                "doing": doing(each),
                "waiting": each["queue_length"],
                "qubits": each["num_qubits"],
                "calibrated": when(each["calibrated"]),
            }
            for each in found
            if not each["mock"]
        ]
        table(
            holder,
            {
                "name": "Device",
                "state": "State",
                "doing": "Now",
                "waiting": "Waiting",
                "qubits": "Qubits",
                "calibrated": "Calibrated",
            },
            rows,
            empty="No devices are configured. Add a [[devices]] table to the configuration.",
        )

    refreshing(look)


def doing(device: Mapping[str, Any]) -> str:
    if device["busy"]:
        return "a job runs"
    return "a session holds it" if device["held"] else "free"


async def device(caller: Caller, name: str) -> None:
    path = f"/devices/{quote(name, safe='')}"
    first = await caller.get(path)
    heading(first["name"])
    ui.link("Health and calibrations", f"{path}/health").classes("plain")
    shown = ui.element("div").classes("panel")
    with ui.element("div").classes("panel"):
        with ui.row().classes("items-center q-gutter-md"):
            heading("Who has it when", 2)
            span = ui.toggle(list(RANGES), value="10 minutes").props("no-caps dense")
            follow = ui.checkbox("follow", value=True)
        chart = ui.echart({}).classes("w-full").style("height: 300px")
        chart.props('role="img" aria-label="Timeline of the device"')
    heading("Waiting", 2)
    waiting = ui.element("div").classes("w-full")
    if caller.visitor.operator:
        _operate(caller, path, name)

    async def draw() -> None:
        seconds = RANGES[span.value]
        data = await caller.get(
            f"{path}/timeline", **{"from": _ago(seconds * (1 - AHEAD)), "to": f"+{int(seconds * AHEAD)}s"}
        )
        chart.options.clear()
        chart.options.update(timeline.options(data))
        chart.update()

    async def look() -> None:
        found = await caller.get(path)
        facts(
            shown,
            {
                "State": found["state"] if found["operational"] else found["message"],
                "Message": found["state_message"] or None,
                "Now": doing(found),
                "Waiting": str(found["queue_length"]),
                "Qubits": str(found["num_qubits"] or "unknown"),
                "Calibration": f"{found['calibration']}, {when(found['calibrated'])}",
            },
        )
        await _show_waiting(caller, waiting, name)
        if follow.value:
            await draw()

    span.on_value_change(draw)
    chart.on_point_click(_opened)
    refreshing(look)


def _ago(seconds: float) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def _opened(event: Any) -> None:
    data = event.data or {}
    if data.get("job"):
        ui.navigate.to(f"/jobs/{data['job']}")
    elif data.get("session"):
        ui.navigate.to(f"/sessions/{data['session']}")


async def _show_waiting(caller: Caller, holder: ui.element, device: str) -> None:
    found = (await caller.get("/jobs", device=device, pending="true", limit=50, sort="ASC"))["jobs"]
    waits = sorted(
        (job for job in found if job["state"] in ("queued", "accepted")),
        key=lambda job: (job["position"] is None, job["position"] or 0),
    )
    rows = []
    for job in waits[:10]:
        mine = job["user"] == caller.visitor.user  # a look at another's is noted in the audit trail
        why = await caller.get(f"/jobs/{job['id']}/why") if mine else {"reasons": []}
        rows.append(
            {
                "position": "" if job["position"] is None else job["position"] + 1,
                "job": job["id"],
                "link": f"/jobs/{job['id']}",
                "user": job["user"],
                "since": when(job["created"]),
                "why": " ".join(reason["sentence"] for reason in why["reasons"]),
            }
        )
    columns = {"position": "Place", "job": "Job", "user": "User", "since": "Since", "why": "Why it waits"}
    table(holder, columns, rows, link="job", empty="None of your jobs waits for this device.")


def _operate(caller: Caller, path: str, name: str) -> None:
    async def do(verb: str, message: str) -> None:
        await caller.post(f"{path}/{verb}", {"message": message} if verb != "resume" else None)
        ui.notify(f"{name}: {verb}")

    with ui.element("div").classes("panel"):
        heading("Operate", 2)
        message = ui.input("Message for the users").classes("w-full")
        with ui.row():
            for verb, what in (
                ("pause", "Pause it? The running job finishes, and nothing starts."),
                ("drain", "Drain it? It takes no new work, and finishes what it has."),
                ("maintain", "Take it into maintenance?"),
                ("calibrate", "Queue a calibration? It goes before all others."),
                ("resume", "Resume it?"),
            ):
                ui.button(
                    verb.capitalize(),
                    on_click=lambda verb=verb, what=what: ask(what, partial(do, verb, message.value or "")),
                ).props("no-caps outline")
