"""The program `estimator` (V2): expectation values from shots. Does not know how devices work.

Terms that commute qubit by qubit are measured together; shots are ceil(1 / precision**2) per circuit; the
reported error is sum(|coefficient| * sqrt(variance)) / sqrt(shots), as Qiskit's BackendEstimatorV2 has it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sojourn.devices.conditions import Conditions
from sojourn.devices.driver import Outcome
from sojourn.worker.codec import decode, encode
from sojourn.worker.codec.decode import Observables
from sojourn.worker.programs import basis
from sojourn.worker.programs.base import Plan, Window, Work
from sojourn.worker.programs.basis import Group, Grouping
from sojourn.worker.programs.conditions import Restriction, conditions_of, restriction_of
from sojourn.worker.programs.device import Circuit, DeviceContext
from sojourn.worker.programs.fields import encoded_size
from sojourn.worker.programs.mitigated.asked import Asked, compatible, of_estimator, unavailable
from sojourn.worker.programs.mitigated.table import RESILIENCE
from sojourn.worker.programs.options import (
    DEFAULT_PRECISION,
    SEED,
    SHARED,
    Option,
    Options,
    positive,
    seed,
)
from sojourn.worker.programs.pubs import INPUTS, Payload, PubProgram, real_precision
from sojourn.worker.programs.tally import Tally
from sojourn.worker.programs.v1.estimator import ESTIMATOR as V1_ESTIMATOR
from sojourn.worker.protocol.types import JobRefused, Prepared

MAX_CIRCUIT_SHOTS = 10_000_000
MAX_SETS = 50_000
"""Sets of observables that points of one pub need. Each is grouped on its own, which takes some 0.2 ms."""


@dataclass(frozen=True, slots=True)
class Part:
    """Points of a pub that need the same observables.

    `points` are their indices; `pairs` are, for each observable of the part, the flat result indices and
    the rows of `points` that they come from. `tasks` is where the outcomes of the grouping's groups start.
    """

    points: NDArray[np.intp]
    grouping: Grouping
    pairs: tuple[tuple[int, NDArray[np.intp], NDArray[np.intp]], ...]
    first: int


@dataclass(frozen=True, slots=True)
class EstimatorPub:
    """One pub: the broadcast `shape`, and how its values are put together. The measured bits
    of every group begin at the classical bit `first_bit`."""

    shape: tuple[int, ...]
    parts: tuple[Part, ...]
    observables: Observables
    shots: int
    precision: float
    first_bit: int
    metadata: msgspec.Raw


class EstimatorPlan(Plan):
    """A checked estimator job."""

    def __init__(
        self,
        pubs: list[EstimatorPub],
        prepared: Prepared,
        work: list[Work],
        seed: int | None,
        conditions: Conditions,
    ) -> None:
        super().__init__(prepared, work, seed, memory=False, conditions=conditions)
        self._pubs = pubs

    def result(self, outcomes: list[list[Outcome]], window: Window) -> bytes:
        results = []
        for pub in self._pubs:
            evs, stds = _values(pub, outcomes)
            encoded = encode.array(stds)
            fields = {
                "evs": ("numpy.ndarray", encode.array(evs)),
                "stds": ("numpy.ndarray", encoded),
                "ensemble_standard_error": ("numpy.ndarray", encoded),
            }
            metadata = {
                "shots": pub.shots,
                "target_precision": pub.precision,
                "circuit_metadata": pub.metadata,
                "resilience": {},
                "num_randomizations": 1,
            }
            data = encode.data_bin(pub.shape, fields)
            results.append(encode.pub_result("PubResult", data, metadata))
        metadata = {
            "dynamical_decoupling": {"enable": False},
            "twirling": {"enable_gates": False, "enable_measure": False},
            "resilience": {
                "measure_mitigation": False,
                "zne_mitigation": False,
                "pec_mitigation": False,
            },
            "execution": {
                "start": encode.moment(window.start),
                "stop": encode.moment(window.stop),
            },
            "version": 2,
        }
        return encode.primitive_result(results, metadata)


class Estimator(PubProgram):
    """`EstimatorV2` of the client."""

    name = "estimator"
    parts = ("circuit", "observables", "values", "precision")
    least = 2
    inputs = (*INPUTS, "resilience_level", "precision")
    earlier = V1_ESTIMATOR
    options = Options(
        name,
        *SHARED,
        Option("default_precision", "honoured", "a number above 0", positive),
        Option("seed_estimator", "honoured", SEED, seed),
        *RESILIENCE,
    )

    def plan_pubs(self, device: DeviceContext, payload: Payload) -> Plan:
        """Check an estimator job. Raises `JobRefused`."""
        asked = of_estimator(payload.settings.given, device.resilience_level)
        conditions = conditions_of(device, payload.settings, payload.budget)
        running = device.under(conditions)
        restriction = restriction_of(payload.settings)
        tally = Tally(running, payload.settings)
        read = (_read(device, payload, index, texts, tally) for index, texts in enumerate(payload.pubs))
        if asked.anything:
            compatible(asked, conditions)
            return _mitigated(running, payload, asked, read, restriction, tally)
        pubs: list[EstimatorPub] = []
        work: list[Work] = []
        for pub in read:
            circuit, where, points = pub.circuit, pub.where, pub.points
            restriction.check(circuit.circuit, where)
            tally.result(3 * encoded_size(8 * math.prod(pub.whole)) + len(bytes(pub.metadata)) + 600)
            tally.limit()
            parts = []
            for chosen, wanted, pairs in _parts(pub.shape, pub.observables.shape, pub.whole, where):
                grouping: Grouping = device.recall(
                    (pub.key, "groups", wanted),
                    lambda o=pub.observables, w=wanted: basis.group(o, w),  # type: ignore[misc]
                )
                parts.append(Part(chosen, grouping, pairs, len(work)))
                for group in grouping.groups:
                    work.append(_work(device, circuit, group, points[chosen], pub.shots, where))
                    tally.memory(work[-1], circuit, in_order=False)
                    tally.add(circuit, points[chosen], pub.shots)
                if grouping.groups and (circuit.checked.dynamic or conditions.carried):
                    work[-1].task(running)
            tally.limit()
            bits = circuit.circuit.num_clbits
            pubs.append(
                EstimatorPub(
                    pub.whole, tuple(parts), pub.observables, pub.shots, pub.precision, bits, pub.metadata
                )
            )
        prepared = tally.prepared(num_qubits=max(pub.observables.width for pub in pubs))
        return EstimatorPlan(pubs, prepared, work, payload.settings.seed, conditions)


@dataclass(frozen=True, slots=True)
class _Read:
    """A pub as it was read: `shape` is that of its points, `whole` that of its result. `stated` says that the
    shots come from the pub or the run, and not from an option."""

    where: str
    circuit: Circuit
    key: bytes
    observables: Observables
    shape: tuple[int, ...]
    points: NDArray[np.float64]
    shots: int
    precision: float
    stated: bool
    whole: tuple[int, ...]
    metadata: msgspec.Raw


def _read(
    device: DeviceContext, payload: Payload, index: int, texts: Sequence[msgspec.Raw], tally: Tally
) -> _Read:
    where = f"pubs[{index}]"
    circuit = device.circuit(texts[0], f"{where}: the circuit", payload.budget)
    tally.warnings.extend(f"{where}: {warning}" for warning in circuit.timing.warnings)
    key, observables = device.observables(texts[1], f"{where}: the observables")
    circuit = _fitting(device, circuit, observables, where)
    values = texts[2] if len(texts) > 2 else None
    shape, points = device.points(circuit, values, f"{where}: the parameter values", payload.budget)
    own = decode.read_any(texts[3], f"{where}: precision") if len(texts) > 3 else None
    shots, precision = _shots(own, payload, where)
    stated = own is not None or payload.precision is not None
    whole = _broadcast(shape, observables.shape, where)
    metadata = device.metadata(circuit, where, payload.budget)
    return _Read(where, circuit, key, observables, shape, points, shots, precision, stated, whole, metadata)


def _mitigated(
    device: DeviceContext,
    payload: Payload,
    asked: Asked,
    read: Iterator[_Read],
    restriction: Restriction,
    tally: Tally,
) -> Plan:
    # loaded by the first job that asks for it: few do, and the packages behind it are large
    try:
        from sojourn.worker.programs.mitigated import estimator as mitigated
    except ImportError as missing:
        raise unavailable(missing) from missing

    pubs = []
    for pub in read:
        restriction.check(pub.circuit.circuit, pub.where)
        shots = _limited(asked.twirling.settled(pub.shots, pub.stated, pub.where), pub.where)
        pubs.append(
            mitigated.Pub(
                pub.where,
                pub.circuit,
                pub.points.reshape(*pub.shape, pub.circuit.num_parameters),
                pub.key,
                pub.observables,
                pub.whole,
                shots,
                pub.precision if shots == pub.shots else 1 / math.sqrt(shots),
                pub.metadata,
            )
        )
    return mitigated.plan(device, pubs, asked, payload.settings, restriction, payload.budget, tally)


def _fitting(device: DeviceContext, circuit: Circuit, observables: Observables, where: str) -> Circuit:
    """The circuit, as wide as the observables. Text circuits name physical qubits only up to the last that
    they use, so they are widened; any other mismatch is refused."""
    width = circuit.circuit.num_qubits
    if observables.width == width:
        return circuit
    if circuit.text and width < observables.width <= device.num_qubits:
        return basis.widened(circuit, observables.width)
    raise JobRefused(
        f"{where}: the observables act on {observables.width} qubits, the circuit has {width}; apply the "
        "transpiled circuit's layout to them (observable.apply_layout(circuit.layout))"
    )


def _shots(own: Any, payload: Payload, where: str) -> tuple[int, float]:
    """Shots per circuit and the precision that they stand for. A pub's own precision wins over the run's,
    that over options.default_shots, that over options.default_precision."""
    settings = payload.settings
    if own is not None:
        precision = real_precision(own, f"{where}: precision")
    elif payload.precision is not None:
        precision = payload.precision
    elif settings.default_shots is not None:
        return _limited(settings.default_shots, where), 1 / math.sqrt(settings.default_shots)
    elif payload.shots is not None:
        return _limited(payload.shots, where), 1 / math.sqrt(payload.shots)
    else:
        precision = settings.default_precision or DEFAULT_PRECISION
    if precision < 1e-9:
        raise JobRefused(f"{where}: precision {precision:g} needs more than 10**18 shots")
    # a precision may be as large as a number can be: its square need not be one
    return _limited(max(1, math.ceil(1 / precision / precision)), where), precision


def _limited(shots: int, where: str) -> int:
    if shots > MAX_CIRCUIT_SHOTS:
        least = 1 / math.sqrt(MAX_CIRCUIT_SHOTS)
        raise JobRefused(
            f"{where} needs {shots} shots per circuit; the limit is {MAX_CIRCUIT_SHOTS}, which is "
            f"a precision of {least:.6f}"
        )
    return shots


def _broadcast(points: tuple[int, ...], observables: tuple[int, ...], where: str) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(points, observables)
    except ValueError:
        raise JobRefused(
            f"{where}: parameter values of shape {points} and observables of shape {observables} "
            "do not broadcast"
        ) from None


def _parts(
    points: tuple[int, ...], observables: tuple[int, ...], whole: tuple[int, ...], where: str
) -> Iterator[
    tuple[NDArray[np.intp], tuple[int, ...], tuple[tuple[int, NDArray[np.intp], NDArray[np.intp]], ...]]
]:
    """Points that need the same set of observables, together: they run the same circuits."""
    count = math.prod(points)
    point_of = np.broadcast_to(np.arange(count).reshape(points), whole).ravel()
    observable_of = np.broadcast_to(np.arange(math.prod(observables)).reshape(observables), whole).ravel()
    wanted: list[set[int]] = [set() for _ in range(count)]
    for point, observable in zip(point_of.tolist(), observable_of.tolist(), strict=True):
        wanted[point].add(observable)
    by_set: dict[tuple[int, ...], list[int]] = {}
    for point, asked in enumerate(wanted):
        by_set.setdefault(tuple(sorted(asked)), []).append(point)
    if len(by_set) > MAX_SETS:
        raise JobRefused(
            f"{where}: the points need {len(by_set)} different sets of observables; the limit is {MAX_SETS}. "
            "Split the pub, or broadcast the same observables over the points"
        )
    row = np.zeros(count, dtype=np.intp)
    home = np.zeros(count, dtype=np.intp)
    for number, members in enumerate(by_set.values()):
        row[members] = np.arange(len(members))
        home[members] = number
    # pairs of the whole in the order of their part, then of their observable: one run of each per part
    order = np.lexsort((observable_of, home[point_of]))
    parts = np.split(order, np.flatnonzero(np.diff(home[point_of[order]])) + 1)
    for (needs, members), inside in zip(by_set.items(), parts, strict=True):
        runs = np.split(inside, np.flatnonzero(np.diff(observable_of[inside])) + 1)
        pairs = tuple((int(observable_of[flat[0]]), flat, row[point_of[flat]]) for flat in runs)
        yield np.array(members, dtype=np.intp), needs, pairs


def _work(
    device: DeviceContext, circuit: Circuit, group: Group, points: NDArray[np.float64], shots: int, where: str
) -> Work:
    return Work(
        (circuit.key, circuit.circuit.num_qubits, group.basis),
        lambda: basis.measured(device, circuit.circuit, group),
        points,
        shots,
        where,
    )


def _values(
    pub: EstimatorPub, outcomes: Sequence[Sequence[Outcome]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """evs and stds of a pub, both of its shape."""
    size = math.prod(pub.shape)
    evs = np.zeros(size)
    stds = np.zeros(size)
    for part in pub.parts:
        known: dict[str, NDArray[np.float64]] = {}
        for number, group in enumerate(part.grouping.groups):
            found = [group.expectations(outcome, pub.first_bit) for outcome in outcomes[part.first + number]]
            table = np.array(found)  # (points, labels)
            known.update((label, table[:, i]) for i, label in enumerate(group.labels))
        for observable, flat, rows in part.pairs:
            for label, coefficient in pub.observables.terms[observable].items():
                values = known.get(label)
                if values is None:  # the identity is exact
                    evs[flat] += coefficient
                    continue
                evs[flat] += coefficient * values[rows]
                stds[flat] += abs(coefficient) * np.sqrt(np.maximum(1 - values[rows] ** 2, 0))
    return evs.reshape(pub.shape), (stds / math.sqrt(pub.shots)).reshape(pub.shape)


ESTIMATOR = Estimator()
