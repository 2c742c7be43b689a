"""Draws the parameter values of template circuits: the only module that reads a samplex, with `samplomatic`.

A samplex comes from outside and is a program of sorts: a graph of nodes that make and combine arrays. Before
one is drawn from, everything in it that sets the size of an array is compared with a limit. The package is
imported at first use.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sojourn.worker.codec import qpy
from sojourn.worker.programs.executor.schema import NoiseMap, SamplexText, checked_shape
from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.wording import said

VALUES = "parameter_values"
MAX_NODES = 500_000
MAX_SUBSYSTEMS = 20_000_000
"""Of all virtual registers together: one for each qubit and layer, a few times over."""

MAX_REGISTER = 100_000
"""Subsystems of one register: qubits of a layer."""

MAX_SLICES = 20_000
"""Points of a samplex's arguments. Each is drawn from on its own, which takes some milliseconds."""

_MEMORY = 8 * 2**30  # bytes of one draw, on a device that has no limit of its own
_GATE_BYTES = 64  # a register's largest gate, a complex matrix of two by two
_KINDS = "biuf"


class _Node(msgspec.Struct):
    id: int
    data: dict[str, Any]


class _Link(msgspec.Struct):
    source: int
    target: int


class _Graph(msgspec.Struct):
    attrs: dict[str, str]
    nodes: list[_Node]
    links: list[_Link]
    directed: Literal[True] = True
    multigraph: bool = True


_GRAPH = msgspec.json.Decoder(_Graph)


