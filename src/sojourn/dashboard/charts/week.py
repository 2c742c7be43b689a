"""The reservations of a device in one week, as a picture on which a time can be chosen by dragging."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from html import escape
from typing import Any

from sojourn.dashboard.charts import colours

LEFT, TOP, COLUMN, HOUR = 52, 26, 120, 22
WIDTH, HEIGHT = LEFT + 7 * COLUMN, TOP + 24 * HOUR
STEP = 15
"""Minutes to which a chosen time is rounded."""
DAY = 1440
"""Minutes."""


@dataclass(frozen=True, slots=True)
class Week:
    """Seven days from `monday` on, by the clocks of `zone`."""

    monday: date
    zone: tzinfo

    @classmethod
    def of(cls, now: datetime, zone: tzinfo) -> Week:
        today = now.astimezone(zone).date()
        return cls(today - timedelta(days=today.weekday()), zone)

    def moved(self, weeks: int) -> Week:
        return Week(self.monday + timedelta(weeks=weeks), self.zone)

    def instant(self, day: int, minute: int) -> datetime:
        """`minute` is that of the clock, 1440 the midnight after the day."""
        wall = datetime.combine(self.monday + timedelta(days=day), time()) + timedelta(minutes=minute)
        return wall.replace(tzinfo=self.zone)

    def pieces(self, start: datetime, end: datetime) -> Iterator[tuple[int, int, int]]:
        """What of this time is in the week: day, first and last minute."""
        for day in range(7):
            # As dates of UTC: those of one zone would be compared by their clocks.
            begin, finish = (self.instant(day, minute).astimezone(UTC) for minute in (0, DAY))
            low, high = max(start, begin), min(end, finish)
            if low < high:
                yield day, self._minute(low, day), self._minute(high, day)

    def _minute(self, at: datetime, day: int) -> int:
        local = at.astimezone(self.zone)
        days = (local.date() - self.monday).days - day
        return days * DAY + local.hour * 60 + local.minute


def times_of(reservation: Mapping[str, Any]) -> tuple[datetime, datetime]:
    """Its start and end."""
    return datetime.fromisoformat(reservation["start"]), datetime.fromisoformat(reservation["end"])


def picture(week: Week, device: str, reservations: Iterable[Mapping[str, Any]], now: datetime) -> str:
    """SVG. The reservations are those of the API, of this device."""
    label = f"Reservations of {device} in the week of {week.monday:%d %B %Y}"
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" role="img" aria-label="{escape(label)}">']
    for hour in range(25):
        y = TOP + hour * HOUR
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y}" y2="{y}" stroke="var(--quiet)" '
            f'stroke-opacity="{0.5 if hour % 6 == 0 else 0.2}"/>'
        )
        if hour % 2 == 0 and hour < 24:
            parts.append(_text(LEFT - 6, y + 4, f"{hour:02}:00", "end", "var(--quiet)"))
    for day in range(7):
        x = LEFT + day * COLUMN
        parts.append(
            f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT}" stroke="var(--quiet)" stroke-opacity="0.5"/>'
        )
        name = f"{week.monday + timedelta(days=day):%a %d %b}"
        parts.append(_text(x + COLUMN / 2, TOP - 8, name, "middle", "var(--ink)"))
    for each in reservations:
        parts += _reservation(week, each)
    for day, minute, _ in week.pieces(now, now + timedelta(minutes=1)):
        x, low = LEFT + day * COLUMN, TOP + minute * HOUR / 60
        parts.append(
            f'<line x1="{x}" x2="{x + COLUMN}" y1="{low:.1f}" y2="{low:.1f}" stroke="var(--link)" '
            'stroke-width="2"><title>now</title></line>'
        )
    return "".join([*parts, "</svg>"])


def _reservation(week: Week, each: Mapping[str, Any]) -> Iterator[str]:
    start, end = times_of(each)
    project = each["project"] or "another project"
    colour = colours.of_project(each["project"])
    ink = colours.text_on(colour)
    said = f"{project}, {each['mode']}, {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    times = "{:%H:%M} to {:%H:%M}".format(*(at.astimezone(week.zone) for at in (start, end)))
    for day, low, high in week.pieces(start, end):
        x, y = LEFT + day * COLUMN + 3, TOP + low * HOUR / 60
        height = max(3.0, (high - low) * HOUR / 60 - 1)
        yield (
            f'<g><title>{escape(said)}</title><rect x="{x}" y="{y:.1f}" width="{COLUMN - 6}" '
            f'height="{height:.1f}" rx="4" fill="{colour}"/>'
        )
        if height >= 14:
            yield _text(x + 6, y + 12, project[:16], "start", ink)
        if height >= 28:
            yield _text(x + 6, y + 26, times, "start", ink)
        yield "</g>"


def _text(x: float, y: float, text: str, anchor: str, fill: str) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="12" text-anchor="{anchor}" fill="{fill}">{escape(text)}</text>'
    )


CHOICE = (
    f'<svg class="choice" viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" aria-hidden="true">'
    '<rect width="0" height="0" rx="4" fill="var(--link)" fill-opacity="0.35" stroke="var(--link)"/></svg>'
)
"""What is being chosen: over the picture, and of the same size."""
_AT = f"""
  const svg = event.currentTarget.querySelector('svg.choice'), box = svg.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width * {WIDTH} - {LEFT};
  const y = (event.clientY - box.top) / box.height * {HEIGHT} - {TOP};
  const day = Math.floor(x / {COLUMN});
  const minute = Math.max(0, Math.min({DAY}, Math.round(y / {HOUR} * 60 / {STEP}) * {STEP}));
"""
# A finger scrolls the page instead; who has no pointer writes the times into the form.
DOWN = f"""(event) => {{
  if (event.pointerType === 'touch' || event.button) return;
  {_AT}
  if (day < 0 || day > 6) return;
  svg.dataset.day = day; svg.dataset.from = minute;
  event.currentTarget.setPointerCapture(event.pointerId);
  event.preventDefault();
}}"""
MOVE = f"""(event) => {{
  {_AT}
  if (svg.dataset.day === undefined) return;
  const from = Number(svg.dataset.from), rect = svg.querySelector('rect');
  rect.setAttribute('x', {LEFT} + Number(svg.dataset.day) * {COLUMN} + 3);
  rect.setAttribute('width', {COLUMN - 6});
  rect.setAttribute('y', {TOP} + Math.min(from, minute) * {HOUR} / 60);
  rect.setAttribute('height', Math.abs(minute - from) * {HOUR} / 60);
}}"""
UP = f"""(event) => {{
  {_AT}
  if (svg.dataset.day === undefined) return;
  const from = Number(svg.dataset.from), chosen = Number(svg.dataset.day);
  delete svg.dataset.day;
  if (minute !== from) emit({{day: chosen, from: Math.min(from, minute), to: Math.max(from, minute)}});
}}"""
"""JavaScript for the pointer's events; the last one tells the day and the minutes that were chosen."""
