"""Times on pages: in the viewer's zone, with UTC on hover, and counting without asking the server.

The browser writes them: what is written here is for a browser without scripts, and says UTC.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Literal

Shown = Literal["clock", "ago", "in", "left"]
"""`clock`: a time of the day, with the date where it is another day. `ago`: how long ago, or in how long.
`in`: the same of what is expected, which is "now" when it is late. `left`: how long until then."""

_SCRIPT = """<script>(() => {
  const skew = NOW - Date.now();
  const lasting = s => s < 60 ? Math.floor(s) + ' s'
    : s < 3600 ? Math.floor(s / 60) + ' min ' + Math.floor(s % 60) + ' s'
    : s < 86400 ? Math.floor(s / 3600) + ' h ' + Math.floor(s % 3600 / 60) + ' min'
    : Math.floor(s / 86400) + ' d ' + Math.floor(s % 86400 / 3600) + ' h';
  const two = n => String(n).padStart(2, '0');
  const clock = (at, now) => {
    const near = Math.abs(at - now) < 3600e3;
    const text = two(at.getHours()) + ':' + two(at.getMinutes()) + (near ? ':' + two(at.getSeconds()) : '');
    return at.toDateString() === now.toDateString() ? text
      : at.toLocaleDateString('en-GB', {weekday: 'short', day: 'numeric', month: 'short'}) + ' ' + text;
  };
  const text = (at, show) => {
    const now = Date.now() + skew, left = (at - now) / 1000;
    if (show === 'clock') return clock(new Date(at), new Date(now));
    if (show === 'left') return lasting(Math.max(0, left));
    if (left > 0) return 'in ' + lasting(left);
    return show === 'in' ? 'now' : lasting(-left) + ' ago';
  };
  const write = () => {
    for (const each of document.querySelectorAll('time[data-show]')) {
      const made = text(Date.parse(each.dateTime), each.dataset.show);
      if (each.textContent !== made) each.textContent = made;
    }
  };
  window.sojournNow = () => Date.now() + skew;
  addEventListener('DOMContentLoaded', () => {
    new MutationObserver(write).observe(document.body, {childList: true, subtree: true});
    write();
    setInterval(() => {
      write();
      document.body.toggleAttribute('data-away', !!(window.socket && !window.socket.connected));
    }, 1000);
  });
})()</script>"""


def script() -> str:
    """What keeps the times of a page right, for its head; by the clock of this machine, whatever the
    viewer's says."""
    return _SCRIPT.replace("NOW", str(int(time.time() * 1000)))


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def html(value: object) -> str:
    """None is nothing."""
    if isinstance(value, Html):
        return value
    return "" if value is None else escape(str(value))


def moment(at: str | datetime, show: Shown = "clock") -> Html:
    """`at` is ISO 8601 with a zone."""
    when = datetime.fromisoformat(at) if isinstance(at, str) else at
    left = (when - datetime.now(UTC)).total_seconds()
    text = {
        "clock": f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "ago": f"in {lasting(left)}" if left > 0 else f"{lasting(-left)} ago",
        "in": f"in {lasting(left)}" if left > 0 else "now",
        "left": lasting(max(0.0, left)),
    }[show]
    iso = when.astimezone(UTC).isoformat(timespec="milliseconds")
    return Html(f'<time datetime="{iso}" data-show="{show}" title="{stamp_text(when)}">{text}</time>')


def when(at: str | None) -> Html:
    """How long ago, or in how long."""
    return Html("never") if at is None else moment(at, "ago")


def left(seconds: float) -> Html:
    """How long it lasts yet, counting down."""
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    return moment(end.replace(microsecond=0), "left")


def lasting(seconds: float) -> str:
    """`3.2 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def stamp_text(at: str | datetime) -> str:
    when = datetime.fromisoformat(at) if isinstance(at, str) else at
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
