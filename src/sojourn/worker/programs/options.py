"""Checks the options of a job: which are honoured, which change nothing here, which are refused.

Nothing is dropped silently: an option that is not in the program's table, or has a value that this service
does not carry out, is refused with its full name, its value and what is allowed. `page.py` writes the tables
into `docs/options.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from sojourn.worker.protocol.types import JobRefused
from sojourn.worker.wording import quoted

DEFAULT_SHOTS = 4096
DEFAULT_PRECISION = 0.015625
SEED_LIMIT = 2**63 - 1
SEED = "an integer from 0 to 2**63 - 1"
MAX_COUNT = 1_000_000  # randomisations, and shots of each
NULL = "null"
MAX_FAULTS = 25  # written out in one refusal
MAX_NAME = 120  # characters of a name that is not ours
MAX_PAIRS = 100_000
MAX_GATES = 1000
IDEAL = "null on a device that has errors of its own"

Status = Literal["honoured", "fixed", "idle", "service", "refused"]

STATUS_TEXT: Mapping[Status, str] = {
    "honoured": "honoured",
    "fixed": "accepted if it is the only value that a job can have here",
    "idle": "accepted, without effect while the feature is off",
    "service": "honoured outside the device",
    "refused": "refused",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a device says about options: `rep_delay` is its range in seconds, None when it is fixed; an
    `ideal` device has no errors of its own."""

    rep_delay: tuple[float, float] | None = None
    ideal: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """One option by its dotted name. `check` says whether a value that is not null is accepted."""

    name: str
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
    given: Mapping[str, Any] = field(default_factory=dict)
    """Every option that was set, by its dotted name."""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def positive_int(value: Any, _: Limits) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def seed(value: Any, _: Limits) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= SEED_LIMIT


def positive(value: Any, _: Limits) -> bool:
    return _number(value) and bool(value > 0)


def rep_delay(value: Any, limits: Limits) -> bool:
    if limits.rep_delay is None or not _number(value):
        return False
    low, high = limits.rep_delay
    return bool(low * (1 - 1e-9) <= value <= high * (1 + 1e-9))


def anything(_value: Any, _: Limits) -> bool:
    return True


def never(_value: Any, _: Limits) -> bool:
    return False


def exactly(*values: Any) -> Callable[[Any, Limits], bool]:
    return lambda value, _: any(value is v or (value == v and type(value) is type(v)) for v in values)


def empty(value: Any, _: Limits) -> bool:
    return isinstance(value, dict) and not value


def noise_model(value: Any, limits: Limits) -> bool:
    """What is in it is read with the circuits."""
    return limits.ideal and isinstance(value, dict)


def coupling_map(value: Any, limits: Limits) -> bool:
    return (
        limits.ideal
        and isinstance(value, list)
        and len(value) <= MAX_PAIRS
        and all(isinstance(pair, list) and len(pair) == 2 and all(map(_qubit, pair)) for pair in value)
    )


def basis_gates(value: Any, limits: Limits) -> bool:
    return (
        limits.ideal
        and isinstance(value, list)
        and len(value) <= MAX_GATES
        and all(isinstance(name, str) for name in value)
    )


