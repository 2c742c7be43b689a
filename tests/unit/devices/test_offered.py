"""A device describes itself as what it does.

The whole kind: anything that a description says can be asked for (a gate, control flow, a feature, pulses, a
limit) and that is refused or ignored; anything that runs and that the description leaves out; and any field
that real devices have and one of ours has not, as that ends a loop over all devices.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from qiskit.circuit import Gate, IfElseOp, Instruction, Parameter, QuantumCircuit
from qiskit.circuit.library import XGate, get_standard_gate_name_mapping
from qiskit.transpiler import InstructionProperties, Target, generate_preset_pass_manager
from qiskit_ibm_runtime import fake_provider
from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
from qiskit_ibm_runtime.utils.backend_decoder import (
    configuration_from_server_data,
    properties_from_server_data,
)

from sojourn.devices import describe
from sojourn.devices.aer.ideal import all_to_all
from sojourn.devices.conformance import check
from sojourn.devices.driver import Driver, Facts, load_driver
from sojourn.devices.offered import CONTROL_FLOW, MAX_CIRCUITS, settled
from sojourn.worker.host import DeviceHost
from sojourn.worker.programs.pubs import MAX_PUBS
from sojourn.worker.protocol import messages
from sojourn.worker.protocol.types import CALIBRATE, Completed, DeviceSpec, JobRefused
from tests.unit.worker.conftest import result, sampler_body

SPECS: dict[str, tuple[str, dict[str, Any]]] = {
    "aer": ("aer", {"qubits": 4}),
    "mock": ("mock", {"qubits": 5}),
    "mock_fez": ("mock", {"like": "FakeFez"}),
    "torino": ("fake", {"backend": "FakeTorino"}),  # every kind of control flow but while_loop
    "boston": ("fake", {"backend": "FakeBoston"}),  # if_else alone; measure_2 and reset_2
    "miami": ("fake", {"backend": "FakeMiami"}),  # neither control flow nor reset; rx without rzz
    "manila": ("fake", {"backend": "FakeManilaV2"}),  # open pulse in the snapshot
    "vigo": ("fake", {"backend": "FakeVigoV2"}),  # of 2019: no features, no processor, one measurement
    "armonk": ("fake", {"backend": "FakeArmonkV2"}),  # one qubit
    "fractional": ("fake", {"backend": "FakeFractionalBackend"}),
}
SOURCES = Path(fake_provider.__file__).parent / "backends"


@cache
def host(name: str) -> DeviceHost:
    driver, options = SPECS[name]
    return DeviceHost.load(DeviceSpec(name, driver, options))


def told(name: str) -> dict[str, Any]:
    """The device's configuration as it leaves the worker."""
    found: dict[str, Any] = json.loads(json.dumps(host(name).describe().configuration))
    return found


def driver_target(name: str) -> Target:
    return host(name)._device.target


def client_target(name: str, *, fractional: bool | None) -> Target:
    """What the client transpiles for."""
    properties = host(name).describe().properties
    configuration = configuration_from_server_data(told(name), use_fractional_gates=fractional)
    assert configuration is not None
    if properties is None:
        return convert_to_target(configuration)
    measured = properties_from_server_data(json.loads(json.dumps(properties)), fractional)
    return convert_to_target(configuration, measured)


