"""Runs the checks inside a worker process, in the place of a device: a program of a job is a check."""

from __future__ import annotations

import msgspec

from sojourn.driverkit import checks, installed
from sojourn.driverkit.findings import Finding
from sojourn.driverkit.subject import Subject
from sojourn.worker.protocol.types import Completed, Description, DeviceSpec, Failed, JobRefused, Prepared


class KitHost:
    """The driver of `spec`, which is loaded by the first check that needs it and not before."""

    def __init__(self, spec: DeviceSpec) -> None:
        self._subject = Subject(spec.driver, spec.options, spec.name, spec.memory)

    @classmethod
    def load(cls, spec: DeviceSpec) -> KitHost:
        return cls(spec)

    def describe(self) -> Description:
        """The checks that there are, and what they run with. Nothing of the driver."""
        known = [{"name": check.name, "promise": check.promise} for check in checks.CHECKS]
        return Description(0, {"checks": known, "environment": installed.environment()}, None, "")

    def apply_calibration(self, properties: bytes) -> None:
        del properties

    def health(self) -> tuple[str | None, bool]:
        """Nothing is asked of it: there is no device."""
        return None, False

    def cancel(self) -> None:
        """A run ends with its process."""

    def prepare(self, program_id: str, params: bytes) -> Prepared:
        del program_id, params
        raise JobRefused("a check is run, and not prepared")

    def run(self, program_id: str, params: bytes, at: float | None = None) -> Completed | Failed:
        """Make the check `program_id`. The result is its `Finding`."""
        del params, at
        found: Finding = checks.examine(checks.find(program_id), self._subject)
        return Completed(msgspec.json.encode(found), found.seconds)
