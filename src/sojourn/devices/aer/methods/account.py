"""Keeps account of what a job had simulated, for its log. Words; nothing is run."""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.devices.aer.methods.rule import DENSITY, PATTERNS, STABILIZER, VECTOR, Load

MAX_LINES = 40
_TWIRLED = ", relaxation of qubits with T2 > T1 as its Pauli twirl"
_NAMES = {
    DENSITY: "density matrix",
    PATTERNS: "state vector, one for all shots of a circuit without an error, one for each other shot",
    STABILIZER: "stabilizer state",
    VECTOR: "state vector",
}


@dataclass(slots=True)
class _Row:
    circuits: int = 0
    shots: int = 0
    seconds: float = 0.0


class Account:
    """What was simulated since it was cleared, added up by method and number of qubits."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int, bool, bool], _Row] = {}

    def clear(self) -> None:
        self._rows.clear()

    def add(
        self, method: str, load: Load, circuits: int, shots: int, seconds: float, *, approximate: bool
    ) -> None:
        """So many circuits with `shots` each took `seconds` together; `approximate` as of `Assembled`."""
        each = load.dynamic or (load.noisy and method not in (DENSITY, PATTERNS))
        row = self._rows.setdefault((method, load.qubits, each, approximate), _Row())
        row.circuits += circuits
        row.shots += circuits * shots
        row.seconds += seconds

    def lines(self) -> list[str]:
        """A line for each kind of simulation, the longest first."""
        found = sorted(self._rows.items(), key=lambda entry: -entry[1].seconds)
        return [
            f"simulated {_count(row.circuits, 'circuit')} on {_count(qubits, 'active qubit')} for "
            f"{row.shots} shots in {row.seconds:.3f} s: {_NAMES.get(method, method.replace('_', ' '))}"
            f"{' for each shot' if each else ''}{_TWIRLED if approximate else ''}"
            for (method, qubits, each, approximate), row in found[:MAX_LINES]
        ]


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
