"""The program executor, as the real client prepares its programs and decodes its results."""

from __future__ import annotations

import base64
import io
import json
import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ibm_quantum_schemas.common import CompressedTensorModel
from ibm_quantum_schemas.executor import version_2_0 as model
from qiskit import ClassicalRegister, QuantumCircuit, qpy
from qiskit.circuit import Parameter
from qiskit.quantum_info import PauliLindbladMap
from qiskit_ibm_runtime.decoders.executor.decoder import ExecutorResultDecoder
from qiskit_ibm_runtime.decoders.executor_sampler.decoder import ClientSideSamplerResultDecoder
from qiskit_ibm_runtime.options_models.executor import ExecutorOptions
from qiskit_ibm_runtime.quantum_program import QuantumProgram
from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS
from qiskit_ibm_runtime.results import QuantumProgramResult
from samplomatic import ChangeBasis, InjectNoise, Twirl, build
from samplomatic.samplex import Samplex

from sojourn.worker.codec.decode import Budget
from sojourn.worker.host import DeviceHost
from sojourn.worker.programs.executor import result, schema
from sojourn.worker.programs.executor.program import MAX_CHUNKS
from sojourn.worker.programs.executor.samplex import MAX_REGISTER
from sojourn.worker.protocol.types import Completed, DeviceSpec, Failed, JobRefused, Prepared

Params = dict[str, Any]


def encoded(program: QuantumProgram, **options: Any) -> Params:
    """`params` as the client sends them."""
    encoder = QUANTUM_PROGRAM_PARAMS_CONVERTERS["v2.0"].encoder
    made: Params = encoder(program, ExecutorOptions(execution=options)).model_dump(mode="json")
    return made


def prepared(host: DeviceHost, params: Params) -> Prepared:
    return host.prepare("executor", json.dumps(params).encode())


def run(host: DeviceHost, params: Params) -> QuantumProgramResult:
    """Prepare and run; decode with the client's own decoder."""
    prepared(host, params)
    outcome = host.run("executor", json.dumps(params).encode())
    assert isinstance(outcome, Completed), outcome.detail if isinstance(outcome, Failed) else outcome
    model.QuantumProgramResultModel.model_validate_json(outcome.result)
    found = ExecutorResultDecoder.decode(outcome.result.decode())
    assert isinstance(found, QuantumProgramResult)
    return found


def refusal(host: DeviceHost, params: Params) -> str:
    with pytest.raises(JobRefused) as caught:
        prepared(host, params)
    return caught.value.message


def rotated() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 3)
    circuit.ry(Parameter("a"), 0)
    circuit.rx(Parameter("b"), 1)
    circuit.measure([0, 1], [0, 2])
    return circuit


def twirled() -> tuple[QuantumCircuit, Samplex]:
    """A Bell pair behind a rotation, gates and measurement twirled."""
    circuit = QuantumCircuit(2, 2)
    with circuit.box([Twirl()]):
        circuit.rx(Parameter("a"), 0)
        circuit.cx(0, 1)
    with circuit.box([Twirl()]):
        circuit.measure([0, 1], [0, 1])
    template, samplex = build(circuit)
    return template, samplex


def circuit_program(shots: int = 50, **more: Any) -> Params:
    program = QuantumProgram(shots=shots)
    program.append_circuit_item(rotated(), circuit_arguments=np.zeros((2, 3, 2)), **more)
    return encoded(program)


def samplex_program(shots: int = 50, shape: tuple[int, ...] = (4, 2), **more: Any) -> Params:
    program = QuantumProgram(shots=shots)
    template, samplex = twirled()
    values = {"parameter_values": np.array([[0.0], [math.pi]])}
    program.append_samplex_item(template, samplex, values, shape=shape, **more)
    return encoded(program)


def item(params: Params, index: int = 0) -> Params:
    found: Params = params["quantum_program"]["items"][index]
    return found


