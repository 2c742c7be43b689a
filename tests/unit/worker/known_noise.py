"""A device on three qubits in a line whose noise is known exactly: Pauli-Lindblad noise behind each cz, and a
readout that errs differently for 0 and 1. Its single-qubit gates are perfect."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from qiskit.circuit import Parameter
from qiskit.circuit.library import CZGate, Measure, RZGate, SXGate, XGate
from qiskit.transpiler import Target
from qiskit_aer.noise import QuantumError, ReadoutError
from qiskit_aer.noise.errors import pauli_error

from sojourn.devices import describe
from sojourn.devices.aer.noise import NoiseTable
from sojourn.devices.aer.simulated import SimulatedDriver
from sojourn.devices.aer.simulator import AerEngine
from sojourn.devices.driver import Facts
from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import DeviceSpec

NAME = "known"
QUBITS = 3
PAIRS = ((0, 1), (1, 2))

RATES = {
    "ZI": 0.003,
    "IZ": 0.001,
    "ZZ": 0.004,
    "XI": 0.0015,
    "XZ": 0.0015,
    "IY": 0.0008,
    "ZY": 0.0008,
    "XX": 0.0006,
    "YY": 0.0006,
}
"""Of the noise behind a cz on (0, 1), letters in the order of the qubits. Equal for what cz turns into each
other: an even number of applications tells only such pairs together."""

READOUT = {0: (0.02, 0.06), 1: (0.01, 0.03), 2: (0.0, 0.0)}
"""How often a qubit in 0 is read as 1, and one in 1 as 0."""


def shares() -> dict[str, float]:
    """The probability of each Pauli error: every term turns its operator up in (1 - exp(-2 rate)) / 2."""
    letters = "IXZY"  # the number of a product is the exclusive or of the numbers
    found = {"II": 1.0}
    for term, rate in RATES.items():
        turned = (1 - math.exp(-2 * rate)) / 2
        before, found = found, {}
        for label, share in before.items():
            product = "".join(
                letters[letters.index(one) ^ letters.index(two)] for one, two in zip(label, term, strict=True)
            )
            found[label] = found.get(label, 0.0) + share * (1 - turned)
            found[product] = found.get(product, 0.0) + share * turned
    return found


class Table(NoiseTable):
    """Errors as stated here."""

    def __init__(self) -> None:
        super().__init__(SimpleNamespace(qubits=[[] for _ in range(QUBITS)], gates=[]), 1e-9)
        self._cz = pauli_error([(label[::-1], share) for label, share in shares().items()])

    def gate(self, name: str, qubits: tuple[int, ...]) -> QuantumError | None:
        return self._cz if (name, qubits) == ("cz", (0, 1)) else None

    def readout(self, qubit: int) -> ReadoutError | None:
        wrong0, wrong1 = READOUT[qubit]
        return ReadoutError([[1 - wrong0, wrong0], [wrong1, 1 - wrong1]]) if wrong0 + wrong1 else None


class KnownNoise(SimulatedDriver):
    """The driver."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        self._seed = options.get("seed")
        self._engine = AerEngine(Table())
        self._target = Target(num_qubits=QUBITS, dt=1e-9)
        for gate in (SXGate(), XGate(), RZGate(Parameter("t")), Measure()):
            self._target.add_instruction(gate, {(qubit,): None for qubit in range(QUBITS)})
        self._target.add_instruction(CZGate(), dict.fromkeys(PAIRS))

    @property
    def target(self) -> Target:
        return self._target

    def facts(self) -> Facts:
        made = describe.configuration(
            self.name,
            self._target,
            version="1.0.0",
            description="a device whose noise is known",
            max_shots=1_000_000,
            family="Known",
        )
        return Facts(QUBITS, made, None, "1.0.0")


def host(seed: int) -> DeviceHost:
    return DeviceHost(DeviceSpec(NAME, NAME), KnownNoise(NAME, {"seed": seed}))
