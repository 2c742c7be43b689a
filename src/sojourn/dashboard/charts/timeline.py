"""The picture of a device: who had it when, what holds it now, what is reserved ahead, and when the jobs that
wait are expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sojourn.dashboard import forecasts
from sojourn.dashboard.charts import colours
from sojourn.dashboard.moments import Html, html

ROWS = ("sessions", "jobs", "reserved")
"""From the top."""
_SESSIONS, _JOBS, _RESERVED = range(3)
_SOLID, _BAND, _HATCHED, _GHOST = range(4)
"""How a bar is drawn."""
GOES_ON = 6
"""Place in the values of a bar: whether it ends at now, or begins there at the earliest."""
GHOSTS = 50
"""Jobs of which the expected time is drawn, at most."""
FARTHEST = timedelta(days=30)
"""What is expected later is not drawn."""
FIRST = 1.25
"""The first one has so many times the room that it needs, for those after it."""
MARGIN = 0.04
ABOVE = 15
"""Pixels between two lines of labels: the end of a session may be close to now."""

RENDER = """function (params, api) {
  const row = api.value(0), look = api.value(3);
  const now = api.value(6) ? sojournNow() : 0;
  const end = look === 3 ? api.value(2) : Math.max(api.value(2), now);
  const start = look === 3 ? Math.max(api.value(1), now) : api.value(1);
  if (start > end) return;
  const from = api.coord([start, row]), to = api.coord([end, row]);
  const height = api.size([0, 1])[1] * (look === 1 ? 0.8 : 0.62);
  const area = params.coordSys;
  const left = Math.max(from[0], area.x);
  const width = Math.max(Math.min(to[0], area.x + area.width) - left, look === 1 ? 2 : 1.5);
  if (left > area.x + area.width || to[0] < area.x) return;
  const colour = api.visual('color');
  const box = {x: left, y: from[1] - height / 2, width: width, height: height, r: 2};
  const shape = {type: 'rect', shape: box, style: {fill: colour}};
  if (look === 1) shape.style = {fill: colour, fillOpacity: 0.22, stroke: colour, lineWidth: 1};
  if (look === 2) {
    shape.style = {fill: 'transparent', stroke: colour, lineWidth: 1, lineDash: [3, 2]};
    const lines = [];
    for (let x = -height; x < width; x += 7)
      lines.push({type: 'line', silent: true, style: {stroke: colour, lineWidth: 1, opacity: 0.7},
                  shape: {x1: left + x, y1: box.y + height, x2: left + x + height, y2: box.y}});
    return {type: 'group', children: [shape, ...lines],
            clipPath: {type: 'rect', shape: {x: box.x, y: box.y, width: box.width, height: box.height}}};
  }
  if (look === 3)
    shape.style = {fill: colour, fillOpacity: 0.25, stroke: LABEL, strokeOpacity: 0.75, lineWidth: 1.2,
                   lineDash: [4, 3]};
  const name = params.context && api.value(4);
  const ink = look === 1 || look === 3 ? LABEL : api.value(5);
  const fits = name && width > 7 * String(name).length + 8;
  // Always, as the shape may have been another bar's, with its text.
  shape.textContent = {style: {text: fits ? String(name) : '', fill: ink, fontSize: 12,
                               fontFamily: 'Roboto, system-ui, sans-serif'}};
  if (name) shape.textConfig = {position: look === 1 ? 'insideTopLeft' : 'inside'};
  return shape;
}"""


def until(jobs: Iterable[Mapping[str, Any]], now: datetime, back: timedelta, ahead: timedelta) -> datetime:
    """The end of a picture that begins `back` before now. It is at least `ahead` of now, and holds what is
    expected of these jobs as far as that leaves half of it to what has been, and the first of them anyhow."""
    ends = [end for _, _, end in _expected(jobs, now)]
    if not ends:
        return now + ahead
    reach = min(max(ends) - now, max(back, FIRST * (ends[0] - now)))
    return now + max(ahead, reach * (1 + MARGIN))


def later(jobs: Iterable[Mapping[str, Any]], end: datetime) -> int:
    """How many of the jobs that wait are expected to start behind the end of a picture."""
    starts = (job["queue"]["start"] for job in jobs if job["queue"] is not None)
    return sum(start is not None and datetime.fromisoformat(start["expected"]) > end for start in starts)


def options(
    data: Mapping[str, Any], jobs: Iterable[Mapping[str, Any]] = (), follows: bool = True
) -> dict[str, Any]:
    """ECharts options of a `Timeline` of the API. Times are milliseconds since the epoch, shown in the
    viewer's zone. `jobs` are those of which the forecast is drawn. `follows`: what goes on grows until the
    next look, as the line of now does when it is `moved`."""
    now = datetime.fromisoformat(data["now"])
    items = [
        *_bands(data, _ms(now)),
        *_bars(data["bars"], _ms(now)),
        *_reserved(data),
        *_ghosts(jobs, now),
    ]
    if not follows:
        for item in items:
            item["value"][GOES_ON] = 0
    return {
        "animation": False,
        "textStyle": colours.TEXT,
        "grid": {"left": 76, "right": 18, "top": 36, "bottom": 62},
        "tooltip": {
            "confine": True,
            "backgroundColor": "var(--panel)",
            "textStyle": {"color": "var(--ink)"},
            ":formatter": "p => (p.data && p.data.info) || p.name",
        },
        "xAxis": {
            "type": "time",
            **_axis(data, 0.0),
            "axisLabel": {":color": colours.INK, "hideOverlap": True},
            "splitLine": {"show": True, **colours.FAINT},
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
                "data": items,
                "markLine": {
                    "symbol": "none",
                    "silent": False,
                    "label": {"formatter": "{b}", "position": "start", ":color": colours.INK, "fontSize": 12},
                    "lineStyle": {":color": colours.INK},
                    "data": _lines(data, 0.0),
                },
            }
        ],
    }


def moved(data: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """What of the options changes when so much time has passed and nothing else is known."""
    return {"xAxis": _axis(data, seconds), "series": [{"markLine": {"data": _lines(data, seconds)}}]}


def _axis(data: Mapping[str, Any], seconds: float) -> dict[str, float]:
    return {"min": _ms(data["start"]) + 1000 * seconds, "max": _ms(data["end"]) + 1000 * seconds}


def _lines(data: Mapping[str, Any], seconds: float) -> list[dict[str, Any]]:
    def line(at: float, name: str, kind: str, rise: int = 0, **more: str) -> dict[str, Any]:
        label = {"offset": [0, -rise]}
        return {"xAxis": at, "name": name, "label": label, "lineStyle": {"type": kind, **more}}

    lines = [line(_ms(data["now"]) + 1000 * seconds, "now", "solid")]
    lines += [line(_ms(each["at"]), each["id"], "dotted") for each in data["calibrations"]]
    return lines + [
        line(_ms(band["ends"]), f"max_time of {_whose(band)}", "dashed", ABOVE, color="#b03a48")
        for band in data["sessions"]
        if band["end"] is None and band["ends"] is not None
    ]


def _bars(bars: Iterable[Mapping[str, Any]], now: float) -> Iterable[dict[str, Any]]:
    for bar in bars:
        end = now if bar["end"] is None else _ms(bar["end"])
        kind = bar["kind"]
        look = _HATCHED if kind in ("held", "reservation") else _SOLID
        label = {"system": "calibration", "several": f"{bar['count']} jobs"}.get(
            kind, bar["user"] or "" if kind == "job" else ""
        )
        colour = colours.SYSTEM if kind == "system" else colours.of_project(bar["project"])
        goes_on = bar["end"] is None
        yield _item(_JOBS, _ms(bar["start"]), end, look, label, colour, _told(bar), bar["job"], None, goes_on)


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
            goes_on = band["end"] is None and end == now
            yield _item(_SESSIONS, start, end, _BAND, _whose(band), colour, told, None, band["id"], goes_on)


def _reserved(data: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for each in data["reservations"]:
        if each["state"] == "cancelled":
            continue
        whose = each["project"] or "another project"
        told = [f"Reserved for {whose}", f"{each['mode']}, {each['state']}"]
        colour = colours.of_project(each["project"])
        yield _item(_RESERVED, _ms(each["start"]), _ms(each["end"]), _BAND, whose, colour, told)


def _expected(
    jobs: Iterable[Mapping[str, Any]], now: datetime
) -> list[tuple[Mapping[str, Any], datetime, datetime]]:
    """The jobs of which a time is expected, with its start and end, the earliest first. A running job goes on
    from now."""
    found = []
    for job in jobs:
        queue = job["queue"] or {}
        start, end = queue.get("start"), queue.get("end")
        if end is None or (start is None and job["state"] != "running"):
            continue
        begins = now if start is None else max(now, datetime.fromisoformat(start["expected"]))
        ends = datetime.fromisoformat(end["expected"])
        if begins < ends and begins - now < FARTHEST:
            found.append((job, begins, min(ends, now + FARTHEST)))
    return sorted(found, key=lambda each: each[1])[:GHOSTS]


def _ghosts(jobs: Iterable[Mapping[str, Any]], now: datetime) -> Iterable[dict[str, Any]]:
    for job, start, end in _expected(jobs, now):
        runs = job["state"] == "running"
        what, label = ("Runs yet", "") if runs else ("Waits", job["user"])
        told = [f"{what}: {job['program']} of {job['user']} in {job['project']}", f"job: {job['id']}"]
        told += [Html(f"{name}: {text}") for name, text in forecasts.lines(job["queue"]).items() if text]
        colour = colours.of_project(job["project"])
        yield _item(_JOBS, _ms(start), _ms(end), _GHOST, label, colour, told, job["id"], goes_on=True)


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
    goes_on: bool = False,
) -> dict[str, Any]:
    return {
        "value": [row, start, end, look, label, colours.text_on(colour), int(goes_on)],
        "itemStyle": {"color": colour},
        "info": "<br>".join(html(line) for line in told),
        "job": job,
        "session": session,
    }


def _whose(band: Mapping[str, Any]) -> str:
    return str(band["user"] or "another user")


def _ms(at: str | datetime) -> float:
    when = datetime.fromisoformat(at) if isinstance(at, str) else at
    return when.timestamp() * 1000
