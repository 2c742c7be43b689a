"""One's sessions and batches, and the page of each: its clocks, its jobs, its end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

from nicegui import ui

from sojourn.dashboard import forecasts
from sojourn.dashboard.charts import timeline
from sojourn.dashboard.frame import Caller, Frame, refreshing
from sojourn.dashboard.moments import lasting, left, when
from sojourn.dashboard.pages.parts import ask, facts, heading, table
from sojourn.dashboard.upstream import UpstreamError


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
                "left": _left(each),
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

    refreshing(caller, look, lambda event: event["session"] is not None)


async def one(caller: Caller, id: str) -> None:
    session = await caller.get(f"/sessions/{id}")
    with ui.row().classes("items-center"):
        heading("Session", mono=session["id"])
        drain = ui.button("Close", on_click=partial(_ask, caller, id, "drain")).props("no-caps outline")
        close = ui.button("End now", on_click=partial(_ask, caller, id, "close"))
        close.props("no-caps outline color=negative")
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
                "Left": _left(found),
                "Held between jobs": lasting(found["interactive_ttl"]),
                "Loses the device in": None if found["idle_ttl"] is None else left(found["idle_ttl"]),
                "Opened": when(found["created"]),
            },
        )
        mine = (await caller.get("/jobs", session=id, limit=100, sort="ASC"))["jobs"]
        now = datetime.now(UTC)
        back = now - datetime.fromisoformat(found["created"])
        end = found["closed"] or timeline.until(mine, now, back, timedelta(seconds=10)).isoformat()
        wanted = {"from": found["created"], "to": end, "bars": 1000}
        data = await caller.get(f"/devices/{quote(found['device'], safe='')}/timeline", **wanted)
        chart.options.clear()
        chart.options.update(timeline.options(data, mine, follows=False))
        chart.update()
        rows = [
            {
                "id": job["id"],
                "link": f"/jobs/{job['id']}",
                "state": job["state"],
                "program": job["program"],
                "created": when(job["created"]),
                "starts": forecasts.short(job),
                "used": lasting(job["quantum_seconds"]),
            }
            for job in mine
        ]
        columns = {
            "id": "Job",
            "state": "State",
            "program": "Program",
            "created": "Submitted",
            **({"starts": forecasts.HEAD} if forecasts.waiting(mine) else {}),
            "used": "Used",
        }
        table(jobs, columns, rows, link="id", empty="The session has no jobs yet.")

    refreshing(caller, look, lambda event: event["session"] == id)


def _left(session: Mapping[str, Any]) -> str | None:
    """Of `max_time`, which runs from the first job to the end."""
    if session["state"] == "closed":
        return None
    seconds = session["active_ttl"]
    return lasting(seconds) if session["state"] == "open" else left(seconds)


async def _ask(caller: Caller, id: str, verb: str) -> None:
    """What it will do to the jobs that wait, as they are now."""
    try:
        left = (await caller.get("/jobs", session=id, pending="true", limit=200))["jobs"]
    except UpstreamError as error:
        ui.notify(str(error), type="negative")
        return
    ask(question(verb, sum(job["state"] in forecasts.WAITS for job in left)), partial(_end, caller, id, verb))


def question(verb: str, queued: int) -> str:
    jobs = "1 queued job" if queued == 1 else f"{queued} queued jobs"
    if verb == "drain":
        return f"Take no more jobs, and end when those that it has are done? {jobs} will still run."
    return f"End it now? A running job finishes. {jobs} will not run."


async def _end(caller: Caller, id: str, verb: str) -> None:
    await caller.post(f"/sessions/{id}/{verb}")
