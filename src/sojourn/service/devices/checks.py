"""The conformance checks that operators ask for: system jobs, and what their reports say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import structlog

from sojourn.devices.checking.report import Report
from sojourn.service.lanes.system_jobs import SystemOutcome
from sojourn.worker.protocol.messages import ProtocolError

log = structlog.get_logger("sojourn.checks")

_reports = msgspec.json.Decoder(Report)


@dataclass(frozen=True, slots=True)
class Checked:
    """The latest check of a device since the service started."""

    job: str
    at: float
    passed: bool
    summary: str


class Checks:
    """Reads the results of checks. What follows from one that failed is the engine's matter: the worker is
    replaced, and the next one must pass a check before the device is served."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.latest: dict[str, Checked] = {}

    def inputs(self, device: str) -> bytes:
        """A check needs none."""
        del device
        return b"{}"

    def outcome(self, device: str, job_id: str, result: bytes, seconds: float) -> SystemOutcome:
        """What a check has found. Raises ProtocolError when it cannot be read."""
        del seconds
        report = report_of(result)
        found = Checked(job_id, self._now(), report.passed, report.summary())

        def take_effect() -> None:
            self.latest[device] = found
            tell = log.info if found.passed else log.error
            tell("device.checked", device=device, job=job_id, passed=found.passed, summary=found.summary)

        return SystemOutcome(None, {}, take_effect, result, said=found.summary)


def report_of(result: bytes) -> Report:
    """Raises ProtocolError for what is no report."""
    try:
        return _reports.decode(result)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"The report of the check cannot be read: {error}") from None