def snapshots() -> list[Mapping[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(SOURCES.glob("*/conf_*.json"))]


@pytest.mark.parametrize("name", SPECS)
def test_every_device_has_every_field_that_real_devices_have(name: str) -> None:
    """Those of all snapshots that the client ships, and those of every snapshot of the last years."""
    shipped = snapshots()
    recent = [s for s in shipped if "clops_h" in s]
    assert len(recent) > 25
    wanted = set.intersection(*map(set, shipped)) | set.intersection(*map(set, recent))
    assert {"meas_map", "n_registers", "processor_type", "multi_meas_enabled", "dtm"} <= wanted
    assert wanted - set(told(name)) == set()


@pytest.mark.parametrize("name", SPECS)
def test_control_flow_is_told_in_every_place_or_in_none(name: str) -> None:
    flow = [kind for kind in CONTROL_FLOW if kind in driver_target(name).operation_names]
    found = told(name)
    assert [kind for kind in CONTROL_FLOW if kind in found["supported_instructions"]] == flow
    assert ("dynamic_circuits" in found["supported_features"]) == bool(flow)
    assert ("qasm3" in found["supported_features"]) == bool(flow), "clients before 0.39 read it so"
    assert found["conditional"] == ("if_else" in flow), "pytket reads it so"
    assert set(found["supported_features"]) <= {"parameters", "qasm3", "dynamic_circuits"}


@pytest.mark.parametrize("name", SPECS)
def test_nothing_is_offered_that_the_service_does_not_do(name: str) -> None:
    found = told(name)
    for flag in (
        "open_pulse",
        "allow_q_object",
        "allow_object_storage",
        "parallel_compilation",
        "credits_required",
        "measure_esp_enabled",
        "simulator",
        "local",
    ):
        assert found[flag] is False, flag
    assert found["meas_levels"] == [1, 2]
    assert found["parametric_pulses"] == found["meas_kernels"] == found["discriminators"] == []
    assert found["max_experiments"] == MAX_CIRCUITS == MAX_PUBS
    known = set(driver_target(name).operation_names) | {"store"}
    assert set(found["supported_instructions"]) <= known
    assert set(found["basis_gates"]) <= known


@pytest.mark.parametrize("name", SPECS)
def test_the_client_sees_the_target_that_jobs_are_checked_against(name: str) -> None:
    seen, checked = client_target(name, fractional=None), driver_target(name)
    assert set(seen.operation_names) == set(checked.operation_names)
    assert seen.num_qubits == checked.num_qubits
    properties = host(name).describe().properties
    if properties is not None:
        assert {gate["gate"] for gate in properties["gates"]} <= set(checked.operation_names)


def applied(target: Target, name: str) -> QuantumCircuit:
    """The instruction `name` on the first qubits on which the target has it, and a measurement."""
    operation = target.operation_from_name(name)
    place = next(iter(target[name] or [None]))
    qubits = list(place) if place is not None else list(range(operation.num_qubits))
    values = [0.5] * len(operation.params)
    if name == "delay":
        made = QuantumCircuit(target.num_qubits, 1)
        made.delay(100, qubits[0])
    else:
        made = QuantumCircuit(target.num_qubits, 1)
        bound = operation.to_mutable() if operation.params else operation
        if values:
            bound.params = values
        made.append(bound, qubits, [0] * operation.num_clbits)
    made.measure(qubits[0], 0)
    return made


def controlled(kind: str) -> QuantumCircuit:
    """One of control flow: it flips a qubit that is measured at the end, so that the last bit is 1."""
    made = QuantumCircuit(1, 2)
    made.x(0)
    made.measure(0, 0)
    made.x(0)
    if kind == "if_else":
        with made.if_test((made.clbits[0], 1)):
            made.x(0)
    elif kind == "for_loop":
        with made.for_loop(range(3)):
            made.x(0)
    elif kind == "while_loop":
        with made.while_loop((made.clbits[0], 1)):
            made.x(0)
            made.measure(0, 0)
            made.x(0)
            made.measure(0, 0)
        made.x(0)
    else:
        with made.switch(made.cregs[0]) as case, case(1):
            made.x(0)
    made.measure(0, 1)
    return made


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("fractional", [False, True, None])
def test_control_flow_that_is_told_transpiles_and_runs(name: str, fractional: bool | None) -> None:
    target = client_target(name, fractional=fractional)
    manager = generate_preset_pass_manager(2, target=target, seed_transpiler=1)
    for kind in set(CONTROL_FLOW).intersection(target.operation_names):
        pub = (manager.run(controlled(kind)), None, 100)
        counts = result(host(name), "sampler", sampler_body([pub]))[0].data.c.get_counts()
        assert sum(counts.values()) == 100
        if not host(name)._device.driver.random_results:
            assert sum(n for bits, n in counts.items() if bits[0] == "1") > 60, (kind, counts)


@pytest.mark.parametrize("name", SPECS)
def test_each_instruction_that_is_told_runs(name: str) -> None:
    target = client_target(name, fractional=None)
    circuits = [applied(target, op) for op in target.operation_names if op not in CONTROL_FLOW]
    found = result(host(name), "sampler", sampler_body([(circuit, None, 10) for circuit in circuits]))
    assert [len(pub.data.c.get_bitstrings()) for pub in found] == [10] * len(circuits)


def untold(name: str) -> Iterator[tuple[str, QuantumCircuit]]:
    target = driver_target(name)
    for other, operation in get_standard_gate_name_mapping().items():
        if other not in target.operation_names and operation.num_qubits <= (target.num_qubits or 0):
            made = QuantumCircuit(target.num_qubits, 1)
            bound = operation.to_mutable()
            bound.params = [0.5] * len(bound.params)
            made.append(bound, list(range(bound.num_qubits)), [0] * bound.num_clbits)
            yield other, made
    for kind in CONTROL_FLOW:
        if kind not in target.operation_names:
            yield kind, controlled(kind)


@pytest.mark.parametrize("name", SPECS)
def test_each_instruction_that_is_not_told_is_refused(name: str) -> None:
    for other, circuit in untold(name):
        with pytest.raises(JobRefused, match=f"{other} on qubits .* is not an instruction of {name}"):
            host(name).prepare("sampler", sampler_body([(circuit, None, 10)]))


@pytest.mark.parametrize(
    ("name", "gates"),
    [("boston", {"rx", "rzz"}), ("torino", {"rx"}), ("miami", {"rx"}), ("manila", set())],
)
def test_fractional_gates_that_work_are_there_for_those_who_ask(name: str, gates: set[str]) -> None:
    """The snapshots' configurations leave them out, their properties have them; rzz of Torino has error 1."""
    without = set(client_target(name, fractional=False).operation_names)
    assert set(client_target(name, fractional=True).operation_names) - without == gates
    for gate in gates:
        places = client_target(name, fractional=True)[gate]
        assert all(found.error is not None for found in places.values())


@pytest.mark.parametrize("name", ["aer", "manila"])
def test_a_calibration_describes_the_device_as_before(name: str) -> None:
    done = host(name).run(CALIBRATE, b'{"at": "2026-11-22T04:00:00+00:00", "number": 2}')
    assert isinstance(done, Completed)
    assert messages.decode_description(done.result).configuration == told(name)


class Foreign(Driver):
    """A driver of somebody else: it states what it is given and no more."""

    def __init__(self, target: Target, **stated: Any) -> None:
        super().__init__("lab", {})
        self._inner = load_driver("lab", "aer", {"qubits": 3})
        self._target = target
        made = describe.configuration("lab", target, version="7", description="a device", max_shots=500)
        self._configuration = {**made, **stated}

    @property
    def target(self) -> Target:
        return self._target

    def facts(self) -> Facts:
        return Facts(3, self._configuration, None, "7")

    def compile(self, circuit: QuantumCircuit) -> Any:
        return self._inner.compile(circuit)

    def execute(self, *given: Any, **more: Any) -> Any:
        return self._inner.execute(*given, **more)


def lab(*, flow: bool = True) -> Target:
    whole = all_to_all(3, ["cz", "rz", "sx", "x"])
    if flow:
        return whole
    target = Target(num_qubits=3)
    for name in sorted(set(whole.operation_names) - set(CONTROL_FLOW)):
        target.add_instruction(whole.operation_from_name(name), whole[name], name=name)
    return target


def broken_chip() -> Target:
    """Five qubits: 3 cannot be measured, 4 does nothing."""
    target = Target(num_qubits=5)
    known = get_standard_gate_name_mapping()
    for name, qubits in (("sx", 4), ("rz", 4), ("measure", 3), ("reset", 3)):
        places = {(qubit,): InstructionProperties(error=0.01) for qubit in range(qubits)}
        target.add_instruction(known[name], places)
    target.add_instruction(known["cz"], {(q, q + 1): InstructionProperties(error=0.02) for q in range(3)})
    target.add_instruction(IfElseOp, name="if_else")
    return target


def test_the_client_lays_no_circuit_on_a_qubit_that_the_target_does_not_serve() -> None:
    """The client measures every operational qubit; pytket fails at one without a readout error."""
    target = broken_chip()
    told = describe.properties("lab", target, version="7")
    assert told is not None
    properties = properties_from_server_data(json.loads(json.dumps(told)))
    assert properties.faulty_qubits() == [4]
    assert [properties.readout_error(qubit) for qubit in range(5)] == [0.01, 0.01, 0.01, 1, 1]
    driver = Foreign(target)
    found = settled(replace(driver.facts(), num_qubits=5), target).configuration
    seen = configuration_from_server_data(json.loads(json.dumps(found)))
    assert seen is not None
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    for level in range(4):
        manager = generate_preset_pass_manager(level, target=convert_to_target(seen, properties))
        ready = manager.run(circuit)
        used = {ready.find_bit(qubit).index for item in ready.data for qubit in item.qubits}
        assert used <= {0, 1, 2}, f"at level {level}"


def test_what_a_foreign_driver_says_wrongly_of_itself_is_put_right() -> None:
    wrong = {
        "open_pulse": True,
        "simulator": True,
        "supported_features": ["qobj", "dynamic_circuits"],
        "supported_instructions": ["play", "if_else"],
        "conditional": True,
        "processor_type": None,
        "default_rep_delay": 100.0,
    }
    driver = Foreign(lab(flow=False), **wrong)
    found = settled(driver.facts(), driver.target).configuration
    assert found["supported_features"] == ["parameters"]
    assert found["supported_instructions"] == ["cz", "rz", "sx", "x", "delay", "measure", "reset"]
    assert not found["open_pulse"]
    assert not found["simulator"]
    assert not found["conditional"]
    assert not found["multi_meas_enabled"], "it says nothing of it, and its target gives no reason to"
    assert found["rep_delay_range"] == [100.0, 100.0]
    assert found["processor_type"]["family"] == "Unknown"
    assert "dt" not in found, "its target has no time step"
    assert found["dtm"] == 1.0, "the client reads it of every device"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert configuration_from_server_data(json.loads(json.dumps(found))) is not None


def test_what_a_foreign_driver_knows_of_its_hardware_is_kept() -> None:
    stated = {"processor_type": {"family": "Trap", "revision": "2"}, "meas_map": [[0, 1, 2]], "own": 1}
    driver = Foreign(lab(), **stated, rep_delay_range=[10.0, 50.0], dynamic_reprate_enabled=True)
    found = settled(driver.facts(), driver.target).configuration
    assert {key: found[key] for key in stated} == stated
    assert found["rep_delay_range"] == [10.0, 50.0]
    assert found["dynamic_reprate_enabled"] is True
    assert found["sample_name"] == "family: Trap, revision: 2"
    assert found["max_shots"] == 500
    assert found["multi_meas_enabled"] is True


def test_an_instruction_of_ones_own_that_is_not_a_gate_reaches_the_client_as_what_it_is() -> None:
    target = lab()
    target.add_instruction(
        Instruction("measure_3", 1, 1, [Parameter("kind")]), {(0,): None}, name="measure_3"
    )
    driver = Foreign(target)
    found = settled(driver.facts(), target).configuration
    configuration = configuration_from_server_data(json.loads(json.dumps(found)))
    assert configuration is not None
    seen = convert_to_target(configuration).operation_from_name("measure_3")
    assert (seen.num_qubits, seen.num_clbits, len(seen.params)) == (1, 1, 1)
    assert not isinstance(seen, Gate)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"basis_gates": ["cz", "rz", "sx", "x", "ecr"]}, "gates that its target does not have: ecr"),
        ({"n_qubits": 5}, "5 qubits in `n_qubits`, its target has 3"),
    ],
)
def test_a_foreign_driver_that_offers_what_its_target_lacks_does_not_conform(
    stated: dict[str, Any], words: str
) -> None:
    assert check(Foreign(lab())) == []
    assert any(words in fault for fault in check(Foreign(lab(), **stated)))


class Unconditional(Foreign):
    """Its target has if_else; what is inside is always done."""

    def compile(self, circuit: QuantumCircuit) -> Any:
        plain = circuit.copy_empty_like()
        for item in circuit.data:
            if item.operation.name == "if_else":
                plain.append(XGate(), item.qubits)
                plain.append(XGate(), item.qubits)
            else:
                plain.append(item)
        return self._inner.compile(plain)


def test_a_foreign_driver_whose_control_flow_does_nothing_does_not_conform() -> None:
    assert any("condition that holds" in fault for fault in check(Unconditional(lab())))


def test_bare_facts_of_a_driver_are_enough_for_the_client() -> None:
    target = lab()
    made = describe.configuration("lab", target, version="7", description="", max_shots=10)
    bare = {key: made[key] for key in ("backend_name", "basis_gates", "gates")}
    found = settled(Facts(3, bare, None, "7"), target).configuration
    configuration = configuration_from_server_data(json.loads(json.dumps(found)))
    assert configuration is not None
    assert set(convert_to_target(configuration).operation_names) == set(target.operation_names)
