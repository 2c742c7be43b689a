"""Where the qubits of a coupling map are drawn: so that their distances on paper are those along the map."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

ROUNDS = 60
"""Rounds of stress majorization (Gansner, Koren and North, 2004)."""
MOST = 400
"""Qubits; larger maps are placed by the first guess, which costs less."""

Floats = NDArray[np.float64]


def places(count: int, pairs: Iterable[Sequence[int]]) -> list[tuple[float, float]]:
    """A point for each qubit, x to the right and y down, the wider side of the map horizontal. Neighbours are
    about 1 apart. The same for the same map, always."""
    if count < 2:
        return [(0.0, 0.0)] * count
    wanted = _distances(count, pairs)
    found = _first(wanted)
    if count <= MOST:
        found = _majorized(found, wanted)
    return [(float(x), float(y)) for x, y in _turned(found)]


def _distances(count: int, pairs: Iterable[Sequence[int]]) -> Floats:
    """Steps from each qubit to each other one. Those that cannot be reached are a little farther than all."""
    beside: list[list[int]] = [[] for _ in range(count)]
    for low, high in pairs:
        beside[low].append(high)
        beside[high].append(low)
    steps = np.full((count, count), np.inf)
    for start in range(count):
        steps[start, start] = 0.0
        ahead = deque([start])
        while ahead:
            here = ahead.popleft()
            for there in beside[here]:
                if steps[start, there] == np.inf:
                    steps[start, there] = steps[start, here] + 1.0
                    ahead.append(there)
    farthest = float(steps[np.isfinite(steps)].max())
    steps[np.isinf(steps)] = farthest + 2.0
    return steps


def _first(wanted: Floats) -> Floats:
    """Classical scaling: the two directions in which the squared distances vary most."""
    squared = wanted**2
    centred = -0.5 * (squared - squared.mean(0) - squared.mean(1)[:, None] + squared.mean())
    values, vectors = np.linalg.eigh(centred)
    found: Floats = vectors[:, [-1, -2]] * np.sqrt(np.maximum(values[[-1, -2]], 1e-9))
    return found


def _majorized(found: Floats, wanted: Floats) -> Floats:
    count = len(found)
    weights = 1.0 / np.maximum(wanted, 1.0) ** 2
    np.fill_diagonal(weights, 0.0)
    inverse = np.linalg.pinv(np.diag(weights.sum(1)) - weights)
    for _ in range(ROUNDS):
        apart = np.linalg.norm(found[:, None] - found[None], axis=2)
        pull = weights * wanted / np.maximum(apart, 1e-9)
        np.fill_diagonal(pull, 0.0)
        found = inverse @ ((np.diag(pull.sum(1)) - pull) @ found)
    assert found.shape == (count, 2)
    return found


def _turned(found: Floats) -> Floats:
    """The widest direction becomes horizontal, and the first qubit is at the left and above the last one."""
    centred = found - found.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    turned: Floats = centred @ axes.T
    for axis in (0, 1):
        if turned[0, axis] > turned[-1, axis]:
            turned[:, axis] *= -1.0
    return turned
