"""What `sojourn top` shows at a moment: taken from the server, and made into rows. Knows no terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sojourn.cli import output
from sojourn.cli.commands import devices as of_devices
from sojourn.cli.commands import jobs as of_jobs
from sojourn.cli.commands import sessions as of_sessions
from sojourn.client import Client

MOST = 200
"""Jobs that have not ended, and sessions, that are shown; the server gives no more at a time."""
DEVICES = of_devices.COLUMNS
JOBS = ("before>", *of_jobs.COLUMNS)
SESSIONS = (*of_sessions.COLUMNS, "idle left>")
_ENDED = "closed"

Row = tuple[str, list[object]]
"""The id of what a row shows, and its cells."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The answers of the server, which came at `taken`, in seconds of the monotonic clock."""

    devices: Sequence[Mapping[str, Any]]
    jobs: Sequence[Mapping[str, Any]]
    count: int
    sessions: Sequence[Mapping[str, Any]]
    taken: float

    def as_json(self) -> dict[str, Any]:
        return {
            "devices": self.devices,
            "jobs": self.jobs,
            "count": self.count,
            "sessions": self.sessions,
        }

    def device(self, name: str) -> Mapping[str, Any] | None:
        return next((each for each in self.devices if each["name"] == name), None)

    def device_rows(self) -> list[Row]:
        return [(each["name"], of_devices.device_row(each)) for each in self.devices]

    def job_rows(self, now: datetime) -> list[Row]:
        """By device: the one that runs, then the others in the order of the line."""
        return [(job["id"], [job["position"], *of_jobs.job_row(job, now)]) for job in self.jobs]

    def session_rows(self, now: datetime, at: float) -> list[Row]:
        """As of `at`, in seconds of the monotonic clock: their clocks have gone on since the answer."""
        passed = max(0.0, at - self.taken)
        rows: list[Row] = []
        for session in self.sessions:
            runs = session["started"] is not None
            left = max(0.0, session["active_ttl"] - passed) if runs else session["active_ttl"]
            idle = session.get("idle_ttl")
            cells = of_sessions.session_row({**session, "active_ttl": left}, now)
            cells.append(None if idle is None else output.duration(max(0.0, idle - passed)))
            rows.append((session["id"], cells))
        return rows


def take(api: Client) -> Snapshot:
    """Ask the server. Raises ClientError."""
    devices = api.get("/devices")["devices"]
    jobs = api.get("/jobs", pending="true", sort="ASC", limit=MOST)
    sessions = api.get("/sessions", limit=MOST)["sessions"]
    return Snapshot(
        devices=[each for each in devices if not (each["mock"] and each["phase"] == "asleep")],
        jobs=sorted(jobs["jobs"], key=_in_line),
        count=jobs["count"],
        sessions=[each for each in sessions if each["state"] != _ENDED],
        taken=time.monotonic(),
    )


def now() -> datetime:
    return datetime.now(UTC)


def _in_line(job: Mapping[str, Any]) -> tuple[str, bool, bool, int]:
    """One that is being prepared has no place yet, and stands last."""
    position = job["position"]
    return job["device"], job["state"] != "running", position is None, position or 0
