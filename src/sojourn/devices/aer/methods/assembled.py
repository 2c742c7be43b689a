"""Circuits as the engine holds them: cut to their active qubits, and assembled for Aer by each method in use.

Data and their making; the engine decides which method, and runs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression, QuantumCircuit
from qiskit_aer.backends.aer_compiler import assemble_circuits

from sojourn.devices.aer.active_qubits import Cut
from sojourn.devices.aer.methods.rule import Load
from sojourn.devices.driver import CompiledCircuit
from sojourn.devices.parameters import Expressions


class Assembled:
    """Aer's own circuit, where its parameters stand, and the noise model that goes with it.

    `approximate` says that an error in the model stands for one that the method cannot have.
    """

    __slots__ = ("approximate", "bits", "circuit", "noise", "places", "size", "table")

    def __init__(
        self,
        flat: QuantumCircuit,
        parameters: Sequence[Parameter],
        noise: Mapping[str, Any],
        approximate: bool = False,
    ) -> None:
        circuits, maps = assemble_circuits([flat])
        self.circuit = circuits[0]
        self.circuit.circ_id = 0
        self.noise = noise
        self.approximate = approximate
        self.bits = flat.num_clbits  # the user's and, behind them, hidden ones
        self.size = len(flat.data)
        self.places: list[tuple[int, int]] = []
        expressions: list[ParameterExpression] = []
        for position, item in enumerate(flat.data):
            for slot, value in enumerate(item.operation.params):
                if isinstance(value, ParameterExpression) and value.parameters:
                    self.places.append((maps[0][position], slot))
                    expressions.append(value)
        self.table = Expressions(expressions, parameters)

    def bindings(self, values: NDArray[np.float64]) -> list[Any]:
        """Aer's parameter table for the points `values` (points, parameters)."""
        columns = self.table.at(values).T.tolist()
        return [[place, column] for place, column in zip(self.places, columns, strict=True)]


class AerCircuit(CompiledCircuit):
    """A circuit ready for Aer.

    `ready` holds it as assembled, by method; it stays empty when nothing is measured (every bit is then 0)
    and while delays depend on parameters. `method` is the one for many shots. `angles` must be multiples of
    pi/2 for a circuit that is Clifford but for them; None when it does not matter. `free` is the probability
    that a shot has no error, once it is known.
    """

    __slots__ = ("angles", "cut", "free", "load", "method", "parameters", "ready")

    def __init__(self, part: Cut, parameters: Sequence[Parameter], load: Load, method: str) -> None:
        super().__init__(num_clbits=part.circuit.num_clbits, num_parameters=len(parameters), cost=4096)
        self.cut = part
        self.parameters = list(parameters)
        self.load = load
        self.method = method
        self.angles: Expressions | None = None
        self.free: float | None = None
        self.ready: dict[str, Assembled] = {}


class SplitCircuit(CompiledCircuit):
    """A circuit in independent pieces, each ready for Aer."""

    __slots__ = ("pieces",)

    def __init__(self, pieces: Sequence[AerCircuit]) -> None:
        super().__init__(
            num_clbits=pieces[0].num_clbits,
            num_parameters=pieces[0].num_parameters,
            cost=sum(piece.cost for piece in pieces),
        )
        self.pieces = list(pieces)


class Run:
    """One compiled circuit at some points inside one call of Aer, by one method. `assembled` is None when
    nothing is measured."""

    __slots__ = ("assembled", "bound", "compiled", "method", "seed", "shots", "task", "threads", "values")

    def __init__(
        self,
        task: int,
        compiled: AerCircuit,
        assembled: Assembled | None,
        method: str,
        threads: int,
        values: NDArray[np.float64],
        shots: int,
    ) -> None:
        self.task = task
        self.compiled = compiled
        self.assembled = assembled
        self.method = method
        self.threads = threads
        self.values = values
        self.shots = shots
        self.bound = assembled is not None and bool(assembled.places)
        self.seed = 0
