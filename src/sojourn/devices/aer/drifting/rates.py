"""How fast and how far a device drifts: the option `drift` as a table.

The defaults are assumptions of the order of what was measured on transmons of this kind: frequencies that
jump and wander by some kHz and relaxation times that change by tens of percent, both over hours, as their
two-level systems switch less than once in 1000 s (Burnett et al., npj Quantum Inf. 5, 54 (2019); Schloer et
al., Phys. Rev. Lett. 123, 190502 (2019); Klimov et al., Phys. Rev. Lett. 121, 090502 (2018)).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sojourn.devices.driver import OptionReader

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Rates:
    """The standard deviation of each quantity around what the snapshot says, and the time constant of its
    wandering in seconds.

    They are counted from `start`, in seconds since the epoch: at the same time after it a device of the same
    seed is the same. `frequency` in Hz. `amplitude` as a part: how much too far a pulse turns. `coherence`
    of the logarithms of T1 and T2. `readout`: by how much the logarithm of the assignment errors grows for
    each standard deviation by which the readout is out of adjustment.
    """

    frequency: float = 1000.0
    frequency_time: float = HOUR
    amplitude: float = 0.001
    amplitude_time: float = 4 * HOUR
    coherence: float = 0.2
    coherence_time: float = HOUR
    readout: float = 0.2
    readout_time: float = 4 * HOUR
    start: float = 0.0

    @property
    def coherent(self) -> bool:
        """Whether there are errors that turn a state without mixing it."""
        return self.frequency > 0 or self.amplitude > 0


_MOST = {"frequency": 1e6, "amplitude": 0.2, "coherence": 1.0, "readout": 2.0, "start": 253_402_300_799.0}
_TIMES = (1.0, 31_622_400.0)


def read(reader: OptionReader) -> float | Rates:
    """The option `drift`: a number for calibrations that differ, a table for a device that drifts in time.
    Raises `DriverError`."""
    known = [field.name for field in fields(Rates)]
    allowed = f"a number from 0 to 1, or a table with any of {', '.join(known)}"
    given = reader.take("drift", (int, float, Mapping), 0.0, allowed)
    if not isinstance(given, Mapping):
        if not 0 <= given <= 1:
            raise reader.bad("drift", given, allowed)
        return float(given)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise reader.bad("drift", dict(given), f"{allowed}; it has no {', '.join(unknown)}")
    return Rates(**{name: _number(reader, name, value) for name, value in given.items()})


def _number(reader: OptionReader, name: str, value: Any) -> float:
    low, high = _TIMES if name.endswith("_time") else (0.0, _MOST[name])
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise reader.bad(f"drift.{name}", value, f"a number from {low:g} to {high:g}")
    return float(value)
