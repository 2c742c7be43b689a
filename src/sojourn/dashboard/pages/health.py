"""How good a device is now, and how that has changed with its calibrations."""

from __future__ import annotations

from urllib.parse import quote

from nicegui import ui

from sojourn.dashboard.charts import health
from sojourn.dashboard.frame import Caller, Frame
from sojourn.dashboard.pages.parts import heading, stamp_text, table

SHOWN = {"T1": "T1 in µs", "T2": "T2 in µs", "readout_error": "Readout error"}
MOST = 30
"""Calibrations of which the values are fetched."""


def add_pages(frame: Frame) -> None:
    frame.page("/devices/{name}/health", "Device health")(device_health)


async def device_health(caller: Caller, name: str) -> None:
    at = f"/backends/{quote(name, safe='')}"
    configuration = await caller.dialect(f"{at}/configuration")
    properties = await caller.dialect(f"{at}/properties") or {}
    heading(f"{name}: health")
    if not properties.get("qubits"):
        ui.label("The device has no properties: it is ideal, or its driver measures none.").classes("panel")
        return
    with ui.element("div").classes("panel"):
        heading("Coupling map", 2)
        words = ", ".join(f"{word}" for word in health.WORDS)
        ui.label(f"Qubits by their readout error, edges by that of their two-qubit gate: {words}.")
        pairs = configuration.get("coupling_map") or []
        chart = ui.echart(health.coupling_map(properties, configuration["n_qubits"], pairs))
        chart.classes("w-full").style("height: 420px").props('role="img" aria-label="Coupling map by errors"')
        ui.label("The largest errors: " + "; ".join(health.worst(properties))).classes("quiet")
    calibrations = (await caller.get(f"/devices/{quote(name, safe='')}/calibrations"))["calibrations"][:MOST]
    found = []
    for each in reversed(calibrations):
        values = await caller.dialect(f"{at}/properties?calibration_id={quote(each['id'], safe='')}")
        found.append((each["at"], values or {}))
    with ui.element("div").classes("panel"):
        heading("Over the calibrations", 2)
        for key, unit in SHOWN.items():
            points = [(at, health.qubit_values(values, key)) for at, values in found]
            line = ui.echart(health.over_time(points, unit)).classes("w-full").style("height: 220px")
            line.props(f'role="img" aria-label="{unit} over the calibrations"')
    holder = ui.element("div").classes("w-full")
    table(
        holder,
        {"id": "Calibration", "at": "When", "job": "Job"},
        [
            {"id": each["id"], "at": stamp_text(each["at"]), "job": each["job"] or "at a start"}
            for each in calibrations
        ],
        empty="No calibrations yet.",
    )
