"""Owns the table of options: which are honoured, which change nothing here, which are refused.

Nothing is dropped silently: an option that is not in the table, or has a value that this service does not
carry out, is refused with its full name, its value and what is allowed. `docs/options.md` repeats the table
and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from sojourn.worker.protocol.types import JobRefused

DEFAULT_SHOTS = 4096
DEFAULT_PRECISION = 0.015625
SEED_LIMIT = 2**63 - 1
MAX_FAULTS = 25  # written out in one refusal
MAX_NAME = 120  # characters of a name that is not ours

Status = Literal["honoured", "fixed", "idle", "service", "refused"]

STATUS_TEXT: Mapping[Status, str] = {
    "honoured": "honoured",
    "fixed": "accepted when it says what happens anyway",
    "idle": "accepted, without effect while the feature is off",
    "service": "honoured outside the device",
    "refused": "refused",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a device says about options: `rep_delay` is its range in seconds, None when it is fixed."""

    rep_delay: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One option by its dotted name. `check` says whether a value that is not null is accepted."""

    name: str
    programs: tuple[str, ...]
    status: Status
    allowed: str
    check: Callable[[Any, Limits], bool]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the options of one job come to. Times in seconds."""

    default_shots: int | None = None
    default_precision: float | None = None
    seed: int | None = None
    rep_delay: float | None = None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _positive_int(value: Any, _: Limits) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _seed(value: Any, _: Limits) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= SEED_LIMIT


def _precision(value: Any, _: Limits) -> bool:
    return _number(value) and bool(value > 0)


def _rep_delay(value: Any, limits: Limits) -> bool:
    if limits.rep_delay is None or not _number(value):
        return False
    low, high = limits.rep_delay
    return bool(low * (1 - 1e-9) <= value <= high * (1 + 1e-9))


def _anything(_value: Any, _: Limits) -> bool:
    return True


def _never(_value: Any, _: Limits) -> bool:
    return False


def _exactly(*values: Any) -> Callable[[Any, Limits], bool]:
    return lambda value, _: any(value is v or (value == v and type(value) is type(v)) for v in values)


def _empty(value: Any, _: Limits) -> bool:
    return isinstance(value, dict) and not value


_BOTH = ("sampler", "estimator")
_S = ("sampler",)
_E = ("estimator",)
_OFF = _exactly(False)
_NULL = "null"


def _table() -> Iterator[Option]:
    yield Option("default_shots", _BOTH, "honoured", "an integer of at least 1", _positive_int)
    yield Option("default_precision", _E, "honoured", "a number above 0", _precision)
    yield Option("seed_estimator", _E, "honoured", "an integer from 0 to 2**63 - 1", _seed)
    yield Option("simulator.seed_simulator", _BOTH, "honoured", "an integer from 0 to 2**63 - 1", _seed)
    yield Option(
        "execution.rep_delay", _BOTH, "honoured", "seconds within the device's rep_delay_range", _rep_delay
    )
    yield Option("execution.init_qubits", _BOTH, "fixed", "true", _exactly(True))
    yield Option("execution.meas_type", _S, "fixed", '"classified"', _exactly("classified"))
    yield Option("resilience_level", _E, "fixed", "0", _exactly(0))
    yield Option("dynamical_decoupling.enable", _BOTH, "fixed", "false", _OFF)
    yield Option("twirling.enable_gates", _BOTH, "fixed", "false", _OFF)
    yield Option("twirling.enable_measure", _BOTH, "fixed", "false", _OFF)
    yield Option("resilience.measure_mitigation", _E, "fixed", "false", _OFF)
    yield Option("resilience.zne_mitigation", _E, "fixed", "false", _OFF)
    yield Option("resilience.pec_mitigation", _E, "fixed", "false", _OFF)
    for name in ("sequence_type", "extra_slack_distribution", "scheduling_method", "skip_reset_qubits"):
        yield Option(f"dynamical_decoupling.{name}", _BOTH, "idle", "anything", _anything)
    for name in ("num_randomizations", "shots_per_randomization", "strategy"):
        yield Option(f"twirling.{name}", _BOTH, "idle", "anything", _anything)
    for name in (
        "measure_noise_learning.num_randomizations",
        "measure_noise_learning.shots_per_randomization",
        "zne.amplifier",
        "zne.noise_factors",
        "zne.extrapolator",
        "zne.extrapolated_noise_factors",
        "pec.max_overhead",
        "pec.noise_gain",
        "layer_noise_learning.max_layers_to_learn",
        "layer_noise_learning.shots_per_randomization",
        "layer_noise_learning.num_randomizations",
        "layer_noise_learning.layer_pair_depths",
    ):
        yield Option(f"resilience.{name}", _E, "idle", "anything", _anything)
    yield Option("max_execution_time", _BOTH, "service", "seconds; the service stops the job", _positive_int)
    yield Option("environment.log_level", _BOTH, "service", "anything", _anything)
    yield Option("environment.job_tags", _BOTH, "service", "anything", _anything)
    yield Option("environment.private", _BOTH, "service", "anything", _anything)
    yield Option("simulator.noise_model", _BOTH, "refused", _NULL, _never)
    yield Option("simulator.coupling_map", _BOTH, "refused", _NULL, _never)
    yield Option("simulator.basis_gates", _BOTH, "refused", _NULL, _never)
    yield Option("resilience.layer_noise_model", _E, "refused", _NULL, _never)
    yield Option("experimental", _BOTH, "refused", "{} or null", _empty)


