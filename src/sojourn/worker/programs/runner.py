"""The programs `circuit-runner` and `qasm3-runner`: what `backend.run()` sends in clients up to 0.30.

Circuits must fit the device; the result is that of Qiskit's `Result`: counts, and the bits of every shot if
these are asked for. The client names the second program for circuits with control flow; here they are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sojourn.devices.bits import merged
from sojourn.devices.conditions import Conditions
from sojourn.devices.driver import Outcome
from sojourn.worker.codec import decode, encode, noise
from sojourn.worker.codec.decode import Budget
from sojourn.worker.programs import options
from sojourn.worker.programs.base import Plan, Program, Window, Work
from sojourn.worker.programs.device import Circuit, DeviceContext
from sojourn.worker.programs.fields import MAX_METADATA, metadata_of, registers_of
from sojourn.worker.programs.options import (
    IDEAL,
    NULL,
    OFF,
    SEED,
    Limits,
    Option,
    Options,
    anything,
    exactly,
    never,
    noise_model,
    positive_int,
    rep_delay,
    seed,
)
from sojourn.worker.programs.tally import Tally
from sojourn.worker.protocol.types import JobRefused, Prepared

DEFAULT_SHOTS = 4000  # the client's
MAX_CIRCUITS = 10_000
_ENTRY = 40  # characters of an entry of the counts beside its bits
_HEADER = 600  # those of a circuit's header beside its registers and metadata


def _object(value: Any, _: Limits) -> bool:
    return isinstance(value, dict)


def _options(program: str) -> Options:
    return Options(
        program,
        Option("shots", "honoured", "an integer of at least 1", positive_int),
        Option("memory", "honoured", "true or false", exactly(True, False)),
        Option("header", "honoured", "an object, which comes back with the result", _object),
        Option("seed_simulator", "honoured", SEED, seed),
        Option("rep_delay", "honoured", "seconds within the device's rep_delay_range", rep_delay),
        Option("meas_level", "fixed", "2", exactly(2)),
        Option("init_qubits", "fixed", "true", exactly(True)),
        Option("use_measure_esp", "fixed", "false", OFF),
        Option("skip_transpilation", "fixed", "true", exactly(True)),
        Option("init_num_resets", "fixed", "0", exactly(0)),
        Option("meas_return", "idle", "anything", anything),
        Option("noise_model", "honoured", f"a NoiseModel of Qiskit Aer; {IDEAL}", noise_model),
        Option("init_circuit", "refused", NULL, never),
        where="params.",
    )


@dataclass(frozen=True, slots=True)
class Run:
    """A circuit with its header as JSON text."""

    circuit: Circuit
    header: msgspec.Raw


class RunnerPlan(Plan):
    """A checked job."""

    def __init__(
        self,
        prepared: Prepared,
        work: list[Work],
        settings: options.Settings,
        runs: Sequence[Run],
        device: DeviceContext,
        shots: int,
        memory: bool,
        header: msgspec.Raw,
    ) -> None:
        super().__init__(prepared, work, settings.seed, memory, device.conditions)
        self._runs = runs
        self._device = device.name, device.facts.backend_version
        self._shots = shots
        self._keep = memory
        self._header = header

    def result(self, outcomes: list[list[Outcome]], window: Window) -> bytes:
        name, version = self._device
        results = [self._experiment(run, found[0]) for run, found in zip(self._runs, outcomes, strict=True)]
        return encode.to_text(
            {
                "backend_name": name,
                "backend_version": version,
                "qobj_id": None,
                "job_id": None,  # which is not known here; the client's job has it
                "success": True,
                "results": results,
                "date": window.stop.isoformat(),
                "status": "COMPLETED",
                "header": self._header,
            }
        )

    def _experiment(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        patterns, counts = merged(outcome.patterns, outcome.counts)
        data: dict[str, Any] = {"counts": dict(zip(_keys(patterns), counts.tolist(), strict=True))}
        if self._keep:
            assert outcome.order is not None
            keys = _keys(outcome.patterns)
            data["memory"] = [keys[index] for index in outcome.order.tolist()]
        return {
            "shots": self._shots,
            "success": True,
            "status": "DONE",
            "meas_level": 2,
            "data": data,
            "header": run.header,
        }


class Runner(Program):
    """`IBMBackend.run` of clients up to 0.30."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.options = _options(name)
        self.inputs = ("circuits", *(option.name for option in self.options.all))

    def plan(self, device: DeviceContext, params: bytes) -> RunnerPlan:
        """Check a job. Raises `JobRefused`."""
        members = decode.read_object(params, "params")
        if "circuits" not in members:
            raise JobRefused("params.circuits is missing: there is nothing to run")
        texts = decode.read_list(members.pop("circuits"), "params.circuits")
        if not 0 < len(texts) <= MAX_CIRCUITS:
            raise JobRefused(f"params.circuits has {len(texts)} entries; it must have 1 to {MAX_CIRCUITS}")
        given = {name: decode.read_any(text, f"params.{name}") for name, text in members.items()}
        self.options.read(given, device.limits)
        settings = options.Settings(seed=given.get("seed_simulator"), rep_delay=given.get("rep_delay"))
        shots = DEFAULT_SHOTS if given.get("shots") is None else given["shots"]
        if shots > device.max_shots:
            raise JobRefused(
                f"params.shots is {shots}; the limit of {device.name} is {device.max_shots} per circuit"
            )
        budget = Budget()
        model = given.get("noise_model")
        if model is not None:
            device = device.under(Conditions(errors=noise.read(model, "params.noise_model", budget)))
        checking = _Checking(device, settings, shots, bool(given.get("memory")), budget)
        header = _plain(given.get("header"), checking.budget)
        checking.tally.result(1000 + len(bytes(header)))
        for index, text in enumerate(texts):
            checking.add(text, f"circuits[{index}]")
        prepared = checking.tally.prepared(max(run.circuit.circuit.num_qubits for run in checking.runs))
        return RunnerPlan(
            prepared, checking.work, settings, checking.runs, device, shots, checking.memory, header
        )