def _qubit(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def count(value: Any, limits: Limits) -> bool:
    return positive_int(value, limits) and bool(value <= MAX_COUNT)


def count_or_auto(value: Any, limits: Limits) -> bool:
    return value == "auto" or count(value, limits)


OFF = exactly(False)
ON_OFF = exactly(True, False)
SWITCH = "true or false"
COUNT = f"an integer from 1 to {MAX_COUNT}"
COUNT_OR_AUTO = f'{COUNT}, or "auto"'
SEQUENCES = ("XX", "XpXm", "XY4")
STRATEGIES = ("active", "active-accum", "active-circuit", "all")


def words(values: Sequence[str]) -> str:
    """Values as a table names them."""
    return ", ".join(f'"{value}"' for value in values)


SUPPRESSION: tuple[Option, ...] = (
    Option("dynamical_decoupling.enable", "honoured", SWITCH, ON_OFF),
    Option("dynamical_decoupling.sequence_type", "honoured", words(SEQUENCES), exactly(*SEQUENCES)),
    *(
        Option(f"dynamical_decoupling.{name}", "honoured", words(values), exactly(*values))
        for name, values in (
            ("extra_slack_distribution", ("middle", "edges")),
            ("scheduling_method", ("alap", "asap")),
        )
    ),
    Option("dynamical_decoupling.skip_reset_qubits", "honoured", SWITCH, ON_OFF),
    Option("twirling.enable_gates", "honoured", SWITCH, ON_OFF),
    Option("twirling.enable_measure", "honoured", SWITCH, ON_OFF),
    Option("twirling.num_randomizations", "honoured", COUNT_OR_AUTO, count_or_auto),
    Option("twirling.shots_per_randomization", "honoured", COUNT_OR_AUTO, count_or_auto),
    Option("twirling.strategy", "honoured", words(STRATEGIES), exactly(*STRATEGIES)),
)
"""What changes the circuits of a job, and is carried out by `mitigated`."""

SHARED: tuple[Option, ...] = (
    Option("default_shots", "honoured", "an integer of at least 1", positive_int),
    Option("simulator.seed_simulator", "honoured", SEED, seed),
    Option("execution.rep_delay", "honoured", "seconds within the device's rep_delay_range", rep_delay),
    Option("execution.init_qubits", "honoured", "true or false", exactly(True, False)),
    *SUPPRESSION,
    Option("max_execution_time", "service", "seconds; the service stops the job", positive_int),
    Option("environment.log_level", "service", "anything", anything),
    Option("environment.job_tags", "service", "anything", anything),
    Option("environment.private", "service", "anything", anything),
    Option("simulator.noise_model", "honoured", f"a NoiseModel of Qiskit Aer; {IDEAL}", noise_model),
    Option(
        "simulator.coupling_map",
        "honoured",
        f"up to {MAX_PAIRS} pairs of qubits, to which the circuits keep; {IDEAL}",
        coupling_map,
    ),
    Option(
        "simulator.basis_gates",
        "honoured",
        f"up to {MAX_GATES} names of gates, to which the circuits keep; {IDEAL}",
        basis_gates,
    ),
    Option("experimental", "refused", "{} or null", empty),
)
"""What the programs of the client have in common."""


class Options:
    """The options that one program knows."""

    def __init__(self, program: str, *options: Option, where: str = "options.") -> None:
        """`program` is its name and `where` what stands before the options' names, for messages."""
        self.program = program
        self._where = where
        self.all = options
        self._table = {option.name: option for option in options}
        self._sections = {
            name.rsplit(".", cut)[0] for name in self._table for cut in range(1, name.count(".") + 1)
        }

    def __contains__(self, name: str) -> bool:
        return name in self._table

    def read(self, options: Any, limits: Limits, beside: Mapping[str, Any] | None = None) -> Settings:
        """Check the options of one job and take from them what the device carries out.

        `beside` are options that stand beside them, as `resilience_level` does, by name. Raises `JobRefused`
        with every option that is not honoured.
        """
        settings, faults = self.look(options, limits, beside)
        refuse(faults)
        return settings

    def look(
        self, options: Any, limits: Limits, beside: Mapping[str, Any] | None = None
    ) -> tuple[Settings, list[str]]:
        """As `read`, but the faults are returned, by name. With any the settings mean nothing."""
        if options is None:
            options = {}
        if not isinstance(options, Mapping):
            return Settings(), [f"params.options must be an object, not {type(options).__name__}"]
        given = dict(_flatten(options, "", self._sections))
        given.update((name, value) for name, value in (beside or {}).items() if value is not None)
        faults = [fault for name in sorted(given) for fault in self._faults(name, given[name], limits)]
        seed = given.get("seed_estimator")
        settings = Settings(
            default_shots=given.get("default_shots"),
            default_precision=given.get("default_precision"),
            seed=given.get("simulator.seed_simulator") if seed is None else seed,
            rep_delay=given.get("execution.rep_delay", given.get("rep_delay")),
            given=given,
        )
        return settings, faults

    def _faults(self, name: str, value: Any, limits: Limits) -> Iterator[str]:
        option = self._table.get(name)
        if option is None and name.startswith("experimental."):
            yield _not_experimental(name, value)
            return
        if option is None:
            close = get_close_matches(name[:MAX_NAME], self._table, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            shown = f"{self._where}{name[:MAX_NAME]} = {quoted(value)}"
            yield f"{shown} is not an option that the {self.program} knows here{hint}"
            return
        if value is None or option.check(value, limits):
            return
        if name == "experimental" and isinstance(value, Mapping):
            for inner in sorted(value):
                yield _not_experimental(f"experimental.{inner}", value[inner])
            return
        allowed = option.allowed
        if name.rsplit(".", 1)[-1] == "rep_delay":
            allowed = (
                "null: this device's repetition delay is fixed"
                if limits.rep_delay is None
                else f"from {limits.rep_delay[0]:g} to {limits.rep_delay[1]:g} seconds"
            )
        yield (
            f"{self._where}{name} = {quoted(value)} is not honoured by this device, and options are never "
            f"dropped; allowed is {allowed}"
        )


def _not_experimental(name: str, value: Any) -> str:
    return (
        f"options.{name[:MAX_NAME]} = {quoted(value)} is not honoured by this service, and options are never "
        "dropped; leave it out"
    )


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
