"""Who has used how much of which device, by day; also as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

from nicegui import ui

from sojourn.dashboard.charts import colours
from sojourn.dashboard.frame import Caller, Frame, refreshing
from sojourn.dashboard.moments import lasting
from sojourn.dashboard.pages.jobs import FINAL
from sojourn.dashboard.pages.parts import heading, table

GROUPS = {"user": "User", "project": "Project", "device": "Device", "kind": "Kind", "session": "Session"}
PERIODS = {1: "1 day", 7: "7 days", 30: "30 days"}


def add_pages(frame: Frame) -> None:
    frame.page("/usage", "Usage")(usage)


async def usage(caller: Caller) -> None:
    heading("Usage")
    with ui.row().classes("items-center"):
        by = ui.select(GROUPS, value="user", label="By").classes("w-40")
        days = ui.select(PERIODS, value=7, label="Of the last").classes("w-40")
        save = ui.button("CSV").props("no-caps outline")
    with ui.element("div").classes("panel"):
        chart = ui.echart({}).classes("w-full").style("height: 260px")
    chart.props('role="img" aria-label="Usage by day"')
    holder = ui.element("div").classes("w-full")
    last: dict[str, Any] = {"rows": []}

    async def look() -> None:
        from datetime import UTC, datetime, timedelta

        since = (datetime.now(UTC) - timedelta(days=days.value)).isoformat()
        found = await caller.get("/usage", **{"from": since, "by": ["day", by.value]})
        last["rows"] = [
            (row["keys"]["day"], str(row["keys"][by.value] or ""), row["seconds"], row["entries"])
            for row in found["rows"]
        ]
        chart.options.clear()
        chart.options.update(_stacked(last["rows"]))
        chart.update()
        table(
            holder,
            {"day": "Day (UTC)", "key": GROUPS[by.value], "used": "Used", "entries": "Charges"},
            [
                {"day": day, "key": key, "used": lasting(seconds), "entries": entries}
                for day, key, seconds, entries in last["rows"]
            ],
            empty="Nothing was used in this time.",
        )

    def download() -> None:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["day", by.value, "seconds", "charges"])
        writer.writerows([day, _plain(key), seconds, entries] for day, key, seconds, entries in last["rows"])
        ui.download.content(text.getvalue(), f"usage-by-{by.value}.csv")

    by.on_value_change(look)
    days.on_value_change(look)
    save.on_click(download)
    refreshing(caller, look, lambda event: event["kind"] == "job" and event["after"] in FINAL, 60.0)


def _plain(text: str) -> str:
    """Nothing that a spreadsheet would take for a formula."""
    return f"'{text}" if text[:1] in "=+-@" and text else text


def _stacked(rows: list[tuple[str, str, float, int]]) -> dict[str, Any]:
    days = sorted({day for day, *_ in rows})
    keys = sorted({key for _, key, *_ in rows})[:20]
    seconds = {(day, key): used for day, key, used, _ in rows}
    ink, shades = {":color": colours.INK}, colours.of_each(keys)
    return {
        "animation": False,
        "textStyle": colours.TEXT,
        "tooltip": {"trigger": "axis"},
        "legend": {"type": "scroll", "top": 0, "textStyle": ink},
        "grid": {"left": 60, "right": 16, "top": 58, "bottom": 30},
        "xAxis": {"type": "category", "data": days, "axisLabel": ink},
        "yAxis": {
            "type": "value",
            "name": "seconds",
            "nameTextStyle": ink,
            "axisLabel": ink,
            "splitLine": colours.FAINT,
        },
        "series": [
            {
                "type": "bar",
                "stack": "all",
                "name": key,
                "data": [seconds.get((day, key), 0) for day in days],
                "itemStyle": {"color": shades[key]},
            }
            for key in keys
        ],
    }