OPTIONS: tuple[Option, ...] = tuple(_table())


def names(program: str) -> list[str]:
    """The dotted names of all options that `program` knows."""
    return [option.name for option in OPTIONS if program in option.programs]


def read(program: str, options: Any, limits: Limits, resilience_level: Any = None) -> Settings:
    """Check the options of one job and take from them what the device carries out.

    `resilience_level` is the estimator's member of that name beside the options. Raises `JobRefused` with
    every option that is not honoured.
    """
    settings, faults = look(program, options, limits, resilience_level)
    refuse(faults)
    return settings


def look(
    program: str, options: Any, limits: Limits, resilience_level: Any = None
) -> tuple[Settings, list[str]]:
    """As `read`, but the faults are returned, by name. With any the settings mean nothing."""
    if options is None:
        options = {}
    if not isinstance(options, Mapping):
        return Settings(), [f"params.options must be an object, not {type(options).__name__}"]
    table = {option.name: option for option in OPTIONS if program in option.programs}
    sections = {name.rsplit(".", cut)[0] for name in table for cut in range(1, name.count(".") + 1)}
    given = dict(_flatten(options, "", sections))
    if resilience_level is not None:
        given["resilience_level"] = resilience_level
    faults = [fault for name in sorted(given) for fault in _faults(program, name, given[name], table, limits)]
    seed = given.get("seed_estimator")
    settings = Settings(
        default_shots=given.get("default_shots"),
        default_precision=given.get("default_precision"),
        seed=given.get("simulator.seed_simulator") if seed is None else seed,
        rep_delay=given.get("execution.rep_delay"),
    )
    return settings, faults


def refuse(faults: Sequence[str]) -> None:
    """Raise `JobRefused` with all of them when there are any; at most `MAX_FAULTS` are written out."""
    if not faults:
        return
    if len(faults) == 1:
        raise JobRefused(faults[0])
    parts = [f"({number}) {fault}" for number, fault in enumerate(faults[:MAX_FAULTS], 1)]
    more = [f"and {len(faults) - MAX_FAULTS} more"] if len(faults) > MAX_FAULTS else []
    raise JobRefused(f"{len(faults)} inputs of the job are refused: " + "; ".join(parts + more))


def _flatten(options: Mapping[str, Any], prefix: str, sections: set[str]) -> Iterator[tuple[str, Any]]:
    for key, value in options.items():
        name = f"{prefix}{key}"
        if name in sections and (value is None or isinstance(value, Mapping)):
            yield from _flatten(value or {}, f"{name}.", sections)
        else:
            yield name, value


def _faults(
    program: str, name: str, value: Any, table: Mapping[str, Option], limits: Limits
) -> Iterator[str]:
    option = table.get(name)
    if option is None:
        close = get_close_matches(name[:MAX_NAME], table, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        shown = f"options.{name[:MAX_NAME]} = {_short(value)}"
        yield f"{shown} is not an option that the {program} knows here{hint}"
        return
    if value is None or option.check(value, limits):
        return
    if name == "experimental" and isinstance(value, Mapping):
        for inner in sorted(value):
            yield (
                f"options.experimental.{inner[:MAX_NAME]} = {_short(value[inner])} is not honoured by this "
                "service, and options are never dropped; leave it out"
            )
        return
    allowed = option.allowed
    if name == "execution.rep_delay":
        allowed = (
            "null: this device's repetition delay is fixed"
            if limits.rep_delay is None
            else f"from {limits.rep_delay[0]:g} to {limits.rep_delay[1]:g} seconds"
        )
    yield (
        f"options.{name} = {_short(value)} is not honoured by this device, and options are never dropped; "
        f"allowed is {allowed}"
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