def test_a_circuit_item_gives_each_point_and_register_its_bits(aer: DeviceHost) -> None:
    angles = np.zeros((2, 3, 2))
    angles[1, :, 0] = math.pi
    angles[:, 2, 1] = math.pi
    program = QuantumProgram(shots=7)
    program.append_circuit_item(rotated(), circuit_arguments=angles)
    found = run(aer, encoded(program))
    bits = found[0]["c"]
    assert bits.shape == (2, 3, 7, 3)
    assert bits.dtype == np.bool_
    assert (bits[..., 0] == (angles[..., 0] > 0)[..., None]).all()
    assert (bits[..., 2] == (angles[..., 1] > 0)[..., None]).all()
    assert not bits[..., 1].any()


def test_a_circuit_without_parameters_runs_once_and_two_items_keep_their_order(aer: DeviceHost) -> None:
    one = QuantumCircuit(1, 1)
    one.x(0)
    one.measure(0, 0)
    none = QuantumCircuit(1)
    none.measure_all()
    program = QuantumProgram(shots=3)
    program.append_circuit_item(one)
    program.append_circuit_item(none)
    found = run(aer, encoded(program))
    assert found[0]["c"].tolist() == [[True]] * 3
    assert found[1]["meas"].tolist() == [[False]] * 3


def test_the_shape_of_a_circuit_item_may_repeat_its_points(aer: DeviceHost) -> None:
    params = circuit_program()
    item(params)["shape"] = [5, 1, 1]
    assert prepared(aer, params).num_circuits == 30
    assert run(aer, params)[0]["c"].shape == (5, 2, 3, 50, 3)


def test_randomisations_undo_to_what_the_circuit_does(aer: DeviceHost) -> None:
    found = run(aer, samplex_program(shape=(40, 2)))[0]
    bits, flips = found["c"], found["measurement_flips.c"]
    assert bits.shape == (40, 2, 50, 2)
    assert flips.shape == (40, 2, 1, 2)
    assert 20 < flips[..., 0, 0].sum() < 60
    undone = bits ^ flips
    assert not undone[:, 0].any()
    assert undone[:, 1].all()
    assert "parameter_values" not in found


def test_randomisations_may_stand_on_any_axis(aer: DeviceHost) -> None:
    template, samplex = twirled()
    program = QuantumProgram(shots=9)
    values = {"parameter_values": np.array([0.0, math.pi, 0.0]).reshape(3, 1, 1)}
    program.append_samplex_item(template, samplex, values, shape=(2, 3, 4))
    found = run(aer, encoded(program))[0]
    undone = found["c"] ^ found["measurement_flips.c"]
    assert undone.shape == (2, 3, 4, 9, 2)
    assert (undone.all(axis=(-1, -2)) == np.array([False, True, False])[None, :, None]).all()


