"""The picture of a device: who had it when, what holds it now, and what is reserved ahead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from html import escape
from typing import Any

from sojourn.dashboard.charts import colours

ROWS = ("sessions", "jobs", "reserved")
"""From the top."""
_SESSIONS, _JOBS, _RESERVED = range(3)
_SOLID, _BAND, _HATCHED = range(3)
"""How a bar is drawn."""

RENDER = """function (params, api) {
  const row = api.value(0), look = api.value(3);
  const from = api.coord([api.value(1), row]), to = api.coord([api.value(2), row]);
  const height = api.size([0, 1])[1] * (look === 1 ? 0.8 : 0.62);
  const area = params.coordSys;
  const left = Math.max(from[0], area.x);
  const width = Math.max(Math.min(to[0], area.x + area.width) - left, look === 1 ? 2 : 1.5);
  if (left > area.x + area.width || to[0] < area.x) return;
  const colour = api.visual('color');
  const box = {x: left, y: from[1] - height / 2, width: width, height: height, r: 2};
  const shape = {type: 'rect', shape: box, style: {fill: colour}};
  if (look === 1) shape.style = {fill: colour, opacity: 0.22, stroke: colour, lineWidth: 1.5};
  if (look === 2) {
    shape.style = {fill: 'transparent', stroke: colour, lineWidth: 1, lineDash: [3, 2]};
    const lines = [];
    for (let x = -height; x < width; x += 7)
      lines.push({type: 'line', silent: true, style: {stroke: colour, lineWidth: 1, opacity: 0.7},
                  shape: {x1: left + x, y1: box.y + height, x2: left + x + height, y2: box.y}});
    return {type: 'group', children: [shape, ...lines],
            clipPath: {type: 'rect', shape: {x: box.x, y: box.y, width: box.width, height: box.height}}};
  }
  const name = params.context && api.value(4);
  if (name && width > 7 * String(name).length + 8)
    shape.textContent = {style: {text: String(name), fill: look === 1 ? LABEL : '#fff', fontSize: 11}};
  if (name) shape.textConfig = {position: look === 1 ? 'insideTopLeft' : 'inside'};
  return shape;
}"""


def options(data: Mapping[str, Any]) -> dict[str, Any]:
    """ECharts options of a `Timeline` of the API. Times are milliseconds since the epoch, shown in the
    viewer's zone."""
    now = _ms(data["now"])
    lines = [{"xAxis": now, "name": "now", "lineStyle": {"type": "solid", ":color": colours.INK}}]
    lines += [
        {"xAxis": _ms(each["at"]), "name": each["id"], "lineStyle": {"type": "dotted", ":color": colours.INK}}
        for each in data["calibrations"]
    ]
    for band in data["sessions"]:
        if band["end"] is None and band["ends"] is not None:
            name = f"max_time of {_whose(band)}"
            lines.append(
                {
                    "xAxis": _ms(band["ends"]),
                    "name": name,
                    "lineStyle": {"type": "dashed", "color": "#b03a48"},
                }
            )
    return {
        "animation": False,
        "textStyle": {":color": colours.INK},
        "grid": {"left": 76, "right": 18, "top": 22, "bottom": 62},
        "tooltip": {
            "confine": True,
            ":formatter": "p => (p.data && p.data.info) || p.name",
        },
        "xAxis": {
            "type": "time",
            "min": _ms(data["start"]),
            "max": _ms(data["end"]),
            "axisLabel": {":color": colours.INK, "hideOverlap": True},
            "splitLine": {"show": True, "lineStyle": {"opacity": 0.25}},
        },
        "yAxis": {
            "type": "category",
            "data": list(ROWS),
            "inverse": True,
            "axisLabel": {":color": colours.INK},
            "axisTick": {"show": False},
        },
        "dataZoom": [
            {"type": "inside", "filterMode": "weakFilter"},
            {"type": "slider", "filterMode": "weakFilter", "height": 22, "bottom": 12},
        ],
        "series": [
            {
                "type": "custom",
                ":renderItem": RENDER.replace("LABEL", colours.INK),
                "encode": {"x": [1, 2], "y": 0},
                "data": [*_bands(data, now), *_bars(data["bars"], now), *_reserved(data)],
                "markLine": {
                    "symbol": "none",
                    "silent": False,
                    "label": {"formatter": "{b}", ":color": colours.INK, "fontSize": 10},
                    "data": lines,
                },
            }
        ],
    }


