"""What a job may ask of a device beside its circuits: how they are measured and initialised, which errors.

Data only. A driver gives the device under such conditions with `Driver.under`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Level = Literal["classified", "kerneled", "avg_kerneled", "both"]

LEVELS: Mapping[Level, str] = {
    "classified": "bits",
    "kerneled": "the signal of every shot",
    "avg_kerneled": "the mean of the signal",
    "both": "bits and the signal of every shot",
}
"""Levels of measurement, and what a job gets of each classical bit."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One instruction of an error's term on the error's own qubits, the first of which is 0.

    `params` are the angles of a gate, `pauli` the letters of a Pauli gate, `matrices` a unitary or the
    operators of a Kraus channel.
    """

    name: str
    qubits: tuple[int, ...]
    params: tuple[float, ...] = ()
    pauli: str = ""
    matrices: tuple[NDArray[np.complex128], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class GateError:
    """What happens at each of `gates`: one of `terms`, (probability, steps), on `width` qubits. `places` are
    the device's qubits where it does, in the order of the gate's; None for all."""

    gates: tuple[str, ...]
    width: int
    terms: tuple[tuple[float, tuple[Step, ...]], ...]
    places: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True, slots=True)
class ReadError:
    """The assignment error of a measurement: `one` is P(1|0), `zero` is P(0|1). `qubits` None for all."""

    one: float
    zero: float
    qubits: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """A noise model that came with a job. Two are equal when they have the same `key`."""

    key: bytes
    gates: tuple[GateError, ...] = ()
    reads: tuple[ReadError, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Errors) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the circuits of a job are run.

    With `carried` a shot starts where the one before it ended, `pause` seconds earlier, instead of with all
    qubits in their ground state. `errors` are those of the simulation, which has none of its own.
    """

    level: Level = "classified"
    carried: bool = False
    pause: float = 0.0
    errors: Errors | None = None


USUAL = Conditions()
"""Bits, qubits that are initialised, the device's own errors."""
