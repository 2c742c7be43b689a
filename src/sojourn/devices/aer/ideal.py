"""The driver `aer`: an ideal device on Aer, every gate between any qubits.

Options: `qubits` (1 to 1000, default 30), `seed` (every job then gives the same outcome), `method` (one
of Aer's, default ``automatic``: see `simulator.method_for`), `threads` (0, the default, chooses by size),
`device` (``CPU``, the default, or ``GPU``: see `methods/hardware.py`);
`timing` and what goes with it, see `clocked.py`: gates take no time here, so a shot takes its delays and the
repetition delay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from qiskit.circuit import ForLoopOp, IfElseOp, SwitchCaseOp, WhileLoopOp
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.transpiler import Target

from sojourn.devices import describe
from sojourn.devices.aer import clocked
from sojourn.devices.aer.methods import hardware
from sojourn.devices.aer.simulated import SimulatedDriver
from sojourn.devices.aer.simulator import METHODS, AerEngine
from sojourn.devices.driver import Facts, OptionReader

VERSION = "1.0.0"
MAX_SHOTS = 1_000_000
SEED_LIMIT = 2**63 - 1

# What statevectors, density matrices and matrix product states all do, and the client knows by name
WIDE_BASIS = [
    "ccx",
    "cp",
    "cx",
    "cy",
    "cz",
    "ecr",
    "h",
    "id",
    "p",
    "r",
    "rx",
    "rxx",
    "ry",
    "ryy",
    "rz",
    "rzx",
    "rzz",
    "s",
    "sdg",
    "swap",
    "sx",
    "sxdg",
    "t",
    "tdg",
    "u",
    "x",
    "y",
    "z",
]
_FLOW = {
    "if_else": IfElseOp,
    "while_loop": WhileLoopOp,
    "for_loop": ForLoopOp,
    "switch_case": SwitchCaseOp,
}


def all_to_all(qubits: int, basis: Sequence[str]) -> Target:
    """A target on which `basis`, measure, reset, delay and control flow are allowed everywhere."""
    known = get_standard_gate_name_mapping()
    target = Target(num_qubits=qubits, dt=1e-9)
    for name in basis:
        target.add_instruction(known[name], name=name)
    everywhere = {(qubit,): None for qubit in range(qubits)}
    target.add_instruction(known["measure"], dict(everywhere))
    target.add_instruction(known["reset"], dict(everywhere))
    target.add_instruction(known["delay"], dict(everywhere))
    for name, flow in _FLOW.items():
        target.add_instruction(flow, name=name)
    return target


class AerDriver(SimulatedDriver):
    """An ideal simulator that looks like a device."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        reader = OptionReader(name, "aer", options)
        qubits = reader.integer("qubits", 30, 1, 1000)
        self._seed = reader.integer("seed", None, 0, SEED_LIMIT)
        method = reader.take("method", (str,), "automatic", " or ".join(METHODS))
        if method not in METHODS:
            raise reader.bad("method", method, " or ".join(METHODS))
        threads = reader.integer("threads", 0, 0, 1024)
        device = hardware.read(reader, method)
        self._keep_time(clocked.read(reader))
        reader.finish()
        assert qubits is not None
        assert threads is not None
        self._target = all_to_all(qubits, WIDE_BASIS)
        self._make_engine = partial(AerEngine, method=method, threads=threads, device=device)
        self._engine = self._make_engine(None)

    @property
    def target(self) -> Target:
        return self._target

    def facts(self) -> Facts:
        made = describe.configuration(
            self.name,
            self._target,
            version=VERSION,
            description=f"{self._target.num_qubits} ideal qubits, simulated",
            max_shots=MAX_SHOTS,
            rep_delay=self._clock.rep_delay,
            family="Aer",
        )
        return Facts(self._target.num_qubits, made, None, VERSION)
