"""The built-in drivers: their options, what they say of themselves, and that their results are right."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
from qiskit_ibm_runtime.utils.backend_decoder import (
    configuration_from_server_data,
    properties_from_server_data,
)

from sojourn.devices.aer.fake import fake_backends
from sojourn.devices.aer.ideal import AerDriver
from sojourn.devices.bits import mask_of, pack_keys, parities, take_bits
from sojourn.devices.conformance import check
from sojourn.devices.driver import Driver, DriverError, Outcome, Task, load_driver
from sojourn.devices.offered import settled

UNUSABLE = {
    "FakeAlmadenV2",
    "FakeBoeblingenV2",
    "FakeBurlingtonV2",
    "FakeCambridgeV2",
    "FakeEssexV2",
    "FakeJohannesburgV2",
    "FakeLondonV2",
    "FakePoughkeepsieV2",
    "FakeRochesterV2",
    "FakeSingaporeV2",
}


def through_the_client(driver: Driver) -> Any:
    """The target that the client builds from what the device says, over JSON as on the wire."""
    facts = settled(driver.facts(), driver.target)
    configuration = configuration_from_server_data(json.loads(json.dumps(facts.configuration)))
    assert configuration is not None
    assert configuration.backend_name == driver.name
    assert configuration.simulator is False
    properties = None
    if facts.properties is not None:
        properties = properties_from_server_data(json.loads(json.dumps(facts.properties)))
        assert properties.backend_name == driver.name
    return convert_to_target(configuration, properties, include_fractional_gates=False)


def ghz(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    circuit.h(0)
    for qubit in range(qubits - 1):
        circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    return circuit


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("aer", {}),
        ("aer", {"qubits": 4, "method": "density_matrix"}),
        ("aer", {"qubits": 4, "method": "matrix_product_state", "threads": 1}),
        ("aer", {"qubits": 4, "device": "CPU"}),
        ("fake", {"backend": "FakeTorino"}),
        ("fake", {"backend": "FakeManilaV2", "method": "statevector"}),
        ("fake", {"backend": "FakeArmonkV2"}),
        ("mock", {"qubits": 5}),
        ("mock", {"like": "FakeFez"}),
        ("mock", {"like": {"driver": "aer", "options": {"qubits": 7}}}),
    ],
)
def test_built_in_drivers_conform(driver: str, options: Mapping[str, Any]) -> None:
    assert check(load_driver("device", driver, options)) == []


@pytest.mark.parametrize(("driver", "options"), [("aer", {}), ("mock", {}), ("fake", {"backend": "FakeFez"})])
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_what_the_client_transpiles_for_a_device_runs_on_it(
    driver: str, options: Mapping[str, Any], level: int
) -> None:
    made = load_driver("device", driver, options)
    target = through_the_client(made)
    isa = generate_preset_pass_manager(level, target=target, seed_transpiler=4).run(ghz(4))
    for item in isa.data:
        place = tuple(isa.find_bit(qubit).index for qubit in item.qubits)
        assert item.operation.name == "barrier" or made.target.instruction_supported(
            item.operation.name, place
        )
    outcome = made.execute([Task(made.compile(isa), np.zeros((1, 0)), 200)], seed=1, memory=True)[0][0]
    if not made.random_results:
        extremes = np.isin(outcome.memory()[:, 0], [0, 15]).mean()
        assert extremes > 0.7


def test_control_flow_survives_the_client() -> None:
    target = through_the_client(load_driver("aer", "aer", {}))
    assert {"if_else", "while_loop", "for_loop", "switch_case", "reset", "delay", "measure"} <= set(
        target.operation_names
    )
    assert target.num_qubits == 30
    assert target.instruction_supported("cx", (0, 29))


@pytest.mark.parametrize("name", fake_backends())
def test_every_fake_backend_works_or_is_refused_by_name(name: str) -> None:
    if name == "FakeKyoto":
        with pytest.raises(DriverError, match=f"{name} every two-qubit gate fails always"):
            load_driver("device", "fake", {"backend": name})
        return
    if name in UNUSABLE:
        with pytest.raises(DriverError, match=f"{name} offers only the gates .*u3"):
            load_driver("device", "fake", {"backend": name})
        return
    driver = load_driver("device", "fake", {"backend": name})
    facts, names = settled(driver.facts(), driver.target), set(driver.target.operation_names)
    assert facts.properties is not None
    assert {gate["gate"] for gate in facts.properties["gates"]} <= names
    assert set(facts.configuration["basis_gates"]) <= names
    assert facts.configuration["multi_meas_enabled"] is True
    target = through_the_client(driver)
    circuit = ghz(min(2, driver.facts().num_qubits))
    # level 3 places the circuit on good qubits; some snapshots have pairs that do nothing but make noise
    isa = generate_preset_pass_manager(3, target=target, seed_transpiler=4).run(circuit)
    outcome = driver.execute([Task(driver.compile(isa), np.zeros((1, 0)), 200)], seed=1, memory=True)[0][0]
    wanted = [0, 1] if circuit.num_qubits == 1 else [0, 3]
    assert np.isin(outcome.memory()[:, -1], wanted).mean() > 0.6


@pytest.mark.parametrize(
    ("driver", "options", "words"),
    [
        ("aer", {"qubits": 0}, "option 'qubits' of driver 'aer' is 0; allowed is an integer from 1 to 1000"),
        ("aer", {"qubits": True}, "'qubits'"),
        ("aer", {"qubit": 3}, "driver 'aer' has no option 'qubit'; it knows calibration_seconds, "),
        ("aer", {"method": "magic"}, "option 'method' of driver 'aer' is 'magic'; allowed is automatic or"),
        ("aer", {"seed": -1}, "'seed'"),
        ("aer", {"device": "gpu"}, "option 'device' of driver 'aer' is 'gpu'; allowed is CPU or GPU"),
        (
            "fake",
            {"backend": "FakeFez", "device": 1},
            "option 'device' of driver 'fake' is 1; allowed is CPU",
        ),
        ("aer", {"device": "GPU", "method": "stabilizer"}, "CPU beside the method stabilizer, which has no"),
        ("fake", {}, "option 'backend' of driver 'fake' is None; allowed is the class name of one of"),
        ("fake", {"backend": "FakeTorin"}, "is 'FakeTorin'; allowed is the class name of one of"),
        ("fake", {"backend": "FakeProviderForBackendV2"}, "allowed is the class name"),
        ("fake", {"backend": "FakeTorino", "method": "stabilizer"}, "'stabilizer'"),
        ("mock", {"seconds": -1}, "option 'seconds' of driver 'mock' is -1.0"),
        ("mock", {"like": "FakeNowhere"}, "'FakeNowhere'"),
        ("mock", {"like": "FakeTorino", "qubits": 3}, "'qubits'"),
        ("mock", {"like": {"driver": "nope"}}, "there is no driver 'nope'"),
        ("mock", {"like": {"backend": "x"}}, "'like'"),
        ("nope", {}, "there is no driver 'nope'; installed are aer, backend, fake, mock, qrmi, sojourn"),
    ],
)
def test_bad_options_are_named_with_what_is_allowed(
    driver: str, options: Mapping[str, Any], words: str
) -> None:
    with pytest.raises(DriverError) as caught:
        load_driver("device", driver, options)
    assert words in str(caught.value)
    assert "device 'device'" in str(caught.value)


def test_a_device_seed_makes_every_run_the_same() -> None:
    driver = load_driver("device", "aer", {"qubits": 2, "seed": 5})
    program = driver.compile(ghz(2))
    first, second = (
        driver.execute([Task(program, np.zeros((1, 0)), 50)], seed=None, memory=True)[0][0].memory()
        for _ in range(2)
    )
    assert np.array_equal(first, second)


def test_a_companion_says_what_its_device_says_under_its_own_name() -> None:
    device = load_driver("ibm_torino", "fake", {"backend": "FakeTorino"})
    companion = load_driver(
        "mock_torino", "mock", {"like": {"driver": "fake", "options": {"backend": "FakeTorino"}}}
    )
    assert companion.facts().configuration == {**device.facts().configuration, "backend_name": "mock_torino"}
    assert companion.facts().properties == {
        **(device.facts().properties or {}),
        "backend_name": "mock_torino",
    }
    assert (
        companion.target == device.target or companion.target.operation_names == device.target.operation_names
    )


def test_variants_of_measure_and_reset_are_simulated() -> None:
    driver = load_driver("device", "fake", {"backend": "FakeBoston"})
    names = {name for name in driver.target.operation_names if name.startswith(("measure_", "reset_"))}
    assert names == {"measure_2", "reset_2"}
    circuit = QuantumCircuit(156, 1)
    circuit.x(0)
    circuit.append(driver.target.operation_from_name("measure_2"), [0], [0])
    outcome = driver.execute([Task(driver.compile(circuit), np.zeros((1, 0)), 100)], seed=1, memory=True)[0][
        0
    ]
    assert outcome.memory().sum() > 80


class Wrong(Driver):
    """A driver whose results can be spoilt."""

    def __init__(self, spoil: str) -> None:
        super().__init__("wrong", {})
        self._inner = load_driver("inner", "aer", {"qubits": 4})
        self._spoil = spoil

    @property
    def target(self) -> Any:
        return self._inner.target

    def facts(self) -> Any:
        return self._inner.facts()

    def compile(self, circuit: QuantumCircuit) -> Any:
        return self._inner.compile(circuit)

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        good = self._inner.execute(tasks, seed=seed, memory=memory)
        return [[self._spoilt(outcome) for outcome in outcomes] for outcomes in good]

    def _spoilt(self, outcome: Outcome) -> Outcome:
        patterns, counts, order = outcome.patterns, outcome.counts, outcome.order
        if self._spoil == "zeros":
            return Outcome(np.zeros_like(patterns), counts, order)
        if self._spoil == "memory":
            return Outcome(patterns, counts, None)
        if self._spoil == "shots":
            return Outcome(patterns, counts // 2, order)
        if self._spoil == "reversed":
            bits = np.unpackbits(patterns, axis=-1)[:, ::-1]
            return Outcome(np.packbits(bits, axis=-1), counts, order)
        return outcome


@pytest.mark.parametrize("spoil", ["zeros", "memory", "shots", "reversed"])
def test_a_driver_with_wrong_results_does_not_conform(spoil: str) -> None:
    assert check(Wrong("nothing")) == []
    assert check(Wrong(spoil)) != []


def test_bits_are_packed_as_the_client_packs_them() -> None:
    patterns = pack_keys(["0x1", "0x205"], 10)
    assert patterns.tolist() == [[0, 1], [2, 5]]
    assert take_bits(patterns, 10, [0, 2, 9]).tolist() == [[1], [7]]
    assert take_bits(patterns, 10, list(range(10))) is patterns
    assert parities(patterns, np.stack([mask_of(10, [0]), mask_of(10, [0, 9])])).tolist() == [
        [-1, -1],
        [-1, 1],
    ]
    assert pack_keys(["0x0", "0x0"], 0).shape == (2, 0)


def test_a_wide_clifford_circuit_is_quick_on_the_ideal_device() -> None:
    driver = load_driver("device", "aer", {"qubits": 200})
    outcome = driver.execute([Task(driver.compile(ghz(200)), np.zeros((1, 0)), 50)], seed=1, memory=True)[0][
        0
    ]
    assert {row.tobytes() for row in outcome.memory()} == {b"\x00" * 25, b"\xff" * 25}


def test_a_driver_with_the_earlier_name_of_a_method_does_not_conform() -> None:
    """Nothing would call it, so that the device's calibrations would be lost without a word."""

    class Earlier(AerDriver):
        def adopt(self, properties: Mapping[str, Any]) -> None:
            raise AssertionError(properties)

    (fault,) = check(Earlier("lab", {"qubits": 2}))
    assert "`apply_calibration`" in fault
