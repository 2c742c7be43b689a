"""The driver `fake`: a snapshot of an IBM device with its own noise, from qiskit-ibm-runtime.

Options: `backend` (a class name such as ``FakeTorino``; required), `seed`, `method`, `threads`, `device`,
`timing` and what goes with it as for `aer`; `drift`: a number from 0 to 1 (default 0) for how much a
calibration changes what is measured, see `drift.py`, or a table of rates for a device that drifts with the
time, see `drifting`; `noise` (``device``, the default, or ``pauli``: every error is replaced by its Pauli
twirl); `fractional_gates` (true: rx and rzz work everywhere, see `fractional.py`). The only module that
imports qiskit_ibm_runtime, which takes seconds: the other drivers run without it.

The snapshots' configurations were taken without the fractional gates that their devices had; where the
snapshot's properties have one that works, the device has it too. Clients leave them out unless they are
asked for.
"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zlib import crc32

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target
from qiskit_ibm_runtime import fake_provider
from qiskit_ibm_runtime.models import BackendConfiguration, BackendProperties
from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
from qiskit_ibm_runtime.utils.backend_decoder import decode_backend_configuration

from sojourn.devices import describe
from sojourn.devices.aer import clocked, fractional
from sojourn.devices.aer.drift import drifted
from sojourn.devices.aer.drifting import rates
from sojourn.devices.aer.drifting.device import Drifting
from sojourn.devices.aer.drifting.miscalibrated import Wrong, carried_out
from sojourn.devices.aer.ideal import SEED_LIMIT
from sojourn.devices.aer.methods import hardware
from sojourn.devices.aer.noise import Kind, NoiseTable
from sojourn.devices.aer.simulated import SimulatedDriver
from sojourn.devices.aer.simulator import METHODS, AerEngine
from sojourn.devices.driver import DriverError, Facts, OptionReader

_NOISE: Mapping[str, Kind] = {"device": "exact", "pauli": "pauli"}

# One of these is needed beside rz: with its default settings the client drops every other gate with angles
_ROTATIONS = frozenset({"sx", "h", "rx", "ry", "r", "u"})


def fake_backends() -> list[str]:
    """The class names of all fake backends of the installed client."""
    return sorted(
        name
        for name, thing in vars(fake_provider).items()
        if name.startswith("Fake") and inspect.isclass(thing) and hasattr(thing, "conf_filename")
    )


def _some(choice: str | None, names: Sequence[str]) -> str:
    """What to choose instead: there are too many for a message."""
    near = difflib.get_close_matches(choice or "", names, 4, 0.5) or ["FakeTorino", "FakeFez", "FakeManilaV2"]
    return (
        f"the class name of one of the {len(names)} fake backends of qiskit-ibm-runtime, such as "
        + " or ".join(near)
    )


class FakeDriver(SimulatedDriver):
    """A noisy simulator of a real device as it was on one day."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        reader = OptionReader(name, "fake", options)
        choice = reader.take("backend", (str,), None, "the class name of a fake backend, as FakeTorino")
        self._seed = reader.integer("seed", None, 0, SEED_LIMIT)
        method = reader.take("method", (str,), "automatic", " or ".join(METHODS))
        if method not in METHODS or method == "stabilizer":
            raise reader.bad("method", method, " or ".join(m for m in METHODS if m != "stabilizer"))
        threads = reader.integer("threads", 0, 0, 1024)
        device = hardware.read(reader, method)
        drift = rates.read(reader)
        self._drift = drift if isinstance(drift, float) else 0.0
        noise = reader.take("noise", (str,), "device", " or ".join(_NOISE))
        if noise not in _NOISE:
            raise reader.bad("noise", noise, " or ".join(_NOISE))
        if noise == "pauli" and isinstance(drift, rates.Rates) and drift.coherent:
            raise reader.bad(
                "noise",
                noise,
                "device beside a drift of frequency or amplitude, whose errors are no Pauli errors",
            )
        self._keep_time(clocked.read(reader))
        complete = reader.take("fractional_gates", (bool,), False, "true or false")
        reader.finish()
        assert threads is not None
        names = fake_backends()
        if choice not in names:
            raise reader.bad("backend", choice, _some(choice, names))
        backend = getattr(fake_provider, choice)()
        folder = Path(backend.dirname)
        conf = json.loads((folder / backend.conf_filename).read_text(encoding="utf-8"))
        props = json.loads((folder / backend.props_filename).read_text(encoding="utf-8"))
        if not _ROTATIONS.intersection(conf["basis_gates"]):
            raise DriverError(
                f"device {name!r}: {choice} offers only the gates {', '.join(conf['basis_gates'])}; of these "
                "today's client drops u2 and u3, so that no circuit could be transpiled for it. "
                "Choose a backend with sx, such as FakeTorino or FakeManilaV2."
            )
        if _cannot_entangle(props):
            raise DriverError(
                f"device {name!r}: by the snapshot of {choice} every two-qubit gate fails always (error 1), "
                "so its results would be noise; choose another backend, such as FakeTorino"
            )
        if complete:
            missing = fractional.lacking(props)
            if missing:
                raise reader.bad(
                    "fractional_gates",
                    True,
                    f"false, as {choice} has no {' or '.join(missing)}, of which they are made",
                )
            props = fractional.working(props)
        measured = BackendProperties.from_dict(deepcopy(props))
        conf = describe.renamed(fractional.told(conf, props), name)
        conf["multi_meas_enabled"] = True  # the simulator measures in the middle of any circuit
        self._target = _target(conf, measured)
        props = _of_gates({**props, "backend_name": name}, self._target.operation_names)
        self._facts = Facts(conf["n_qubits"], conf, props, str(conf["backend_version"]))
        self._snapshot = props
        self._make_engine = partial(AerEngine, method=method, threads=threads, device=device)
        self._kind = _NOISE[noise]
        self._noise = NoiseTable(measured, self._target.dt, self._kind)
        self._engine = self._make_engine(self._noise)
        self._gates = measured.gates
        self._wrong: Wrong | None = None
        self._moment: float | None = None
        self._drifting = None if isinstance(drift, float) else Drifting(props, drift, self._own_seed())

    @property
    def target(self) -> Target:
        return self._target

    def facts(self) -> Facts:
        return self._facts

    def calibrate(self, at: str, number: int) -> Facts:
        if self._drifting is not None:
            return replace(self._facts, properties=self._drifting.measured(at))
        found = drifted(self._snapshot, at=at, sigma=self._drift, seed=(self._own_seed(), number))
        return replace(self._facts, properties=found)

    def pass_to(self, at: float) -> bool:
        """Become what the device is at that time, with the settings of the calibration that holds."""
        drifting, properties = self._drifting, self._facts.properties
        if drifting is None or properties is None or drifting.moment(at) == self._moment:
            return False
        self._moment = drifting.moment(at)
        calibrated = drifting.calibrated(properties)
        self._wrong = drifting.wrong(at, calibrated)
        present = SimpleNamespace(qubits=drifting.qubits(at, calibrated), gates=self._gates)
        self._noise = NoiseTable(present, self._target.dt, self._kind)
        self._engine = self._make_engine(self._noise)
        return True

    def carried_out(self, circuit: QuantumCircuit) -> QuantumCircuit:
        if self._wrong is None:
            return circuit
        return carried_out(circuit, self._wrong, self._duration, self._target.dt)

    def _duration(self, name: str, qubits: tuple[int, ...]) -> float:
        """Seconds of a gate on qubits; 0 where the target says none."""
        places = self._target[name] if name in self._target.operation_names else None
        entry = (places or {}).get(qubits)
        return 0.0 if entry is None else entry.duration or 0.0

    def _own_seed(self) -> int:
        """That of what the device is, and not of the shots of a job."""
        return crc32(self.name.encode()) if self._seed is None else self._seed

    def apply_calibration(self, properties: Mapping[str, Any]) -> None:
        """The noise is made of the properties as they stand; those of another backend are left alone.

        Gates that the device does not offer are left out, as an earlier version of this driver told of them.
        """
        properties = _of_gates(properties, self._target.operation_names)
        if _shape(properties) != _shape(self._snapshot):
            return
        self._facts = replace(self._facts, properties=properties)
        if self._drifting is not None:
            self._moment = None  # the next job meets what the device is then, and not what was measured
            return
        measured = BackendProperties.from_dict(deepcopy(dict(properties)))
        self._noise = NoiseTable(measured, self._target.dt, self._kind)
        self._engine = self._make_engine(self._noise)


def _target(conf: Mapping[str, Any], properties: BackendProperties) -> Target:
    """As the client makes it of the same description."""
    decoded = deepcopy(dict(conf))
    decode_backend_configuration(decoded)
    return convert_to_target(BackendConfiguration.from_dict(decoded), properties)


def _of_gates(properties: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The properties without the gates that are not among `names`."""
    offered = set(names)
    return {**properties, "gates": [gate for gate in properties["gates"] if gate["gate"] in offered]}


def _shape(properties: Mapping[str, Any]) -> Any:
    """What a calibration cannot change: which backend it is, how many qubits, which gates."""
    gates = [(gate["gate"], list(gate["qubits"])) for gate in properties["gates"]]
    return properties["backend_name"], properties["backend_version"], len(properties["qubits"]), gates


def _cannot_entangle(properties: Mapping[str, Any]) -> bool:
    return min(fractional.errors([g for g in properties["gates"] if len(g["qubits"]) == 2]), default=0) >= 1