class _Checking:
    """Goes through the circuits of a job, and adds up what they take."""

    def __init__(
        self, device: DeviceContext, settings: options.Settings, shots: int, memory: bool, budget: Budget
    ) -> None:
        self.budget = budget
        self.tally = Tally(device, settings)
        self.runs: list[Run] = []
        self.work: list[Work] = []
        self.memory = memory
        self._device = device
        self._shots = shots

    def add(self, text: msgspec.Raw, where: str) -> None:
        """Raises `JobRefused`."""
        device, shots = self._device, self._shots
        circuit = device.circuit(text, where, self.budget)
        if circuit.num_parameters:
            raise JobRefused(
                f"{where} has {circuit.num_parameters} parameters, for which the job has no values; "
                "bind them "
                "with circuit.assign_parameters()"
            )
        point = np.zeros((1, 0))
        device.check_points(circuit, point, where)
        self.tally.warnings.extend(f"{where}: {warning}" for warning in circuit.timing.warnings)
        bits = circuit.circuit.num_clbits
        if not bits:
            self.tally.warnings.append(f"{where}: the circuit has no classical bits, so it gives no counts")
        elif not circuit.checked.measured:
            self.tally.warnings.append(f"{where}: the circuit has no measurement, so every bit is 0")
        header = _header(circuit, device.metadata(circuit, where, self.budget))
        entries = min(shots, 2 ** min(bits, 40)) * (bits // 4 + _ENTRY)
        self.tally.result(len(bytes(header)) + _HEADER + entries + self.memory * shots * (bits // 4 + 6))
        self.tally.add(circuit, point, shots)
        self.tally.limit()
        self.work.append(Work((circuit.key, "runner"), lambda: circuit.circuit, point, shots, where))
        self.tally.memory(self.work[-1], circuit, in_order=self.memory)
        if circuit.checked.dynamic:  # what the device cannot do inside control flow is better said now
            self.work[-1].task(device)
        self.runs.append(Run(circuit, header))


def _keys(patterns: NDArray[np.uint8]) -> list[str]:
    return [hex(int.from_bytes(pattern.tobytes(), "big")) for pattern in patterns]


def _plain(header: Any, budget: Budget) -> msgspec.Raw:
    try:
        return metadata_of(header, "params.header", budget)
    except JobRefused:
        raise JobRefused(
            "params.header goes back with the result, and this one cannot: it must be plain data of at most "
            f"{MAX_METADATA} characters as JSON"
        ) from None


def _header(circuit: Circuit, metadata: msgspec.Raw) -> msgspec.Raw:
    """What Qiskit's `Result` needs to know of a circuit to word its counts."""
    given = circuit.circuit
    found: Mapping[str, Any] = {
        "name": given.name,
        "n_qubits": given.num_qubits,
        "memory_slots": given.num_clbits,
        "creg_sizes": [[register.name, len(register.bits)] for register in registers_of(given)],
        "qreg_sizes": [[register.name, len(register)] for register in given.qregs],
        "global_phase": 0.0,
        "metadata": metadata,
    }
    return msgspec.Raw(encode.to_text(found))


CIRCUIT_RUNNER = Runner("circuit-runner")
QASM3_RUNNER = Runner("qasm3-runner")
