"""Every version of the executor's schema: as a client prepares it, and as one of that version reads."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from ibm_quantum_schemas.common import CompressedTensorModel, TensorModel
from ibm_quantum_schemas.executor import version_0_1, version_0_2, version_1_0, version_1_1, version_2_0
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import PauliLindbladMap
from qiskit_ibm_runtime.decoders.executor.decoder import AVAILABLE_DECODERS, ExecutorResultDecoder
from qiskit_ibm_runtime.options_models.executor import ExecutorOptions
from qiskit_ibm_runtime.quantum_program import QuantumProgram
from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS
from qiskit_ibm_runtime.results import QuantumProgramResult
from samplomatic import ChangeBasis, InjectNoise, Tag, Twirl, build

from sojourn.worker.codec.decode import Budget
from sojourn.worker.host import DeviceHost
from sojourn.worker.programs.executor import older, result, schema
from sojourn.worker.programs.executor.forms import FEW, FORMS
from sojourn.worker.protocol.types import Completed, Failed, JobRefused

Params = dict[str, Any]
VERSIONS = list(FORMS)
MODELS = {
    "v0.1": version_0_1,
    "v0.2": version_0_2,
    "v1.0": version_1_0,
    "v1.1": version_1_1,
    "v2.0": version_2_0,
}


def encoded(version: str, program: QuantumProgram, **options: Any) -> Params:
    """`params` as the client of that version sends them."""
    encoder = QUANTUM_PROGRAM_PARAMS_CONVERTERS[version].encoder
    made: Params = encoder(program, ExecutorOptions(execution=options)).model_dump(mode="json")
    assert made["schema_version"] == version
    return made


def run(host: DeviceHost, params: Params) -> QuantumProgramResult:
    body = json.dumps(params).encode()
    host.prepare("executor", body)
    outcome = host.run("executor", body)
    assert isinstance(outcome, Completed), outcome.detail if isinstance(outcome, Failed) else outcome
    model = MODELS[params["schema_version"]].QuantumProgramResultModel
    known = set(model.model_fields)
    assert set(json.loads(outcome.result)) == known, "nothing that the version does not have"
    model.model_validate_json(outcome.result, strict=False)
    found = ExecutorResultDecoder.decode(outcome.result.decode())
    assert isinstance(found, QuantumProgramResult)
    return found


def refusal(host: DeviceHost, params: Params) -> str:
    with pytest.raises(JobRefused) as caught:
        host.prepare("executor", json.dumps(params).encode())
    return caught.value.message


def rotated() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 3)
    circuit.ry(Parameter("a"), 0)
    circuit.rx(Parameter("b"), 1)
    circuit.measure([0, 1], [0, 2])
    return circuit


def points() -> QuantumProgram:
    angles = np.zeros((2, 3, 2))
    angles[1, :, 0] = math.pi
    angles[:, 2, 1] = math.pi
    program = QuantumProgram(shots=7)
    program.append_circuit_item(rotated(), circuit_arguments=angles, chunk_size=4)
    return program


def twirled() -> QuantumProgram:
    circuit = QuantumCircuit(2, 2)
    with circuit.box([Twirl(), Tag("first")]):
        circuit.rx(Parameter("a"), 0)
        circuit.cx(0, 1)
    with circuit.box([Twirl()]):
        circuit.measure([0, 1], [0, 1])
    template, samplex = build(circuit)
    program = QuantumProgram(shots=20)
    values = {"parameter_values": np.array([[0.0], [math.pi]])}
    program.append_samplex_item(template, samplex, values, shape=(30, 2))
    return program


def test_these_are_the_versions_that_the_client_has() -> None:
    assert set(VERSIONS) == set(QUANTUM_PROGRAM_PARAMS_CONVERTERS) == set(AVAILABLE_DECODERS) == set(MODELS)


@pytest.mark.parametrize("version", VERSIONS)
def test_points_of_a_circuit_in_every_version(aer: DeviceHost, version: str) -> None:
    program = points()
    found = run(aer, encoded(version, program))
    bits, angles = found[0]["c"], program.items[0].circuit_arguments
    assert bits.shape == (2, 3, 7, 3)
    assert (bits[..., 0] == (angles[..., 0] > 0)[..., None]).all()
    assert (bits[..., 2] == (angles[..., 1] > 0)[..., None]).all()
    spans = found.metadata.chunk_timing
    assert [[(part.idx_item, part.size) for part in span.parts] for span in spans] == [[(0, 4)], [(0, 2)]]
    assert all(span.start <= span.stop for span in spans)


@pytest.mark.parametrize("version", VERSIONS)
def test_randomisations_of_a_samplex_in_every_version(aer: DeviceHost, version: str) -> None:
    found = run(aer, encoded(version, twirled()))[0]
    assert found["c"].shape == (30, 2, 20, 2)
    assert 10 < found["measurement_flips.c"][..., 0, 0].sum() < 50
    undone = found["c"] ^ found["measurement_flips.c"]
    assert not undone[:, 0].any()
    assert undone[:, 1].all()


@pytest.mark.parametrize("version", VERSIONS)
def test_injected_noise_and_bases_in_every_version(aer: DeviceHost, version: str) -> None:
    circuit = QuantumCircuit(2, 2)
    with circuit.box([Twirl(), InjectNoise("n")]):
        circuit.sx(0)
        circuit.cx(1, 0)
    with circuit.box([Twirl(), ChangeBasis(ref="b")]):
        circuit.measure([0, 1], [0, 1])
    template, samplex = build(circuit)
    rate, number = 0.5, 400
    program = QuantumProgram(shots=5)
    program.append_samplex_item(
        template,
        samplex,
        {
            "basis_changes": {"b": np.array([3, 1], dtype=np.uint8)},
            "pauli_lindblad_maps": {"n": PauliLindbladMap.from_list([("IX", rate)])},
        },
        shape=(number,),
    )
    found = run(aer, encoded(version, program))[0]
    undone = found["c"] ^ found["measurement_flips.c"]
    assert not undone[..., 1].any()
    turned = ~undone[:, 0, 0]
    expected = (1 - math.exp(-2 * rate)) / 2
    assert abs(turned.mean() - expected) < 5 * math.sqrt(expected * (1 - expected) / number)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_dynamic_circuit_in_every_version(aer: DeviceHost, version: str) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    program = QuantumProgram(shots=9)
    program.append_circuit_item(circuit)
    assert run(aer, encoded(version, program))[0]["c"].all()


@pytest.mark.parametrize("version", [version for version in VERSIONS if not FORMS[version].bare])
def test_what_only_the_client_reads_goes_back_unchanged(aer: DeviceHost, version: str) -> None:
    program = points()
    program.passthrough_data = {"a": [1, None, "x"], "b": np.arange(6.0).reshape(2, 3)}
    program._semantic_role = "somebody's"
    found = run(aer, encoded(version, program))
    assert found.passthrough_data["a"] == [1, None, "x"]
    assert found.passthrough_data["b"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found._semantic_role == (None if FORMS[version].apart else "somebody's")


@pytest.mark.parametrize("version", [version for version in VERSIONS if not FORMS[version].bare])
def test_stretch_values_in_every_version_that_has_them(manila: DeviceHost, version: str) -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    program = QuantumProgram(shots=2)
    program.append_circuit_item(circuit)
    params = encoded(version, program)
    params["options"]["stretch_values"] = True
    assert run(manila, params)[0].metadata.scheduler_timing is None


@pytest.mark.parametrize("version", VERSIONS)
def test_the_members_are_those_of_each_version(version: str) -> None:
    form, model = FORMS[version], MODELS[version]
    ours = (
        (schema.QuantumProgram, schema.CircuitItem, schema.SamplexItem)
        if not form.apart
        else (older.BareProgram if form.bare else older.Program, older.CircuitItem, older.SamplexItem)
    )
    theirs = (model.QuantumProgramModel, model.CircuitItemModel, model.SamplexItemModel)
    for one, two in zip(ours, theirs, strict=True):
        assert set(one.__struct_fields__) == set(two.model_fields) - {"item_type"}, one
    assert set(schema.MEMBERS) == set(model.ParamsModel.model_fields)
    options = set(model.OptionsModel.model_fields)
    assert set(form.options or options) == options


@pytest.mark.parametrize("dtype", ["bool", "u8", "f64", "c128", "f32", "i64", "c64"])
def test_arrays_before_v2_are_written_in_the_types_that_they_have(dtype: str) -> None:
    values = np.array([[0, 1, 1], [1, 0, 1]]).astype(schema.DTYPES[dtype])
    for version in VERSIONS:
        form = FORMS[version]
        text = result.tensor(values, form)
        model = CompressedTensorModel if form.packed else TensorModel
        found = model(**text).to_numpy()
        assert (found == values).all()
        assert form.packed or text["dtype"] in FEW
        read = schema.Tensor(text["data"], text["shape"], text["dtype"]).array("x", Budget(), form)
        assert (read == values).all()


OLD = [version for version in VERSIONS if not FORMS[version].packed]


@pytest.mark.parametrize("version", OLD)
def test_a_samplex_newer_than_the_version_is_refused(aer: DeviceHost, version: str) -> None:
    params = encoded(version, twirled())
    newest = encoded("v2.0", twirled())["quantum_program"]["items"][0]["samplex"]
    params["quantum_program"]["items"][0]["samplex"] = newest
    if newest["ssv"] <= FORMS[version].ssv:
        run(aer, params)
        return
    message = refusal(aer, params)
    assert f"items[0].samplex.ssv is {newest['ssv']}" in message
    assert f"schema {version} has the versions 1 to {FORMS[version].ssv}" in message


@pytest.mark.parametrize("version", OLD)
def test_compressed_data_in_an_older_version_do_not_fit(aer: DeviceHost, version: str) -> None:
    params = encoded(version, points())
    newer = encoded("v2.0", points())["quantum_program"]["items"][0]["circuit_arguments"]
    params["quantum_program"]["items"][0]["circuit_arguments"] = newer
    assert "items[0].circuit_arguments has the shape [2, 3, 2] of f64, which is 96 bytes" in refusal(
        aer, params
    )


@pytest.mark.parametrize("version", OLD)
def test_types_that_came_later_are_refused(aer: DeviceHost, version: str) -> None:
    params = encoded(version, twirled())
    argument = CompressedTensorModel.from_numpy(np.zeros((2, 1), dtype=np.float32)).model_dump(mode="json")
    params["quantum_program"]["items"][0]["samplex_arguments"]["parameter_values"] = argument
    assert "dtype is 'f32'; it must be one of bool, c128, f64, u8" in refusal(aer, params)


def test_options_that_v0_1_does_not_have_are_refused(aer: DeviceHost) -> None:
    params = encoded("v0.1", points())
    params["options"]["stretch_values"] = True
    message = refusal(aer, params)
    assert "params.options.stretch_values is not an option of the executor's schema v0.1" in message


@pytest.mark.parametrize("version", ["v0.1", "v0.2"])
def test_a_circuit_of_another_qpy_version_than_it_says_is_refused(aer: DeviceHost, version: str) -> None:
    params = encoded(version, points())
    params["quantum_program"]["items"][0]["circuit"]["qpy_version"] = 13
    assert "items[0].circuit.qpy_version is 13; its data are not of that version" in refusal(aer, params)


@pytest.mark.parametrize("version", VERSIONS)
def test_members_of_other_versions_are_refused_by_name(aer: DeviceHost, version: str) -> None:
    params = encoded(version, points())
    params["quantum_program"]["noise"] = 1
    message = refusal(aer, params)
    assert "noise" in message
    assert f"schema {version}" in message


def test_an_unknown_version_is_refused_with_those_that_are_run(aer: DeviceHost) -> None:
    message = refusal(aer, {**encoded("v2.0", points()), "schema_version": "v3.0"})
    assert "params.schema_version is 'v3.0'" in message
    assert all(version in message for version in VERSIONS)


def test_the_log_says_the_version_and_how_many_were_drawn(aer: DeviceHost) -> None:
    program = twirled()
    program.append_circuit_item(rotated(), circuit_arguments=np.zeros((3, 2)))
    outcome = aer.run("executor", json.dumps(encoded("v1.0", program)).encode())
    assert isinstance(outcome, Completed)
    lines = outcome.logs.splitlines()
    assert "INFO executor v1.0: 2 items, 63 circuits, of which 60 drawn by a samplex" in lines
    assert any(
        line.startswith("INFO simulated 63 circuits on 2 active qubits for 1260 shots") for line in lines
    )
    assert lines[-1].startswith("INFO time: reading and checking ")
    assert all(part in lines[-1] for part in (", compiling ", ", running ", ", writing the result "))
