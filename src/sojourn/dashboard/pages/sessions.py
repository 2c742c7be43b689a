"""One's sessions and batches, and the page of each: its clocks, its jobs, its end."""

from __future__ import annotations

from functools import partial

from nicegui import ui

from sojourn.dashboard.charts import timeline
from sojourn.dashboard.frame import Caller, Frame, refreshing
from sojourn.dashboard.pages.parts import ask, facts, heading, lasting, table, when


def add_pages(frame: Frame) -> None:
    frame.page("/sessions", "Sessions")(every)
    frame.page("/sessions/{id}", "Session")(one)


async def every(caller: Caller) -> None:
    heading("Sessions")
    holder = ui.element("div").classes("w-full")

    async def look() -> None:
        found = (await caller.get("/sessions", limit=50))["sessions"]
        rows = [
            {
                "id": each["id"],
                "link": f"/sessions/{each['id']}",
                "state": each["state"],
                "mode": "session" if each["mode"] == "dedicated" else "batch",
                "device": each["device"],
                "user": each["user"],
                "created": when(each["created"]),
                "elapsed": lasting(each["elapsed"]),
                "left": "" if each["state"] == "closed" else lasting(each["active_ttl"]),
            }
            for each in found
        ]
        columns = {
            "id": "Session",
            "state": "State",
            "mode": "Mode",
            "device": "Device",
            "user": "User",
            "created": "Opened",
            "elapsed": "Used",
            "left": "Left",
        }
        table(holder, columns, rows, link="id", empty="No sessions yet. Open one with Session(backend=…).")

    refreshing(look)


async def one(caller: Caller, id: str) -> None:
    session = await caller.get(f"/sessions/{id}")
    with ui.row().classes("items-center q-gutter-md"):
        heading("Session", mono=session["id"])
        drain = ui.button(
            "Close",
            on_click=lambda: ask(
                "Take no more jobs, and end when those that it has are done?",
                partial(_end, caller, id, "drain"),
            ),
        ).props("no-caps outline")
        close = ui.button(
            "End now",
            on_click=lambda: ask(
                "End it now? The running job finishes; the queued ones do not run.",
                partial(_end, caller, id, "close"),
            ),
        ).props("no-caps outline color=negative")
    shown = ui.element("div").classes("panel")
    with ui.element("div").classes("panel"):
        chart = ui.echart({}).classes("w-full").style("height: 240px")
        chart.props('role="img" aria-label="Timeline of the session"')
    heading("Jobs", 2)
    jobs = ui.element("div").classes("w-full")

    async def look() -> None:
        found = await caller.get(f"/sessions/{id}")
        for button in (drain, close):
            button.set_visibility(found["state"] != "closed")
        facts(
            shown,
            {
                "State": found["state"],
                "Reason": found["reason"],
                "Mode": "session" if found["mode"] == "dedicated" else "batch",
                "Device": found["device"],
                "User": f"{found['user']} in {found['project']}",
                "Takes jobs": "yes" if found["accepting_jobs"] else "no",
                "Used": f"{lasting(found['elapsed'])} of at most {lasting(found['max_time'])}",
                "Left": None if found["state"] == "closed" else lasting(found["active_ttl"]),
                "Held between jobs": lasting(found["interactive_ttl"]),
                "Opened": when(found["created"]),
            },
        )
        data = await caller.get(
            f"/devices/{found['device']}/timeline",
            **{"from": found["created"], "to": found["closed"] or "+10s", "bars": 1000},
        )
        chart.options.clear()
        chart.options.update(timeline.options(data))
        chart.update()
        mine = (await caller.get("/jobs", session=id, limit=100, sort="ASC"))["jobs"]
        rows = [
            {
                "id": job["id"],
                "link": f"/jobs/{job['id']}",
                "state": job["state"],
                "program": job["program"],
                "created": when(job["created"]),
                "used": lasting(job["quantum_seconds"]),
            }
            for job in mine
        ]
        columns = {
            "id": "Job",
            "state": "State",
            "program": "Program",
            "created": "Submitted",
            "used": "Used",
        }
        table(jobs, columns, rows, link="id", empty="The session has no jobs yet.")

    refreshing(look)


async def _end(caller: Caller, id: str, verb: str) -> None:
    await caller.post(f"/sessions/{id}/{verb}")
