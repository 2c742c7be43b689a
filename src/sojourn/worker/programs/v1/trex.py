"""Readout mitigation of expectation values: twirled readout error extinction (T-REx).

The only module that uses `qiskit_mitigation`, and of `samplomatic` what turns measurements into randomised
ones. Bits are flipped at random before the measurement and flipped back in the result, so that reading errors
multiply the value of every Pauli term by a factor. A calibration circuit, randomised in the same way,
measures that factor. Both packages are imported at first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import ClassicalRegister, QuantumCircuit, QuantumRegister

from sojourn.devices.driver import Outcome
from sojourn.worker.programs.device import Circuit, DeviceContext
from sojourn.worker.programs.executor.samplex import VALUES, Drawn, Randomisation, Samplex
from sojourn.worker.programs.v1 import readout
from sojourn.worker.protocol.types import JobRefused

TWIRLS = 16
"""Randomisations of a circuit, as the hosted V1 estimator had them; the shots are divided among them."""

LEAST_FIDELITY = 0.02
"""A term whose signal survives the readout by less is left as it is: dividing by it would give noise."""

INSTEAD = "set params.resilience_settings.level to 0"


@dataclass(frozen=True, slots=True)
class Template:
    """A circuit with randomised measurements of its last classical register, called `register`. `columns` are
    the parameters of the first circuit that the samplex asks for."""

    circuit: Circuit
    samplex: Samplex
    register: str
    columns: tuple[int, ...]

    def randomisation(self, values: NDArray[np.float64], where: str) -> Randomisation:
        """`TWIRLS` randomisations of each of the points `values`, (points, parameters of the first
        circuit)."""
        arguments = {VALUES: values[:, list(self.columns)]} if self.columns else {}
        return self.samplex.bind(arguments, (TWIRLS, len(values)), where)

    def flips(self, drawn: Drawn) -> NDArray[np.bool_]:
        """(elements, bits) which bits of the register are flipped."""
        found: NDArray[np.bool_] = drawn.extras[f"measurement_flips.{self.register}"][:, 0, :]
        return found


def template(device: DeviceContext, circuit: QuantumCircuit, start: int, key: bytes, where: str) -> Template:
    """The circuit with everything from the instruction `start` on, which ends with measurements into its last
    register, in one randomised layer. Raises `JobRefused`."""
    try:
        from qiskit_mitigation.trex import TREX  # noqa: F401 - it is needed when the job has run
        from samplomatic import Twirl, build
    except ImportError as error:
        raise JobRefused(
            f"{where}: readout mitigation of the estimator (V1) is not run on this device, whose Python "
            f"environment lacks a package ({error}); ask the operator to install it, or {INSTEAD}"
        ) from error
    made = circuit.copy_empty_like()
    made.global_phase = 0  # of which nothing is measured
    made.data = circuit.data[:start]
    with made.box([Twirl()]):
        for item in circuit.data[start:]:
            made.append(item.operation, item.qubits, item.clbits)
    try:
        native, samplex = build(made)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        raise JobRefused(
            f"{where}: the measurements of the circuit cannot be randomised for readout mitigation "
            f"({' '.join(str(error).split())[:200]}); {INSTEAD}"
        ) from error
    place = {parameter: column for column, parameter in enumerate(circuit.parameters)}
    columns = tuple(place[parameter] for parameter in made.parameters)
    fitted = device.fit(key, native, None, where)
    return Template(fitted, Samplex(samplex, where), circuit.cregs[-1].name, columns)


def check(circuit: Circuit, where: str) -> None:
    """Refuse circuits of which no template can be made. Raises `JobRefused`."""
    if circuit.checked.dynamic or circuit.timing.timed:
        what = "control flow" if circuit.checked.dynamic else "delays that depend on parameters"
        raise JobRefused(
            f"{where} has {what}, and readout mitigation of the estimator (V1) is not done with these: "
            f"measurements are randomised in circuits that are the same in every shot; {INSTEAD}"
        )


def calibration(device: DeviceContext, qubits: Sequence[int]) -> Template:
    """Randomised measurements of `qubits` in their ground state. Raises `JobRefused`."""
    wanted = tuple(qubits)

    def make() -> tuple[Template, int]:
        register = ClassicalRegister(len(wanted), "calibration")
        circuit = QuantumCircuit(QuantumRegister(max(wanted) + 1, "q"), register)
        circuit.measure(wanted, range(len(wanted)))
        key = f"trex {wanted}".encode()
        return template(device, circuit, 0, key, "the readout calibration"), 8192 + 4000 * len(wanted)

    found: Template = device.recall(("trex", wanted), make)
    return found


def calibration_shots(device: DeviceContext) -> int:
    """Of each randomisation."""
    return max(1, readout.calibration_shots(device) // TWIRLS)


class Fidelities:
    """How much of a term's value the readout leaves, as the calibration has measured it."""

    def __init__(self, qubits: Sequence[int], outcomes: Sequence[Outcome], flips: NDArray[np.bool_]) -> None:
        """`outcomes` are those of the randomisations, `flips` is (randomisations, bits)."""
        self._place = {qubit: place for place, qubit in enumerate(qubits)}
        bits = len(qubits)
        wrong = []
        for outcome, flipped in zip(outcomes, flips, strict=True):
            read = readout.table(outcome.patterns, bits) != 0
            wrong.append(np.repeat(read ^ flipped, outcome.counts, axis=0))
        self._wrong = np.stack(wrong)
        self.shots = int(self._wrong.shape[0] * self._wrong.shape[1])
        self._known: dict[tuple[int, ...], float | None] = {}

    def factor(self, qubits: Sequence[int]) -> float | None:
        """By what the value of a term on `qubits` is multiplied; None where the readout leaves too little."""
        from qiskit.quantum_info import QubitSparsePauli  # since Qiskit 2.1
        from qiskit_mitigation.trex import TREX

        places = tuple(self._place[qubit] for qubit in qubits)
        if places not in self._known:
            term = QubitSparsePauli(("Z" * len(places), places), num_qubits=len(self._place))
            with np.errstate(divide="ignore"):
                found = float(TREX.calculate_trex_factor(self._wrong, term))
            self._known[places] = found if 0 < found <= 1 / LEAST_FIDELITY else None
        return self._known[places]
