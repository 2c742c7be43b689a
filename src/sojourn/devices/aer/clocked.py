"""Says how long a job has a simulated device: the option `timing`, read and computed.

With ``realistic`` that is the time of a superconducting device of IBM's. What it is made of, and sources:

- `JOB_OVERHEAD` for each job, and for each shot the circuit and the repetition delay. That is the formula of
  IBM's page "Workload usage": 2 s + (rep_delay + circuit length) x executions.
- The repetition delay is that of the device's configuration; `REP_DELAY`, that of nearly all snapshots of
  IBM's devices, where the configuration has none.
- The circuit is taken as it is scheduled by the durations of the device's target, its measurements included.
- `CALIBRATION` for a calibration: the 2 to 3 minutes of the hourly ones on IBM's page "Calibration jobs".
- Nothing for a circuit as such. No figure for it is published, so it is an option.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sojourn.devices.driver import OptionReader, Stint

TIMINGS = ("instant", "realistic")
JOB_OVERHEAD = 2.0
REP_DELAY = 250e-6
CALIBRATION = 150.0

_MOST = {"job_overhead": 3600, "circuit_overhead": 60, "calibration_seconds": 7200}
_DEFAULT = {"job_overhead": JOB_OVERHEAD, "circuit_overhead": 0.0, "calibration_seconds": CALIBRATION}


@dataclass(frozen=True, slots=True)
class Clocked:
    """All times are in seconds: of a job and of each of its circuits beside the shots, and of a calibration.

    `real` says that a job has the device for as long; else the time is an estimate, and nobody waits.
    """

    real: bool = False
    job: float = 0.0
    circuit: float = 0.0
    calibration: float = 0.0

    @property
    def rep_delay(self) -> float | None:
        """That of a device whose configuration has none."""
        return REP_DELAY if self.real else None

    def seconds(self, stints: Sequence[Stint]) -> float:
        """Seconds that a job of these circuits has the device. A circuit counts at each of its points."""
        shots = sum((each.seconds + each.pause) * each.points * each.shots for each in stints)
        return self.job + self.circuit * sum(each.points for each in stints) + shots


def read(reader: OptionReader) -> Clocked:
    """From the options `timing`, `job_overhead`, `circuit_overhead` and `calibration_seconds` of a driver.
    Raises `DriverError`."""
    timing = reader.take("timing", (str,), "instant", " or ".join(TIMINGS))
    if timing not in TIMINGS:
        raise reader.bad("timing", timing, " or ".join(TIMINGS))
    found: dict[str, float] = {}
    for key, most in _MOST.items():
        allowed = f"seconds from 0 to {most}"
        value = reader.take(key, (int, float), None, allowed)
        if value is None:
            continue
        if timing == "instant":
            needs = 'nothing while timing is "instant"; set timing = "realistic" beside it'
            raise reader.bad(key, value, needs)
        if not 0 <= value <= most:
            raise reader.bad(key, value, allowed)
        found[key] = float(value)
    if timing == "instant":
        return Clocked()
    whole = {**_DEFAULT, **found}
    return Clocked(True, whole["job_overhead"], whole["circuit_overhead"], whole["calibration_seconds"])