def _bars(bars: Iterable[Mapping[str, Any]], now: float) -> Iterable[dict[str, Any]]:
    for bar in bars:
        end = now if bar["end"] is None else _ms(bar["end"])
        kind = bar["kind"]
        look = _HATCHED if kind in ("held", "reservation") else _SOLID
        label = {"system": "calibration", "several": f"{bar['count']} jobs"}.get(
            kind, bar["user"] or "" if kind == "job" else ""
        )
        colour = colours.SYSTEM if kind == "system" else colours.of_project(bar["project"])
        yield _item(_JOBS, _ms(bar["start"]), end, look, label, colour, _told(bar), bar["job"])


def _told(bar: Mapping[str, Any]) -> list[str]:
    kinds = {
        "job": "Job",
        "held": "A session holds the device between its jobs",
        "system": "Job of the system",
        "reservation": "Reserved, and idle",
        "several": "Several short jobs",
    }
    lines = [kinds[bar["kind"]] if bar["count"] == 1 else f"{bar['count']} short jobs"]
    if bar["project"] is None and bar["kind"] in ("job", "held"):
        lines.append("of another user")
    shown = ("job", "program", "state", "user", "project", "session")
    lines += [f"{name}: {bar[name]}" for name in shown if bar[name] is not None]
    lines.append(f"{bar['seconds']:.3g} s on the device" + (" so far" if bar["end"] is None else ""))
    return lines


def _bands(data: Mapping[str, Any], now: float) -> Iterable[dict[str, Any]]:
    """A session is drawn for the times in which it was active."""
    for band in data["sessions"]:
        since: float | None = None
        ends = now if band["end"] is None else _ms(band["end"])
        active = []
        for step in [*band["steps"], {"state": "closed", "at": None}]:
            at = ends if step["at"] is None else _ms(step["at"])
            if step["state"] in ("active", "pending_inactive", "pending_closed"):
                since = at if since is None else since
            elif since is not None:
                active.append((since, at))
                since = None
        what = "Batch" if band["mode"] == "batch" else "Session"
        told = [f"{what} of {_whose(band)}", f"state: {band['state']}"]
        told += [f"id: {band['id']}"] if band["id"] is not None else []
        for start, end in active:
            colour = colours.of_project(band["project"])
            yield _item(_SESSIONS, start, end, _BAND, _whose(band), colour, told, None, band["id"])


def _reserved(data: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for each in data["reservations"]:
        if each["state"] == "cancelled":
            continue
        whose = each["project"] or "another project"
        told = [f"Reserved for {whose}", f"{each['mode']}, {each['state']}"]
        colour = colours.of_project(each["project"])
        yield _item(_RESERVED, _ms(each["start"]), _ms(each["end"]), _BAND, whose, colour, told)


def _item(
    row: int,
    start: float,
    end: float,
    look: int,
    label: str,
    colour: str,
    told: Iterable[str],
    job: str | None = None,
    session: str | None = None,
) -> dict[str, Any]:
    return {
        "value": [row, start, end, look, label],
        "itemStyle": {"color": colour},
        "info": "<br>".join(escape(line) for line in told),
        "job": job,
        "session": session,
    }


def _whose(band: Mapping[str, Any]) -> str:
    return str(band["user"] or "another user")


def _ms(at: str) -> float:
    return datetime.fromisoformat(at).timestamp() * 1000
