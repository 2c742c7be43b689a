"""Replaces the delays of a circuit, or leaves them out. Does not depend on devices or jobs."""

from __future__ import annotations

from collections.abc import Callable

from qiskit.circuit import CircuitInstruction, ControlFlowOp, Delay, QuantumCircuit

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "ps": 1e-12}
"""Seconds of each unit that a delay or a calibrated time may have; dt is the device's own."""


def replaced(circuit: QuantumCircuit, new: Callable[[CircuitInstruction], Delay | None]) -> QuantumCircuit:
    """The circuit with ``new(item)`` for every delay, blocks of control flow included; None leaves it out.

    Stretches are no longer declared. `new` meets the delays in the order in which a walk of the circuit does
    that goes into the blocks of an operation when it meets the operation.
    """
    made = circuit.copy_empty_like(vars_mode="drop")
    for var in circuit.iter_input_vars():
        made.add_input(var)
    for var in circuit.iter_captured_vars():
        made.add_capture(var)
    for var in circuit.iter_declared_vars():
        made.add_uninitialized_var(var)
    for item in circuit.data:
        if item.name == "delay":
            delay = new(item)
            if delay is not None:
                made.append(item.replace(operation=delay))
            continue
        operation = item.operation
        if isinstance(operation, ControlFlowOp):
            blocks = [replaced(block, new) for block in operation.blocks]
            item = item.replace(operation=operation.replace_blocks(blocks))
        made.append(item)
    return made


def without_delays(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit without its delays."""
    return replaced(circuit, lambda item: None)  # noqa: ARG005
