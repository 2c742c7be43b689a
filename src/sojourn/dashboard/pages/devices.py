"""The devices, and the page of each: who has it when, who waits, and what operators do with it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

from nicegui import ui

from sojourn.dashboard import forecasts
from sojourn.dashboard.charts import timeline
from sojourn.dashboard.frame import Caller, Frame, refreshing
from sojourn.dashboard.moments import Html, html, when
from sojourn.dashboard.pages.parts import ask, facts, heading, table

RANGES = {"minute": 60, "10 minutes": 600, "hour": 3600, "day": 86_400, "week": 604_800}
AHEAD = 0.15
"""Part of the range that is shown of the time to come, at least."""
STEPS = 400
"""The picture moves on by so many parts of the range, and each second at most."""
LOOKED_AT, LISTED = 200, 10
"""Waiting jobs that are asked for, the oldest, and those of them in the list, the next ones."""


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

    refreshing(caller, look, lambda _: True, caller.slow)


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
    picture = _Picture(caller, path)
    heading("Waiting", 2)
    waiting = ui.element("div").classes("w-full")
    if caller.visitor.operator:
        _operate(caller, path, name)

    async def look() -> None:
        found = await caller.get(path)
        calibrated = f"{html(found['calibration'])}, {when(found['calibrated'])}"
        facts(
            shown,
            {
                "State": found["state"] if found["operational"] else found["message"],
                "Message": found["state_message"] or None,
                "Now": doing(found),
                "Waiting": str(found["queue_length"]),
                "Qubits": str(found["num_qubits"] or "unknown"),
                "Calibration": Html(calibrated),
            },
        )
        jobs = await caller.get("/jobs", device=name, pending="true", limit=LOOKED_AT, sort="ASC")
        await picture.show(jobs["jobs"])
        await _show_waiting(caller, waiting, jobs["jobs"])

    refreshing(caller, look, lambda event: event["device"] == name, caller.slow)


class _Picture:
    """Who had the device when, and when the jobs that wait are expected. While it follows, it moves on with
    the time between two looks, without asking the server."""

    def __init__(self, caller: Caller, path: str) -> None:
        self._caller = caller
        self._path = path
        self._jobs: Sequence[Mapping[str, Any]] = ()
        self._data: Mapping[str, Any] = {}
        self._drawn = self._moved = 0.0
        with ui.element("div").classes("panel"):
            with ui.row().classes("items-center"):
                heading("Who has it when", 2)
                self._span = ui.toggle(list(RANGES), value="10 minutes").props("no-caps dense")
                self._follow = ui.checkbox("follow", value=True)
            self._chart = ui.echart({}).classes("w-full").style("height: 300px")
            self._chart.props('role="img" aria-label="Timeline of the device"')
            self._later = ui.label("").classes("quiet")
        self._span.on_value_change(self._draw)
        self._chart.on_point_click(_opened)
        ui.timer(1.0, self._move)

    async def show(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        self._jobs = jobs
        if self._follow.value or not self._data:
            await self._draw()

    async def _draw(self) -> None:
        jobs, span = self._jobs, timedelta(seconds=RANGES[self._span.value])
        back, ahead = span * (1 - AHEAD), span * AHEAD
        now = datetime.now(UTC)
        end = timeline.until(jobs, now, back, ahead)
        wanted = {"from": (now - back).isoformat(), "to": end.isoformat()}
        self._data = await self._caller.get(f"{self._path}/timeline", **wanted)
        self._chart.options.clear()
        self._chart.options.update(timeline.options(self._data, jobs))
        self._chart.update()
        self._drawn = self._moved = time.monotonic()
        more = timeline.later(jobs, end)
        self._later.set_text(f"Expected later than shown: {more} more." if more else "")

    def _move(self) -> None:
        now = time.monotonic()
        if self._data and self._follow.value and now - self._moved >= RANGES[self._span.value] / STEPS:
            self._moved = now
            self._chart.run_chart_method("setOption", timeline.moved(self._data, now - self._drawn))


def _opened(event: Any) -> None:
    data = event.data or {}
    if data.get("job"):
        ui.navigate.to(f"/jobs/{data['job']}")
    elif data.get("session"):
        ui.navigate.to(f"/sessions/{data['session']}")


async def _show_waiting(caller: Caller, holder: ui.element, jobs: Sequence[Mapping[str, Any]]) -> None:
    waits = sorted(
        (job for job in jobs if job["state"] in forecasts.WAITS),
        key=lambda job: (job["position"] is None, job["position"] or 0),
    )
    rows = []
    for job in waits[:LISTED]:
        why = "on its page"  # a look at another's is noted in the audit trail: not one every second
        if job["user"] == caller.visitor.user:
            told = await caller.get(f"/jobs/{job['id']}/why")
            why = "; ".join(reason["sentence"] for reason in told["reasons"])
        rows.append(
            {
                "position": "" if job["position"] is None else job["position"] + 1,
                "job": job["id"],
                "link": f"/jobs/{job['id']}",
                "user": job["user"],
                "since": when(job["created"]),
                "starts": forecasts.short(job),
                "why": why,
            }
        )
    columns = {
        "position": "Place",
        "job": "Job",
        "user": "User",
        "since": "Since",
        "starts": forecasts.HEAD,
        "why": "Why it waits",
    }
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
