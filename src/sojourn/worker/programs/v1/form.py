"""The form of a V1 job: the members of its `params`, its options, and what it asks for point by point.

A job is a list of experiments: a circuit, an observable (estimator) and parameter values, each named by its
index."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sojourn.devices.conditions import USUAL, Conditions
from sojourn.worker.codec import decode, noise
from sojourn.worker.codec.decode import Budget
from sojourn.worker.programs import options
from sojourn.worker.programs.base import Program
from sojourn.worker.programs.device import DeviceContext
from sojourn.worker.programs.options import (
    IDEAL,
    MAX_GATES,
    MAX_PAIRS,
    NULL,
    OFF,
    SEED,
    Limits,
    Option,
    anything,
    basis_gates,
    coupling_map,
    exactly,
    never,
    noise_model,
    positive_int,
    rep_delay,
    seed,
)
from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.wording import quoted

DEFAULT_SHOTS = 4000
DEFAULT_OPTIMIZATION = 3
DEFAULT_RESILIENCE = 1
"""What the client of V1 sends when its user sets nothing."""

MAX_EXPERIMENTS = 10_000
MAX_LAYOUT = 100_000

INPUTS = (
    *("circuits", "circuit_indices", "parameters", "parameter_values"),
    *("transpilation_settings", "resilience_settings", "run_options", "version", "support_qiskit"),
)
AMPLIFICATION = ("noise_amplifier", "noise_factors", "extrapolator")
"""Options of level 2, which clients send with the others as well."""

SECTIONS = ("transpilation_settings", "resilience_settings", "run_options")
_PARAMETER = struct.Struct("!H16s")  # QPY: the length of the name, a UUID; the name follows

_LAYOUTS = ("trivial", "dense", "sabre")
_ROUTINGS = ("basic", "lookahead", "sabre", "none")
_AT_LEVEL_2 = {
    "noise_amplifier": "TwoQubitAmplifier; anything at other levels than 2",
    "noise_factors": "2 to 20 different numbers from 1 to 100, as many as the extrapolator needs; anything "
    "at other levels than 2",
    "extrapolator": "LinearExtrapolator, QuadraticExtrapolator, CubicExtrapolator or QuarticExtrapolator; "
    "anything at other levels than 2",
}


def _degree(value: Any, _: Limits) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _layout(value: Any, _: Limits) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= MAX_LAYOUT
        and all(isinstance(q, int) and not isinstance(q, bool) and q >= 0 for q in value)
        and len(set(value)) == len(value)
    )


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def v1_options(*levels: int) -> tuple[Option, ...]:
    """What V1 primitives know, when these are the resilience levels that are carried out."""
    wanted, made, run = (f"{section}." for section in SECTIONS)
    return (
        Option(f"{wanted}optimization_settings.level", "honoured", "0, 1, 2 or 3", exactly(0, 1, 2, 3)),
        Option(f"{wanted}skip_transpilation", "honoured", "true or false", exactly(True, False)),
        Option(f"{wanted}initial_layout", "honoured", "a list of different qubits of the device", _layout),
        Option(f"{wanted}layout_method", "honoured", _or(_LAYOUTS), exactly(*_LAYOUTS)),
        Option(f"{wanted}routing_method", "honoured", _or(_ROUTINGS), exactly(*_ROUTINGS)),
        Option(f"{wanted}approximation_degree", "honoured", "a number from 0 to 1", _degree),
        Option(f"{made}level", "honoured", _or([str(level) for level in levels]), exactly(*levels)),
        Option(f"{run}shots", "honoured", "an integer of at least 1", positive_int),
        Option(f"{run}seed_simulator", "honoured", SEED, seed),
        Option(f"{run}rep_delay", "honoured", "seconds within the device's rep_delay_range", rep_delay),
        Option(f"{run}init_qubits", "fixed", "true", exactly(True)),
        Option(f"{run}use_measure_esp", "fixed", "false", OFF),
        *(
            Option(f"{made}{name}", "honoured", _AT_LEVEL_2[name], anything)  # checked when it is level 2
            if 2 in levels
            else Option(f"{made}{name}", "idle", "anything", anything)
            for name in AMPLIFICATION
        ),
        Option(
            f"{wanted}coupling_map",
            "honoured",
            f"up to {MAX_PAIRS} pairs of qubits, for which circuits are transpiled; {IDEAL}",
            coupling_map,
        ),
        Option(
            f"{wanted}basis_gates",
            "honoured",
            f"up to {MAX_GATES} names of gates, to which circuits are transpiled; {IDEAL}",
            basis_gates,
        ),
        Option(f"{run}noise_model", "honoured", f"a NoiseModel of Qiskit Aer; {IDEAL}", noise_model),
        *(
            Option(f"{run}{name}", "refused", NULL, never)
            for name in ("qubit_lo_freq", "meas_lo_freq", "schedule_los")
        ),
    )


@dataclass(frozen=True, slots=True)
class Transpilation:
    """How circuits are made ready for the device; with `skip` they must fit it as they are."""

    level: int = DEFAULT_OPTIMIZATION
    skip: bool = False
    initial_layout: tuple[int, ...] | None = None
    layout_method: str | None = None
    routing_method: str | None = None
    approximation_degree: float | None = None
    coupling_map: tuple[tuple[int, int], ...] | None = None
    basis_gates: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Experiment:
    """One result. `circuit` and `observable` are indices; `values` is (parameters,), in the order of `names`,
    or in that of the circuit when no names came."""

    circuit: int
    observable: int | None
    values: NDArray[np.float64]
    where: str


@dataclass(frozen=True, slots=True)
class Job:
    """The params of a V1 job, opened: circuits and observables still as text, options checked. `names` are
    the parameters of each circuit as the client lists them; None where it does not."""

    circuits: Sequence[msgspec.Raw]
    observables: Sequence[msgspec.Raw]
    names: Sequence[tuple[str, ...] | None]
    experiments: Sequence[Experiment]
    transpilation: Transpilation
    resilience: int
    shots: int
    settings: options.Settings
    amplification: Mapping[str, Any]
    conditions: Conditions
    budget: Budget = field(default_factory=Budget)


class V1Program(Program):
    """A primitive whose params have circuits and indices into them, instead of pubs."""

    def meant(self, params: bytes) -> bool:
        """Whether a job is of this form: it has `circuits`, no `pubs`, and no later version."""
        if b'"pubs"' in params:  # of most jobs nothing more is read here
            return False
        try:
            members = decode.read_object(params, "params")
        except JobRefused:
            return False
        return "circuits" in members and bytes(members.get("version", b"1")) in (b"1", b"null")

    def open(self, device: DeviceContext, params: bytes) -> Job:
        """Read the members of `params` and check the options. Raises `JobRefused`."""
        members = decode.read_object(params, "params")
        known = set(self.inputs)
        sections = {
            name: decode.read_any(members[name], f"params.{name}") for name in SECTIONS if name in members
        }
        _, faults = self.options.look(sections, device.limits)
        faults += [
            f"params.{name[: options.MAX_NAME]} is not a member that the {self.title} knows; it knows "
            + ", ".join(sorted(known))
            for name in sorted(set(members) - known)
        ]
        options.refuse(faults)
        wanted, resilience, run = (sections.get(name) or {} for name in SECTIONS)
        settings = options.Settings(seed=run.get("seed_simulator"), rep_delay=run.get("rep_delay"))
        shots = DEFAULT_SHOTS if run.get("shots") is None else run["shots"]
        if shots > device.max_shots:
            raise JobRefused(
                f"params.run_options.shots is {shots}; the limit of {device.name} is {device.max_shots} per "
                "circuit"
            )
        level = resilience.get("level")
        budget = Budget()
        circuits = _items(members, "circuits")
        observables = _items(members, "observables") if "observables" in known else []
        return Job(
            circuits,
            observables,
            _names(members, len(circuits)),
            _experiments(members, len(circuits), len(observables), "observables" in known, budget),
            _transpilation(wanted),
            DEFAULT_RESILIENCE if level is None else level,
            shots,
            settings,
            {name: resilience[name] for name in AMPLIFICATION if resilience.get(name) is not None},
            _conditions(run, budget),
            budget,
        )


def _items(members: Mapping[str, msgspec.Raw], name: str) -> list[msgspec.Raw]:
    if name not in members:
        raise JobRefused(f"params.{name} is missing: a V1 job needs a list of them")
    found = decode.read_list(members[name], f"params.{name}")
    if not found:
        raise JobRefused(f"params.{name} is empty: there is nothing to run")
    if len(found) > MAX_EXPERIMENTS:
        raise JobRefused(f"params.{name} has {len(found)} entries; the limit is {MAX_EXPERIMENTS}")
    return found


def _experiments(
    members: Mapping[str, msgspec.Raw], circuits: int, observables: int, observed: bool, budget: Budget
) -> list[Experiment]:
    picked = _indices(members, "circuit_indices", circuits, "circuits")
    looked: Sequence[int | None] = [None] * len(picked)
    if observed:
        looked = _indices(members, "observable_indices", observables, "observables")
        if len(looked) != len(picked):
            raise JobRefused(
                f"params.observable_indices has {len(looked)} entries and params.circuit_indices "
                f"{len(picked)}; there must be one of each for every result"
            )
    texts: Sequence[msgspec.Raw | None] = [None] * len(picked)
    if (text := members.get("parameter_values")) is not None and bytes(text) != b"null":
        texts = decode.read_list(text, "params.parameter_values")
        if len(texts) != len(picked):
            raise JobRefused(
                f"params.parameter_values has {len(texts)} entries and params.circuit_indices {len(picked)}; "
                "there must be one of each for every result"
            )
    made = []
    for number, (circuit, observable, values) in enumerate(zip(picked, looked, texts, strict=True)):
        where = f"parameter_values[{number}]"
        made.append(Experiment(circuit, observable, _values(values, where, budget), where))
    return made


def _indices(members: Mapping[str, msgspec.Raw], name: str, count: int, of: str) -> list[int]:
    text = members.get(name)
    if text is None or bytes(text) == b"null":
        return list(range(count))
    found = decode.read_any(text, f"params.{name}")
    if not isinstance(found, list) or not all(type(i) is int and 0 <= i < count for i in found):
        raise JobRefused(
            f"params.{name} is {quoted(found)}; it must be a list of integers from 0 to {count - 1}, "
            "places in "
            f"params.{of}"
        )
    if not 0 < len(found) <= MAX_EXPERIMENTS:
        raise JobRefused(f"params.{name} has {len(found)} entries; it must have 1 to {MAX_EXPERIMENTS}")
    return found


def _values(text: msgspec.Raw | None, where: str, budget: Budget) -> NDArray[np.float64]:
    given = None if text is None else decode.read_values(text, where, budget)
    if given is None:
        return np.zeros(0)
    if isinstance(given, dict) or given.ndim != 1:
        raise JobRefused(f"{where} must be a list of numbers, one for each parameter of its circuit")
    return given


def _names(members: Mapping[str, msgspec.Raw], circuits: int) -> list[tuple[str, ...] | None]:
    """The parameters as the client lists them. Their names decide: a circuit that was decoded has others of
    the same names."""
    text = members.get("parameters")
    if text is None or bytes(text) == b"null":
        return [None] * circuits
    found = decode.read_list(text, "params.parameters")
    if len(found) != circuits:
        raise JobRefused(
            f"params.parameters has {len(found)} entries, params.circuits {circuits}; there must be a "
            "list of "
            "parameters for each circuit"
        )
    return [_named(each, f"params.parameters[{index}]") for index, each in enumerate(found)]


def _named(text: msgspec.Raw, where: str) -> tuple[str, ...] | None:
    if bytes(text) == b"null":
        return None
    return tuple(_name(each, where) for each in decode.read_list(text, where))


def _name(text: msgspec.Raw, where: str) -> str:
    value = decode.read_any(text, where)
    try:
        if value["__type__"] != "Parameter":
            raise ValueError("not a parameter")
        content = base64.b64decode(value["__value__"], validate=True)
        size, _ = _PARAMETER.unpack_from(content)
        name = content[_PARAMETER.size :]
        if len(name) != size:
            raise ValueError("cut off")
        return name.decode("utf-8")
    except (KeyError, TypeError, ValueError, struct.error, binascii.Error):
        raise JobRefused(
            f"{where} has {quoted(value)}, which is not a parameter as the client writes it; leave "
            "params.parameters out for the order of the circuit"
        ) from None


def _transpilation(given: Mapping[str, Any]) -> Transpilation:
    level = (given.get("optimization_settings") or {}).get("level")
    layout = given.get("initial_layout")
    degree = given.get("approximation_degree")
    pairs, gates = given.get("coupling_map"), given.get("basis_gates")
    return Transpilation(
        level=DEFAULT_OPTIMIZATION if level is None else level,
        skip=bool(given.get("skip_transpilation")),
        initial_layout=None if layout is None else tuple(layout),
        layout_method=given.get("layout_method"),
        routing_method=given.get("routing_method"),
        approximation_degree=None if degree is None else float(degree),
        coupling_map=None if pairs is None else tuple((first, second) for first, second in pairs),
        basis_gates=None if gates is None else tuple(gates),
    )


def _conditions(run: Mapping[str, Any], budget: Budget) -> Conditions:
    model = run.get("noise_model")
    if model is None:
        return USUAL
    return Conditions(errors=noise.read(model, "params.run_options.noise_model", budget))
