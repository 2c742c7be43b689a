"""Backends that answer as vendors' backends do: each in a way of its own. Also loaded in workers, by path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import Measure, Parameter
from qiskit.circuit.library import CZGate, RGate
from qiskit.providers import BackendV2, Options
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.result import Result
from qiskit.result.models import ExperimentResult, ExperimentResultData
from qiskit.transpiler import InstructionProperties, Target


class OddBackend(BackendV2):  # type: ignore[misc]
    """Ideal results, told in the way that `style` says.

    ========== =================================================================================
    hex        counts with hexadecimal keys and no memory: a backend after Qiskit/qiskit#15694
    spaced     bits with spaces between the registers
    bits       bits without spaces
    short      bits without leading zeros
    integers   integers
    memory     memory and no counts
    both       both
    measured   counts of the bits that something is measured into, and of no others
    zeros      memory of zeros
    reversed   counts with the first bit first
    few        one shot is missing
    shares     probabilities
    disagree   memory that does not go with the counts
    failed     a result that says that it failed
    raises     an exception from `result()`
    fewer      a result less than there were circuits
    ========== =================================================================================
    """

    def __init__(self, style: str = "hex", qubits: int = 5, max_circuits: int | None = None) -> None:
        super().__init__(name=f"odd_{style}", description="An odd backend", backend_version="3.1")
        self._style = style
        self._most = max_circuits
        self._target = odd_target(qubits)
        self._simulator = BasicSimulator()
        self.calls: list[tuple[int, dict[str, Any]]] = []

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> int | None:
        return self._most

    @classmethod
    def _default_options(cls) -> Options:
        return Options(shots=1024, seed_simulator=None)

    def run(self, run_input: list[QuantumCircuit], **options: Any) -> Any:
        self.calls.append((len(run_input), dict(options)))
        if self._most is not None and len(run_input) > self._most:
            raise ValueError(f"{len(run_input)} circuits are more than {self._most}")
        if self._style == "raises":
            return SimpleNamespace(result=self._fail)
        made = [self._experiment(circuit, options) for circuit in run_input]
        if self._style == "fewer":
            made.pop()
        failed = self._style == "failed"
        result = Result(
            backend_name=self.name,
            backend_version="3.1",
            job_id="1",
            success=not failed,
            status="the cryostat is warm" if failed else "COMPLETED",
            results=made,
        )
        return SimpleNamespace(result=lambda: result)

    def _fail(self) -> Any:
        raise RuntimeError("no line to the\ninstrument")

    def _experiment(self, circuit: QuantumCircuit, options: dict[str, Any]) -> ExperimentResult:
        shots = options["shots"]
        seed = options.get("seed_simulator")
        ran = self._simulator.run([circuit], shots=shots, memory=True, seed_simulator=seed).result()
        rows = [int(row.replace(" ", ""), 2) for row in ran.get_memory(0)]
        if self._style == "measured":
            data: dict[str, Any] = {"counts": Counter(_measured(circuit, row) for row in rows)}
        else:
            data = _told(self._style, rows, circuit)
        return ExperimentResult(shots=shots, success=True, data=ExperimentResultData(**data))


def _told(style: str, rows: Sequence[int], circuit: QuantumCircuit) -> dict[str, Any]:
    bits, counts = circuit.num_clbits, Counter(rows)
    sizes = [len(register) for register in circuit.cregs]
    match style:
        case "spaced":
            return {"counts": {_spaced(row, bits, sizes): n for row, n in counts.items()}}
        case "bits":
            return {"counts": {f"{row:0{bits}b}": n for row, n in counts.items()}}
        case "short":
            return {"counts": {f"{row:b}": n for row, n in counts.items()}}
        case "integers":
            return {"counts": dict(counts)}
        case "memory":
            return {"memory": [hex(row) for row in rows]}
        case "both":
            return {
                "counts": {hex(row): n for row, n in counts.items()},
                "memory": [hex(row) for row in rows],
            }
        case "zeros":
            return {"memory": ["0x0"] * len(rows)}
        case "reversed":
            return {"counts": {f"{row:0{bits}b}"[::-1]: n for row, n in counts.items()}}
        case "few":
            return {"counts": {hex(row): n for row, n in Counter(rows[1:]).items()}}
        case "shares":
            return {"counts": {hex(row): n / len(rows) for row, n in counts.items()}}
        case "disagree":
            return {"counts": {"0x1": len(rows)}, "memory": ["0x0"] * len(rows)}
    return {"counts": {hex(row): n for row, n in counts.items()}}


def _measured(circuit: QuantumCircuit, row: int) -> str:
    """As Amazon's backends answer: the last bit first, without those that nothing is measured into."""
    places = {circuit.find_bit(bit).index for item in circuit.data for bit in item.clbits}
    return "".join(str(row >> place & 1) for place in sorted(places, reverse=True))


def _spaced(row: int, bits: int, sizes: Sequence[int]) -> str:
    text, parts = f"{row:0{bits}b}", []
    for size in reversed(sizes):
        parts.append(text[:size])
        text = text[size:]
    return " ".join(parts)


def odd_target(qubits: int) -> Target:
    """Other gates than IBM's, no delays, no reset, and numbers for some places only."""
    target = Target(num_qubits=qubits)
    places: dict[Any, Any] = {(qubit,): None for qubit in range(qubits)}
    target.add_instruction(
        RGate(Parameter("t"), Parameter("p")), {**places, (0,): InstructionProperties(error=1e-3)}
    )
    pairs = {(q, q + 1): InstructionProperties(duration=1e-7) for q in range(qubits - 1)}
    target.add_instruction(CZGate(), pairs)
    target.add_instruction(Measure(), dict(places))
    return target


def generic(qubits: int = 5, **more: Any) -> GenericBackendV2:
    """Qiskit's own, always with the same numbers."""
    return GenericBackendV2(qubits, seed=7, **more)