@dataclass(frozen=True, slots=True)
class Extra:
    """An output beside the parameter values: its shape for one randomisation."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class Drawn:
    """`values` is (elements, parameters) float64; `extras` are arrays of (elements, *shape) by name."""

    values: NDArray[np.float64]
    extras: Mapping[str, NDArray[Any]]


class Samplex:
    """A samplex that was read and found to be in order."""

    def __init__(self, inner: Any, where: str) -> None:
        self._inner = inner
        self.subsystems = _subsystems(inner, where)
        self.num_values, self.extras = _outputs(inner, where)

    def bind(self, arguments: Mapping[str, Any], shape: Sequence[int], where: str) -> Randomisation:
        """With `arguments`, broadcast to `shape`. Raises `JobRefused` for what does not fit."""
        bound = self._inner.inputs().make_broadcastable()
        known = {spec.name for spec in bound.specs}
        for name, value in arguments.items():
            at = f"{where}.samplex_arguments[{name[:60]!r}]"
            if name not in known:
                raise JobRefused(f"{at} is not an input of the samplex; it has {', '.join(sorted(known))}")
            value = _noise_map(value, at) if isinstance(value, NoiseMap) else _finite(value, at)
            try:
                bound[name] = value
            except (ValueError, TypeError, OverflowError) as error:
                raise JobRefused(f"{at}: {said(error)}") from None
        if not bound.fully_bound:
            lacking = sorted(s.name for s in bound.specs if not s.optional and s.name not in bound)
            raise JobRefused(f"{where}.samplex_arguments lacks {', '.join(lacking)}, which the samplex needs")
        own = checked_shape(list(shape), f"{where}.shape")
        try:
            whole = np.broadcast_shapes(own, bound.shape)
        except ValueError:
            raise JobRefused(
                f"{where}.shape is {list(own)}, and the samplex_arguments have the shape "
                f"{list(bound.shape)}; they do not broadcast"
            ) from None
        return Randomisation(self, bound, whole)


class Randomisation:
    """A samplex with its arguments, at the elements of `shape`.

    Along the axes on which the arguments change there is one slice for each of their points; the other axes
    count `times` independent randomisations of every slice.
    """

    def __init__(self, samplex: Samplex, bound: Any, shape: tuple[int, ...]) -> None:
        self.samplex = samplex
        self.shape = shape
        self._bound = bound
        padded = (1,) * (len(shape) - bound.ndim) + tuple(bound.shape)
        self._swept = [axis for axis, size in enumerate(padded) if size > 1]
        self._random = [axis for axis in range(len(shape)) if axis not in self._swept]
        self.slices = math.prod(shape[axis] for axis in self._swept)
        self.times = math.prod(shape[axis] for axis in self._random)

    def check(self, memory: int, where: str) -> None:
        """Refuse what takes too many draws, or more than `memory` bytes (0: what any device has) for one."""
        if self.slices > MAX_SLICES:
            raise JobRefused(
                f"{where}.samplex_arguments have {self.slices} points; the limit is {MAX_SLICES}. "
                "Split the item"
            )
        samplex = self.samplex
        outputs = sum(math.prod(extra.shape) * extra.dtype.itemsize for extra in samplex.extras)
        needed = self.times * (samplex.subsystems * _GATE_BYTES + samplex.num_values * 16 + outputs)
        if needed > (memory or _MEMORY):
            raise JobRefused(
                f"{where} asks for {self.times} randomisations, for which {needed / 1e6:.0f} MB may be "
                f"needed at once; the limit is {(memory or _MEMORY) / 1e6:.0f} MB. Split the item"
            )

    def trial(self, points: int, where: str) -> NDArray[np.float64]:
        """(slices, parameters): one randomisation of each slice, where only the first `points` slices are
        drawn and stand for the others. Raises `JobRefused` when the samplex cannot be drawn from."""
        rng = np.random.default_rng()
        drawn = [self._draw(index, 1, rng, where)[VALUES] for index in islice(self._indices(), points)]
        values = _doubles(np.concatenate(drawn))
        if len(values) in (1, self.slices):
            return np.broadcast_to(values, (self.slices, values.shape[1]))
        return np.resize(values, (self.slices, values.shape[1]))

    def draw(self, rng: np.random.Generator, where: str) -> Drawn:
        """A randomisation for every element. Raises `JobRefused`."""
        rest = tuple(self.shape[axis] for axis in self._random)
        made: dict[str, NDArray[Any]] = {}
        for index in self._indices():
            place: list[int | slice] = [slice(None)] * len(self.shape)
            for axis, at in zip(self._swept, index, strict=True):
                place[axis] = at
            for name, array in self._draw(index, self.times, rng, where).items():
                if name not in made:
                    made[name] = np.empty((*self.shape, *array.shape[1:]), dtype=array.dtype)
                made[name][tuple(place)] = array.reshape(*rest, *array.shape[1:])
        size = math.prod(self.shape)
        flat = {name: array.reshape(size, *array.shape[len(self.shape) :]) for name, array in made.items()}
        return Drawn(_doubles(flat.pop(VALUES)), flat)

    def _indices(self) -> Iterator[tuple[int, ...]]:
        yield from np.ndindex(*(self.shape[axis] for axis in self._swept))

    def _draw(
        self, index: tuple[int, ...], times: int, rng: np.random.Generator, where: str
    ) -> dict[str, NDArray[Any]]:
        at = dict(zip(self._swept, index, strict=True))
        missing = len(self.shape) - self._bound.ndim
        part = self._bound[tuple(at.get(axis + missing, 0) for axis in range(self._bound.ndim))]
        try:
            # one thread: the randomness is spawned for each node, so their number changes nothing
            found = dict(self.samplex._inner.sample(part, num_randomizations=times, rng=rng, max_workers=1))
        except MemoryError:
            raise
        except Exception as error:
            raise JobRefused(f"{where}: the samplex cannot be drawn from: {said(error)}") from error
        if not np.isfinite(found[VALUES]).all():
            raise JobRefused(f"{where}: the samplex gives parameter values that are not finite")
        return found


def load(text: SamplexText, where: str) -> Samplex:
    """Read a samplex. Raises `JobRefused` for one that cannot be read or is too large."""
    try:
        from samplomatic.serialization import samplex_from_json
        from samplomatic.ssv import SSV
    except ImportError as error:
        raise JobRefused(
            f"{where}: samplex items are not run on this device, whose Python environment has no samplomatic "
            f"({error}); ask the operator to install it"
        ) from error
    if not 1 <= text.ssv <= SSV:
        raise JobRefused(f"{where}.ssv is {text.ssv}; this device reads the versions 1 to {SSV}")
    _check_header(text, where)
    try:
        return Samplex(samplex_from_json(text.samplex_json).finalize(), where)
    except (JobRefused, MemoryError):
        raise
    except RecursionError:
        raise JobRefused(f"{where} is nested too deeply") from None
    except Exception as error:
        raise JobRefused(f"{where} cannot be read: {said(error)}") from error


def _check_header(text: SamplexText, where: str) -> None:
    """Look at what is expensive or dangerous to read. The expressions of a samplex come as a QPY file inside
    of JSON inside of its JSON; the numbers of its nodes say how large the graph is made, by native code."""
    try:
        graph = _GRAPH.decode(text.samplex_json)
        attributes = graph.attrs
        version = int(attributes["ssv"])
        content = base64.b64decode(
            msgspec.json.decode(attributes["param_table"])["circuit_base64"], validate=True
        )
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError, binascii.Error) as error:
        raise JobRefused(f"{where}.samplex_json is not a samplex: {said(error)}") from None
    if version != text.ssv:
        raise JobRefused(f"{where}.ssv is {text.ssv}, and the samplex says that it is of version {version}")
    numbers = {node.id for node in graph.nodes}
    ends = {end for link in graph.links for end in (link.source, link.target)}
    if len(numbers) != len(graph.nodes) or not ends <= numbers:
        raise JobRefused(f"{where}: its links and nodes do not fit together")
    if any(not 0 <= number < MAX_NODES for number in numbers) or len(graph.links) > 10 * MAX_NODES:
        raise JobRefused(f"{where}: its nodes must have numbers from 0 to {MAX_NODES - 1}")
    for node in graph.nodes:
        if node.data.get("is_slice") == "true":  # it is written out before it is compared with its register
            _check_slice(node.data.get("slice_idxs"), where)
    qpy.check_expressions(content, f"{where}: the expressions")


def _check_slice(text: Any, where: str) -> None:
    try:
        ends = msgspec.json.decode(text, type=list[int | None])
    except (msgspec.MsgspecError, TypeError):
        ends = [MAX_REGISTER + 1]
    if any(end is not None and abs(end) > MAX_REGISTER for end in ends):
        raise JobRefused(f"{where}: a slice is of integers up to {MAX_REGISTER}; received {str(text)[:80]}")


def _subsystems(inner: Any, where: str) -> int:
    nodes = inner.graph.nodes()
    if len(nodes) > MAX_NODES:
        raise JobRefused(f"{where} has {len(nodes)} nodes; the limit is {MAX_NODES}")
    sizes = [size for node in nodes for size, _ in node.instantiates().values()]
    if any(not 0 <= size <= MAX_REGISTER for size in sizes) or sum(sizes) > MAX_SUBSYSTEMS:
        raise JobRefused(
            f"{where} has virtual registers of up to {max(sizes)} subsystems, {sum(sizes)} together; the "
            f"limits are {MAX_REGISTER} for one and {MAX_SUBSYSTEMS} for all"
        )
    return int(sum(sizes))


def _outputs(inner: Any, where: str) -> tuple[int, tuple[Extra, ...]]:
    """How many parameter values a randomisation has, and its other outputs."""
    values = None
    extras = []
    for spec in inner.outputs().specs:
        shape = getattr(spec, "shape", ("",))
        sized = all(isinstance(size, int) and size >= 0 for size in shape[1:])
        if shape[:1] != ("num_randomizations",) or not sized or spec.dtype.kind not in _KINDS:
            raise JobRefused(
                f"{where} has the output {spec.name[:60]!r}, which is not an array of numbers over the "
                "randomisations"
            )
        if spec.name == VALUES:
            values = math.prod(shape[1:]) if len(shape) == 2 else None
        else:
            extras.append(Extra(spec.name, tuple(shape[1:]), spec.dtype))
    if values is None:
        raise JobRefused(f"{where} has no output {VALUES!r}")
    return values, tuple(extras)


def _noise_map(given: NoiseMap, where: str) -> Any:
    """The `PauliLindbladMap`, which Qiskit has since 2.1, as has whoever sends one."""
    from qiskit.quantum_info import PauliLindbladMap

    if not all(math.isfinite(rate) for _, _, rate in given.sparse_terms):
        raise JobRefused(f"{where} has a rate that is not finite")
    try:
        return PauliLindbladMap.from_sparse_list(given.sparse_terms, given.num_qubits)
    except Exception as error:
        raise JobRefused(f"{where} is not a Pauli-Lindblad map: {said(error)}") from None


def _finite(value: Any, where: str) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind in "fc" and not np.isfinite(value).all():
        raise JobRefused(f"{where} has NaN or infinite values")
    return value


def _doubles(values: NDArray[Any]) -> NDArray[np.float64]:
    """In double precision. Where a value is a multiple of pi/2 in single precision, that multiple is meant:
    the bounds of a device's angles are such, and are not to be missed by the rounding."""
    made: NDArray[np.float64] = values.astype(np.float64)
    if values.dtype == np.float32:
        exact = np.rint(made / (np.pi / 2)) * (np.pi / 2)
        np.copyto(made, exact, where=exact.astype(np.float32) == values)
    return made
