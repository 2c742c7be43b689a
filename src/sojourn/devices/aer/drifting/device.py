"""A device that wanders with the time: what its calibrations find, and what its jobs meet.

What the device is, frequencies, T1 and T2, wanders on whatever is done with it. What it is set to stands
still between two calibrations: the frequency and amplitude of its pulses and the axis of its readout. So a
calibration at the time c takes away the errors of the settings, and leaves T1 and T2 as they are; at a later
time t

    detuning   = frequency x (x(t) - x(c))
    rotation   = amplitude x (a(t) - a(c))
    readout    = errors of the snapshot x exp(readout x |z(t) - z(c)|)
    T1 and T2  = those of the snapshot x exp(coherence x y(t)),   T2 at most 2 T1

with processes of mean 0 and standard deviation 1 for each qubit. A device that was never calibrated is set
to the snapshot: x(c), a(c) and z(c) are 0. The errors of gates beside that stay those of the snapshot.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.devices.aer.drift import dated, scaled_qubit
from sojourn.devices.aer.drifting.miscalibrated import Wrong
from sojourn.devices.aer.drifting.process import Process
from sojourn.devices.aer.drifting.rates import Rates

_STEPS = 1000
_IN_HZ = {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9}


class Drifting:
    """The device whose snapshot has these properties. Everything follows from the `seed` and the time, which
    is in seconds since the epoch."""

    def __init__(self, snapshot: Mapping[str, Any], rates: Rates, seed: int) -> None:
        self._snapshot = snapshot
        self._rates = rates
        count = len(snapshot["qubits"])
        self._frequency = Process((seed, 0), count, rates.frequency_time)
        self._amplitude = Process((seed, 1), count, rates.amplitude_time)
        self._coherence = Process((seed, 2), 2 * count, rates.coherence_time)
        self._readout = Process((seed, 3), count, rates.readout_time)
        times = (rates.frequency_time, rates.amplitude_time, rates.coherence_time, rates.readout_time)
        self._step = min(times) / _STEPS

    def moment(self, at: float) -> float:
        """The seconds since the start of the drift whose state the device has at `at`. It changes in steps:
        jobs that follow each other at once find the same device, and what is compiled for one holds for the
        next."""
        return max(0.0, math.floor((at - self._rates.start) / self._step) * self._step)

    def calibrated(self, properties: Mapping[str, Any]) -> float | None:
        """When the calibration that found these properties was made; None for the snapshot."""
        date = properties.get("last_update_date")
        if date == self._snapshot.get("last_update_date"):
            return None
        try:
            return datetime.fromisoformat(str(date)).timestamp()
        except ValueError:
            return None

    def wrong(self, at: float, calibrated: float | None) -> Wrong:
        """The coherent errors at a time."""
        return Wrong(
            self._rates.frequency * self._since(self._frequency, at, calibrated),
            self._rates.amplitude * self._since(self._amplitude, at, calibrated),
        )

    def qubits(self, at: float, calibrated: float | None) -> list[list[SimpleNamespace]]:
        """The entries of each qubit at a time, as a noise table reads them."""
        lost = np.abs(self._since(self._readout, at, calibrated))
        made = copy.deepcopy(self._snapshot["qubits"])
        for entries, times, readout in zip(
            made, self._times(at), np.exp(self._rates.readout * lost).tolist(), strict=True
        ):
            scaled_qubit(entries, *times, readout)
        return [
            [SimpleNamespace(name=e["name"], value=e["value"], unit=e.get("unit", "")) for e in entries]
            for entries in made
        ]

    def measured(self, date: str) -> dict[str, Any]:
        """The properties that a calibration at `date` (ISO 8601) finds."""
        at = datetime.fromisoformat(date).timestamp()
        moved = (self._rates.frequency * self._frequency.at(self.moment(at))).tolist()
        made = dated(self._snapshot, date)
        for entries, times, hertz in zip(made["qubits"], self._times(at), moved, strict=True):
            scaled_qubit(entries, *times, 1.0)
            for entry in entries:
                if entry["name"] == "frequency" and entry["unit"] in _IN_HZ:
                    entry["value"] += hertz / _IN_HZ[entry["unit"]]
        return made

    def _times(self, at: float) -> list[list[float]]:
        """The factors of T1 and T2 of each qubit."""
        found = np.exp(self._rates.coherence * self._coherence.at(self.moment(at)))
        factors: list[list[float]] = found.reshape(-1, 2).tolist()
        return factors

    def _since(self, process: Process, at: float, calibrated: float | None) -> NDArray[np.float64]:
        now = process.at(self.moment(at))
        return now if calibrated is None else now - process.at(self.moment(calibrated))
