"""The rule by which a circuit's simulation method is chosen. Pure: facts of the circuit in, a method out.

docs/simulation.md states it for users; a test compares its numbers with these. The times are fits to what Aer
took on one core, for layers of rotations and gates between neighbours with the noise of a Heron.
"""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.devices.aer.methods.bonds import NONE, Growth

DENSITY, VECTOR, MPS, STABILIZER = "density_matrix", "statevector", "matrix_product_state", "stabilizer"
METHODS = ("automatic", DENSITY, MPS, STABILIZER, VECTOR)
PATTERNS = "error_patterns"
"""State vectors, of which the shots without an error share one, see `patterns.py`: no method of Aer's."""

SURE_QUBITS = 5
"""Up to so many, a density matrix is best for any number of shots."""

DENSITY_QUBITS = 12
"""4**12 amplitudes are 268 MB. With noise and more active qubits, a state vector for every shot is slower
than a matrix product state."""

PATTERN_QUBITS = 20
"""2**20 amplitudes are 16 MB."""

VECTOR_QUBITS = 26
"""2**26 amplitudes are 1 GB."""

CLIFFORD_QUBITS = 12
"""Up to so many, a state of all amplitudes is as quick as a stabilizer."""

DYNAMIC_QUBITS = 2
"""Up to so many, a density matrix is as quick as a state vector for every shot of a dynamic circuit."""

# Seconds on one core. A density matrix: of each instruction on one qubit and on two, for each of its 4**n
# entries, and beside that for each instruction. A state vector: for each of 2**n amplitudes, and beside that;
# more when the error is drawn as the shot runs. A pattern: to write each instruction, and as a whole.
_DENSITY_ONE, _DENSITY_TWO, _DENSITY_EACH = 2.3e-9, 9e-9, 1.5e-6
_FUSED_QUBITS, _UNFUSED = 7, 6  # Aer joins gates of a density matrix of so many qubits; else it takes longer
_VECTOR_AMPLITUDE, _VECTOR_EACH, _DRAWN_EACH = 1e-8, 1e-6, 5e-7
_PATTERN_EACH, _PATTERN_ONCE = 3e-6, 3e-4
_PATTERN_SHARE = 0.35  # of a state vector's time: the gates on one qubit between two others are joined
_MPS_EACH = 4e-5
_MPS_GATES, _MPS_SHOT = 8e-9, 2.7e-8  # for each multiplication of a gate on two qubits, of drawing a shot


@dataclass(frozen=True, slots=True)
class Load:
    """What of a circuit decides: its active qubits, the number of its instructions on one qubit and on more,
    whether they have noise, whether each shot runs by itself (`dynamic`), whether all of it is Clifford; how
    far a matrix product state of it grows, where that is asked for and known."""

    qubits: int
    ones: int
    twos: int
    noisy: bool
    dynamic: bool
    clifford: bool
    growth: Growth = NONE

    @property
    def grows(self) -> bool:
        """Whether it may be a matrix product state of which it can be known how far it grows."""
        limit = DENSITY_QUBITS if self.noisy else VECTOR_QUBITS
        return self.qubits > limit and not self.dynamic and not self.clifford

    @property
    def patterned(self) -> bool:
        """Whether error patterns may be the method, so that it matters how many shots are free of errors."""
        limit = CLIFFORD_QUBITS if self.clifford else PATTERN_QUBITS
        return self.noisy and not self.dynamic and SURE_QUBITS < self.qubits <= limit


def method_for(load: Load, shots: int | None = None, room: int = 0, free: float | None = None) -> str:
    """The method for `shots` of a circuit at one point; without, for very many.

    `room` is the bytes that a state may take; 0 for any amount. `free` is the probability that a shot has no
    error; None where errors cannot be drawn beforehand.
    """
    if not load.noisy:
        if load.clifford and load.qubits > CLIFFORD_QUBITS:
            return STABILIZER
        return VECTOR if load.qubits <= VECTOR_QUBITS else MPS
    if load.clifford and load.qubits > CLIFFORD_QUBITS:
        return STABILIZER
    if load.dynamic:
        if load.qubits <= DYNAMIC_QUBITS:
            return DENSITY
        return VECTOR if load.qubits <= DENSITY_QUBITS else MPS
    if load.qubits <= SURE_QUBITS:
        return DENSITY
    costs: dict[str, float] = {}
    if load.qubits > DENSITY_QUBITS:
        costs[MPS] = mps_seconds(load, shots)
    else:
        if not room or state_bytes(DENSITY, load.qubits) <= room:
            costs[DENSITY] = density_seconds(load)
        costs[VECTOR] = trajectory_seconds(load, shots)
    if free is not None and load.patterned:
        costs[PATTERNS] = pattern_seconds(load, shots, free)
    return min(costs, key=lambda method: costs[method])


def density_seconds(load: Load) -> float:
    """The time of a point by a density matrix, whatever its number of shots."""
    each = _DENSITY_EACH * (load.ones + load.twos)
    entries = float(4**load.qubits) * (1 if load.qubits >= _FUSED_QUBITS else _UNFUSED)
    return each + entries * (_DENSITY_ONE * load.ones + _DENSITY_TWO * load.twos)


def trajectory_seconds(load: Load, shots: int | None) -> float:
    """The time of a point by state vectors whose errors are drawn as they run."""
    return _many(shots) * (_vector_seconds(load) + _DRAWN_EACH * (load.ones + load.twos))


def pattern_seconds(load: Load, shots: int | None, free: float) -> float:
    """The time of a point by one state vector for all shots without an error, one for each of the others."""
    writing = _PATTERN_ONCE + _PATTERN_EACH * (load.ones + load.twos)
    each = _PATTERN_SHARE * _vector_seconds(load) + writing
    return _vector_seconds(load) + _many(shots) * (1 - free) * each


def mps_seconds(load: Load, shots: int | None) -> float:
    """The time of a point by matrix product states, which grow as `Load.growth` says."""
    once = _MPS_EACH * (load.ones + load.twos) + _MPS_GATES * load.growth.gates
    drawing = _MPS_SHOT * load.growth.shot
    if load.noisy or load.dynamic:
        return _many(shots) * (once + drawing)
    return once + _many(shots) * drawing


def seconds_of(method: str, load: Load, shots: int, free: float | None = None) -> float:
    """The time of `shots` at one point by this method, at the least; 0 for one whose time is not known."""
    each = load.noisy or load.dynamic
    if method == MPS:
        return mps_seconds(load, shots)
    if method == DENSITY:
        return density_seconds(load)
    if method == PATTERNS:
        return pattern_seconds(load, shots, free or 0.0)
    if method == VECTOR:
        return trajectory_seconds(load, shots) if each else _vector_seconds(load)
    return 0.0


def state_bytes(method: str, qubits: int) -> int:
    """What Aer allocates for one state, as measured; 0 for a method whose state grows while it runs. A sample
    of shots adds little to it."""
    wide = {VECTOR: qubits, PATTERNS: qubits, DENSITY: 2 * qubits}.get(method)
    return 0 if wide is None else 16 << wide


def _vector_seconds(load: Load) -> float:
    return (load.ones + load.twos) * (_VECTOR_EACH + _VECTOR_AMPLITUDE * float(2**load.qubits))


def _many(shots: int | None) -> float:
    return 1e12 if shots is None else float(shots)
