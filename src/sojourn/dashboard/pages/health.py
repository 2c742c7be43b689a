"""How good a device is now, and how that has changed with its calibrations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

from nicegui import ui

from sojourn.dashboard.charts import health
from sojourn.dashboard.frame import Caller, Frame, refreshing
from sojourn.dashboard.moments import moment
from sojourn.dashboard.pages.parts import heading, table

SHOWN = {"T1": "T1 in µs", "T2": "T2 in µs", "readout_error": "Readout error"}
MOST = 30
"""Calibrations of which the values are fetched."""
_BESIDE = "display: grid; gap: 8px; grid-template-columns: repeat(auto-fit, minmax(min(320px, 100%), 1fr))"


def add_pages(frame: Frame) -> None:
    frame.page("/devices/{name}/health", "Device health")(device_health)


async def device_health(caller: Caller, name: str) -> None:
    await caller.get(f"/devices/{quote(name, safe='')}")
    heading(f"{name}: health")
    holder = ui.element("div").classes("w-full column").style("gap: 16px")
    shown: dict[str, Any] = {}

    async def look() -> None:
        """The pictures are made again for a new calibration only: somebody may have zoomed into them."""
        found = (await caller.get(f"/devices/{quote(name, safe='')}/calibrations"))["calibrations"][:MOST]
        newest = found[0]["id"] if found else None
        if shown and shown["newest"] == newest:
            return
        measured = await _Measured.of(caller, name, found)
        # Where the qubits are drawn takes longer than a page of others may wait.
        drawn = await asyncio.to_thread(measured.coupling_map)
        holder.clear()
        with holder:
            _show(measured, drawn, found)
        shown["newest"] = newest

    refreshing(caller, look, lambda event: event["kind"] == "calibration" and event["device"] == name)


@dataclass(frozen=True, slots=True)
class _Measured:
    """`over` has the time and the properties of each calibration, the oldest first."""

    configuration: Mapping[str, Any]
    properties: Mapping[str, Any]
    over: Sequence[tuple[str, Mapping[str, Any]]]

    @classmethod
    async def of(cls, caller: Caller, name: str, calibrations: Sequence[Mapping[str, Any]]) -> Self:
        at = f"/backends/{quote(name, safe='')}"
        configuration = await caller.dialect(f"{at}/configuration")
        properties = await caller.dialect(f"{at}/properties") or {}
        over = []
        for each in reversed(calibrations) if properties.get("qubits") else ():
            values = await caller.dialect(f"{at}/properties?calibration_id={quote(each['id'], safe='')}")
            over.append((each["at"], values or {}))
        return cls(configuration, properties, over)

    def coupling_map(self) -> dict[str, Any] | None:
        """None without properties."""
        if not self.properties.get("qubits"):
            return None
        pairs = self.configuration.get("coupling_map") or []
        return health.coupling_map(self.properties, self.configuration["n_qubits"], pairs)


def _show(
    measured: _Measured, drawn: dict[str, Any] | None, calibrations: Sequence[Mapping[str, Any]]
) -> None:
    if drawn is None:
        ui.label("The device has no properties: it is ideal, or its driver measures none.").classes("panel")
        return
    with ui.element("div").classes("panel"):
        heading("Coupling map", 2)
        ui.label("Qubits by their readout error, edges by that of their two-qubit gate:").classes("quiet")
        ui.html(_legend(), sanitize=False)
        aspect = health.aspect(drawn)
        chart = ui.echart(drawn).style(
            f"width: min(100%, {600 * aspect:.0f}px); aspect-ratio: {aspect:.3f}; height: auto; margin: auto"
        )
        chart.props('role="img" aria-label="Coupling map by errors"')
        ui.label("The largest errors: " + "; ".join(health.worst(measured.properties))).classes("quiet")
    with ui.element("div").classes("panel"):
        heading("Over the calibrations", 2)
        with ui.element("div").style(_BESIDE):
            for key, unit in SHOWN.items():
                points = [(at, health.qubit_values(values, key)) for at, values in measured.over]
                line = ui.echart(health.over_time(points, unit)).classes("w-full").style("height: 240px")
                line.props(f'role="img" aria-label="{unit} over the calibrations"')
    table(
        ui.element("div").classes("w-full"),
        {"id": "Calibration", "at": "When", "job": "Job"},
        [
            {"id": each["id"], "at": moment(each["at"]), "job": each["job"] or "at a start"}
            for each in calibrations
        ],
        empty="No calibrations yet.",
    )


def _legend() -> str:
    box = "display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em"
    return "".join(
        f'<span style="margin-right: 1.2em; white-space: nowrap"><span style="{box}; background: {shade}">'
        f"</span>{word}</span>"
        for shade, word in zip(health.SHADES, health.WORDS, strict=True)
    )