def test_basis_changes_and_injected_noise_follow_their_arguments(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(2, 2)
    with circuit.box([Twirl(), InjectNoise("n")]):
        circuit.sx(0)  # an eigenstate of Y, which the injected X turns over
        circuit.cx(1, 0)
    with circuit.box([Twirl(), ChangeBasis(ref="b")]):
        circuit.measure([0, 1], [0, 1])
    template, samplex = build(circuit)
    program = QuantumProgram(shots=20)
    rate = 0.5
    arguments = {
        "basis_changes": {"b": np.array([3, 1], dtype=np.uint8)},
        "pauli_lindblad_maps": {"n": PauliLindbladMap.from_list([("IX", rate)])},
    }
    program.append_samplex_item(template, samplex, arguments, shape=(400,))
    found = run(aer, encoded(program))[0]
    undone = found["c"] ^ found["measurement_flips.c"]
    assert not undone[..., 1].any()
    turned = ~undone[..., 0]
    assert (turned == turned[:, :1]).all()
    expected = (1 - math.exp(-2 * rate)) / 2
    assert abs(turned.mean() - expected) < 5 * math.sqrt(expected * (1 - expected) / 400)
    assert not found["pauli_signs"].any()


def fractional(angle: float, pair: tuple[int, int], width: int) -> Params:
    circuit = QuantumCircuit(width, 2)
    with circuit.box([Twirl(group="local_pauli")]):
        circuit.rzz(Parameter("a"), *pair)
    with circuit.box([Twirl()]):
        circuit.measure(pair, [0, 1])
    template, samplex = build(circuit)
    program = QuantumProgram(shots=20)
    values = {"parameter_values": np.array([[0.1], [angle]])}
    program.append_samplex_item(template, samplex, values, shape=(10, 2))
    return encoded(program)


def test_an_angle_at_the_bound_of_the_device_runs_and_one_beyond_is_refused() -> None:
    """Samplomatic rounds to single precision, where pi/2 is a little more than it is."""
    host = DeviceHost.load(DeviceSpec("fez", "fake", {"backend": "FakeFez"}))
    places = host._device.target["rzz"]
    pair = min(places, key=lambda place: places[place].error or 1.0)
    found = run(host, fractional(math.pi / 2, pair, 156))[0]
    assert (found["c"] ^ found["measurement_flips.c"]).mean() < 0.1
    message = refusal(host, fractional(math.pi / 2 + 1e-3, pair, 156))
    assert "items[0]" in message
    assert "rzz(1.5718)" in message


def test_points_beyond_those_tried_at_submit_are_checked_before_the_job_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sojourn.worker.programs.executor.program.MAX_TRIALS", 1)
    host = DeviceHost.load(DeviceSpec("frac", "fake", {"backend": "FakeFractionalBackend"}))
    params = fractional(2.0, (0, 1), 5)
    prepared(host, params)
    outcome = host.run("executor", json.dumps(params).encode())
    assert isinstance(outcome, Failed)
    assert "rzz(2) on qubits (0, 1)" in outcome.reason


def test_what_only_the_client_reads_goes_back_unchanged(aer: DeviceHost) -> None:
    program = QuantumProgram(
        shots=1, passthrough_data={"a": [1, None, "x"], "b": np.arange(6.0).reshape(2, 3)}
    )
    program.append_circuit_item(rotated(), circuit_arguments=np.zeros(2))
    program._semantic_role = "somebody's"
    found = run(aer, encoded(program))
    assert found._semantic_role == "somebody's"
    assert found.passthrough_data["a"] == [1, None, "x"]
    assert found.passthrough_data["b"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_register_that_the_clients_sampler_could_not_read_is_refused(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(1)
    circuit.add_register(ClassicalRegister(1, "shape"))
    circuit.measure(0, 0)
    program = QuantumProgram(shots=1)
    program.append_circuit_item(circuit)
    assert "shape" in run(aer, encoded(program))[0], "a program of the user's own reads it by its name"
    program._semantic_role = ClientSideSamplerResultDecoder.SEMANTIC_ROLE
    assert "the classical register 'shape' cannot be a field of the result" in refusal(aer, encoded(program))


def test_without_a_chunk_size_everything_is_one_span(aer: DeviceHost) -> None:
    (span,) = run(aer, circuit_program()).metadata.chunk_timing
    assert [(part.idx_item, part.size) for part in span.parts] == [(0, 6)]
    assert span.stop >= span.start
    assert span.start.tzinfo is not None


def test_chunks_run_one_after_the_other_and_differ(aer: DeviceHost) -> None:
    program = QuantumProgram(shots=200)
    for chunk in (4, 1):
        program.append_circuit_item(
            rotated(), circuit_arguments=np.full((3, 2, 2), math.pi / 2), chunk_size=chunk
        )
    found = run(aer, encoded(program))
    spans = found.metadata.chunk_timing
    assert [[(p.idx_item, p.size) for p in span.parts] for span in spans] == [
        [(0, 4)],
        [(0, 2)],
        *[[(1, 1)]] * 6,
    ]
    assert all(one.stop <= two.start for one, two in zip(spans, list(spans)[1:], strict=False))
    bits = found[1]["c"].reshape(6, -1)
    assert len({row.tobytes() for row in bits}) == 6


def test_a_seed_of_the_device_fixes_randomisations_and_shots() -> None:
    host = DeviceHost.load(DeviceSpec("aer", "aer", {"qubits": 3, "seed": 5}))
    params = samplex_program()
    one, two = run(host, params)[0], run(host, params)[0]
    assert all((one[name] == two[name]).all() for name in ("c", "measurement_flips.c"))


def test_stretch_values_come_when_they_are_asked_for(manila: DeviceHost) -> None:
    from qiskit.circuit.classical import expr

    circuit = QuantumCircuit(2, 1)
    stretch = circuit.add_stretch("s")
    circuit.x(0)
    circuit.delay(expr.lift(stretch), 1)
    circuit.barrier()
    circuit.measure(1, 0)
    program = QuantumProgram(shots=1)
    program.append_circuit_item(circuit)
    (value,) = run(manila, encoded(program, stretch_values=True))[0].metadata.stretch_values
    assert value.name == "s"
    assert value.value > 0
    assert run(manila, encoded(program))[0].metadata.stretch_values is None


def test_a_job_is_counted_before_it_runs(manila: DeviceHost) -> None:
    program = QuantumProgram(shots=100)
    circuit = QuantumCircuit(5, 1)
    circuit.x(2)
    circuit.measure(2, 0)
    program.append_circuit_item(circuit)
    one = prepared(manila, encoded(program))
    assert (one.num_circuits, one.executions, one.num_qubits) == (1, 100, 5)
    params = encoded(program)
    item(params)["shape"] = [6]
    six = prepared(manila, params)
    assert (six.num_circuits, six.executions) == (6, 600)
    assert six.estimated_seconds == pytest.approx(6 * one.estimated_seconds)
    outcome = manila.run("executor", json.dumps(params).encode())
    assert isinstance(outcome, Completed)
    assert len(outcome.result) <= six.result_bytes


def test_the_members_are_those_of_the_schema() -> None:
    pairs: list[tuple[type[schema.Strict], Any, set[str]]] = [
        (schema.QuantumProgram, model.QuantumProgramModel, set()),
        (schema.CircuitItem, model.CircuitItemModel, {"item_type"}),
        (schema.SamplexItem, model.SamplexItemModel, {"item_type"}),
        (schema.Tensor, CompressedTensorModel, set()),
    ]
    for ours, theirs, apart in pairs:
        assert set(ours.__struct_fields__) | apart == set(theirs.model_fields), ours
    assert set(schema.MEMBERS) == set(model.ParamsModel.model_fields)


@pytest.mark.parametrize("dtype", sorted(schema.DTYPES))
def test_tensors_are_read_and_written_as_the_schema_does(dtype: str) -> None:
    values = np.array([[0, 1, 1], [1, 0, 1]]).astype(schema.DTYPES[dtype])
    theirs = CompressedTensorModel.from_numpy(values)
    ours = schema.Tensor(theirs.data, list(theirs.shape), theirs.dtype)
    assert ours.dtype == dtype
    assert (ours.array("x", Budget()) == values).all()
    assert (CompressedTensorModel(**result.tensor(values)).to_numpy() == values).all()


def damaged(make: Callable[[], Params], *path: Any, value: Any) -> Params:
    params = make()
    inner: Any = params
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return params


PROGRAM = "quantum_program"
ITEM = (PROGRAM, "items", 0)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (damaged(circuit_program, "schema_version", value="v9.1"), ["schema_version", "'v9.1'", "v2.0"]),
        (damaged(circuit_program, "more", value=1), ["params.more"]),
        (damaged(circuit_program, "options", "scheduler_timing", value=1), ["scheduler_timing = 1", "false"]),
        (damaged(circuit_program, "options", "init_qubits", value="no"), ["init_qubits = 'no'", "true"]),
        (damaged(circuit_program, "options", "rep_delay", value=1.0), ["rep_delay = 1.0", "fixed"]),
        (damaged(circuit_program, "options", "experimental", value={"x": 1}), ["experimental.x"]),
        (damaged(circuit_program, "options", "twirling", value={}), ["options.twirling"]),
        (damaged(circuit_program, PROGRAM, "shots", value=0), ["shots is 0"]),
        (damaged(circuit_program, PROGRAM, "shots", value=10**7), ["shots is 10000000", "1000000"]),
        (damaged(circuit_program, PROGRAM, "shots", value="many"), ["quantum_program.shots", "int"]),
        (damaged(circuit_program, PROGRAM, "noise", value=1), ["noise"]),
        (damaged(circuit_program, PROGRAM, "meas_level", value="raw"), ["meas_level is 'raw'", "'kerneled'"]),
        (damaged(circuit_program, PROGRAM, "items", value=[]), ["items is empty"]),
        (damaged(circuit_program, PROGRAM, "circuits", value={"qasm": ""}), ["circuits", "QPY"]),
        (damaged(circuit_program, PROGRAM, "circuits", "num_programs", value=2), ["num_programs is 2", "1"]),
        (damaged(circuit_program, PROGRAM, "circuits", "qpy_version", value=14), ["version 14"]),
        (damaged(circuit_program, PROGRAM, "circuits", "b64_data", value="!"), ["b64_data"]),
        (damaged(circuit_program, *ITEM, "chunk_size", value=0), ["chunk_size is 0"]),
        (damaged(circuit_program, *ITEM, "shape", value=[4]), ["items[0].shape is [4]", "[2, 3]"]),
        (damaged(circuit_program, *ITEM, "shape", value=[-1]), ["items[0].shape"]),
        (damaged(circuit_program, *ITEM, "shape", value=[0, 2, 3]), ["[0, 2, 3]"]),
        (damaged(circuit_program, *ITEM, "shape", value=[10**9, 1, 1]), ["6000000000", "1000000"]),
        (damaged(circuit_program, *ITEM, "circuit_arguments", "shape", value=[3, 5]), ["120", "96"]),
        (damaged(circuit_program, *ITEM, "circuit_arguments", "dtype", value="f32"), ["dtype", "f64"]),
        (damaged(circuit_program, *ITEM, "circuit_arguments", "more", value=1), ["more"]),
        (damaged(samplex_program, *ITEM, "shape", value=[10**9, 2]), ["2000000000", "1000000"]),
        (damaged(samplex_program, *ITEM, "shape", value=[3]), ["items[0].shape is [3]"]),
        (damaged(samplex_program, *ITEM, "samplex_arguments", value={}), ["lacks parameter_values"]),
        (damaged(samplex_program, *ITEM, "samplex_arguments", "b", value=True), ["'b'", "not an input"]),
        (damaged(samplex_program, *ITEM, "samplex_arguments", "b", value="x"), ["samplex_arguments['b']"]),
        (damaged(samplex_program, *ITEM, "samplex", "ssv", value=99), ["ssv is 99"]),
        (damaged(samplex_program, *ITEM, "samplex", "ssv", value=2), ["ssv is 2"]),
        (damaged(samplex_program, *ITEM, "samplex", "samplex_json", value="{}"), ["not a samplex"]),
    ],
    ids=lambda value: "-".join(value)[:60] if isinstance(value, list) else "",
)
def test_what_does_not_fit_is_refused_by_name(aer: DeviceHost, params: Params, words: list[str]) -> None:
    message = refusal(aer, params)
    assert all(word in message for word in words), message


def tensor(values: Any) -> Params:
    made: Params = CompressedTensorModel.from_numpy(np.asarray(values)).model_dump(mode="json")
    return made


def test_values_that_are_no_angles_are_refused(aer: DeviceHost) -> None:
    params = damaged(circuit_program, *ITEM, "circuit_arguments", value=tensor([1.0, np.nan]))
    assert "NaN" in refusal(aer, params)
    inner = {"parameter_values": tensor([math.inf])}
    assert "NaN or infinite" in refusal(
        aer, damaged(samplex_program, *ITEM, "samplex_arguments", value=inner)
    )
    inner = {"parameter_values": tensor([[1.0, 2.0]])}
    message = refusal(aer, damaged(samplex_program, *ITEM, "samplex_arguments", value=inner))
    assert "samplex_arguments['parameter_values']" in message
    assert "(1, 2)" in message


def test_a_samplex_of_another_circuit_is_refused(aer: DeviceHost) -> None:
    params = damaged(samplex_program, PROGRAM, "circuits", value=circuit_program()[PROGRAM]["circuits"])
    assert "the samplex gives 12 parameter values, the circuit has 2" in refusal(aer, params)


def test_more_chunks_than_a_result_can_list_are_refused(aer: DeviceHost) -> None:
    params = damaged(circuit_program, *ITEM, "chunk_size", value=1)
    item(params)["shape"] = [MAX_CHUNKS, 1, 1]
    message = refusal(aer, params)
    assert f"more than {MAX_CHUNKS} chunks" in message


def test_chunk_sizes_of_two_kinds_are_refused(aer: DeviceHost) -> None:
    program = QuantumProgram(shots=1)
    for _ in range(2):
        program.append_circuit_item(rotated(), circuit_arguments=np.zeros(2))
    assert "chunk_size" in refusal(aer, damaged(lambda: encoded(program), *ITEM, "chunk_size", value=1))


def test_annotated_boxes_are_refused_with_what_to_send_instead(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(2, 2)
    with circuit.box([Twirl()]):
        circuit.cx(0, 1)
    program = QuantumProgram(shots=1)
    program.append_circuit_item(circuit)
    message = refusal(aer, encoded(program))
    assert "items[0]" in message
    assert "samplomatic.build" in message


def graph_with(change: Callable[[Params], None]) -> Params:
    params = samplex_program()
    read = json.loads(item(params)["samplex"]["samplex_json"])
    change(read)
    item(params)["samplex"]["samplex_json"] = json.dumps(read, separators=(",", ":"))
    return params


def test_expressions_that_could_hold_a_pickle_are_never_read(aer: DeviceHost) -> None:
    circuit = QuantumCircuit(1)
    circuit.rz(Parameter("a"), 0)
    file = io.BytesIO()
    qpy.dump(circuit, file, version=13)
    content = bytearray(file.getvalue())
    content[6], content[18] = 12, ord("e")

    def change(read: Params) -> None:
        table = json.loads(read["attrs"]["param_table"])
        table["circuit_base64"] = base64.b64encode(bytes(content)).decode()
        read["attrs"]["param_table"] = json.dumps(table)

    message = refusal(aer, graph_with(change))
    assert "QPY version 12 cannot be read" in message


def test_a_samplex_cannot_ask_for_registers_beyond_the_limit(aer: DeviceHost) -> None:
    def change(read: Params) -> None:
        twirl = read["nodes"][0]["data"]
        assert '"num_subsystems":2' in twirl["distribution"]
        twirl["distribution"] = twirl["distribution"].replace(":2", f":{MAX_REGISTER + 1}")

    message = refusal(aer, graph_with(change))
    assert "virtual registers" in message
    assert f"{MAX_REGISTER} for one" in message


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda read: read["nodes"][1]["data"].update(slice_idxs="[0,1000000000,1]"), "slice"),
        (lambda read: read["nodes"][0].update(id=4_000_000_000), "do not fit together"),
        (lambda read: read["nodes"].append({"id": 10**6, "data": {}}), "numbers from 0 to"),
        (lambda read: read["links"][0].update(target=77), "do not fit together"),
        (lambda read: read["nodes"][0]["data"].update(id="N99"), "cannot be read"),
        (lambda read: read["attrs"].update(output_specification="{}"), "parameter_values"),
    ],
    ids=["slice", "node", "far", "link", "kind", "outputs"],
)
def test_a_samplex_that_others_wrote_is_refused(
    aer: DeviceHost, change: Callable[[Params], None], word: str
) -> None:
    message = refusal(aer, graph_with(change))
    assert "items[0].samplex" in message
    assert word in message


def test_compressed_data_cannot_become_a_large_process(aer: DeviceHost) -> None:
    bomb = base64.b64encode(zlib.compress(bytes(600 << 20), 1)).decode()
    params = damaged(circuit_program, *ITEM, "circuit_arguments", "data", value=bomb)
    assert "inflate to more than 512 MB" in refusal(aer, params)


def test_a_job_beyond_the_memory_of_the_device_is_refused() -> None:
    host = DeviceHost.load(DeviceSpec("aer", "aer", {"qubits": 3}, memory=1 << 20))
    message = refusal(host, samplex_program(shape=(20_000, 2)))
    assert "20000 randomisations" in message
    assert "1 MB" in message
