"""Hostile inputs of the programs beside sampler and estimator, by plain HTTP: each is refused with a 4xx that
says what is wrong, in the time that a preparation may take, and good jobs go on."""

from __future__ import annotations

import base64
import copy
import functools
import json
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime.options_models.executor import ExecutorOptions
from qiskit_ibm_runtime.options_models.noise_learner_v3 import NoiseLearnerV3Options
from qiskit_ibm_runtime.quantum_program import QuantumProgram
from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS
from samplomatic import Twirl, build

from sojourn.embedded import Embedded
from tests.harness import v1
from tests.harness.api import complaint
from tests.harness.programs import bell, job_body, sampler_params

Params = dict[str, Any]
HUGE = 10**400
BILLION = 10**9
LIMIT = 3.0
"""Seconds that the preparation of a small job may take on this server."""

DEVICES: list[dict[str, Any]] = [{"name": "aer", "driver": "aer", "options": {"qubits": 5}}]


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    policy = {"admission_hold": 60.0}
    with Embedded(
        devices=DEVICES, policy=policy, server={"prepare_burst": 3600.0, "prepare_rate": 64.0}
    ) as running:
        yield running


@pytest.fixture(scope="module")
def hasty() -> Iterator[Embedded]:
    """A server on which preparations are short."""
    server = {"prepare_small_seconds": LIMIT, "prepare_seconds_per_mb": 0.0}
    with Embedded(devices=DEVICES, policy={"admission_hold": 60.0}, server=server) as running:
        yield running


def client(server: Embedded, name: str = "local") -> httpx.Client:
    key = (server.data / f"{name}.key").read_text().strip()
    headers = {"authorization": f"apikey {key}"}
    return httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, trust_env=False, timeout=120)


@pytest.fixture(scope="module")
def http(server: Embedded) -> Iterator[httpx.Client]:
    with client(server) as found:
        yield found


def submit(http: httpx.Client, program: str, params: Any) -> httpx.Response:
    text = params if isinstance(params, str) else json.dumps(params)
    head = json.dumps({"program_id": program, "backend": "aer"})
    return http.post("/jobs", content=f'{head[:-1]},"params":{text}}}')


def refused(http: httpx.Client, program: str, params: Any, *words: str) -> None:
    message = complaint(submit(http, program, params), 400)
    assert len(message) < 2_000
    for word in words:
        assert word in message, message


def goes_on(http: httpx.Client) -> None:
    made = http.post("/jobs", content=job_body("aer", params=sampler_params((bell(), None, 10))))
    assert made.status_code == 200, made.text
    job = f"/jobs/{made.json()['id']}"
    while (state := http.get(job).json()["state"]["status"]) in ("Queued", "Running"):
        pass  # held by the server
    assert state == "Completed"


@pytest.fixture(autouse=True, scope="module")
def unharmed(http: httpx.Client) -> Iterator[None]:
    goes_on(http)
    yield
    goes_on(http)


# good jobs


def boxed() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    with circuit.box([Twirl()]):
        circuit.rx(Parameter("a"), 0)
        circuit.cx(0, 1)
    with circuit.box([Twirl()]):
        circuit.measure([0, 1], [0, 1])
    return circuit


def _quantum_program() -> Params:
    plain = QuantumCircuit(1, 1)
    plain.rx(Parameter("a"), 0)
    plain.measure(0, 0)
    program = QuantumProgram(shots=5)
    program.append_circuit_item(plain, circuit_arguments=np.zeros((2, 1)))
    template, samplex = build(boxed())
    values = {"parameter_values": np.array([[0.0], [math.pi]])}
    program.append_samplex_item(template, samplex, values, shape=(3, 2))
    encoder = QUANTUM_PROGRAM_PARAMS_CONVERTERS["v2.0"].encoder
    made: Params = encoder(program, ExecutorOptions()).model_dump(mode="json")
    return made


def _boxes() -> Params:
    from qiskit_ibm_runtime.noise_learner_v3.params_converters import NOISE_LEARNER_V3_PARAMS_CONVERTERS

    circuit = QuantumCircuit(5)
    with circuit.box([Twirl()]):
        circuit.cz(0, 1)
    options = NoiseLearnerV3Options(num_randomizations=2, shots_per_randomization=4, layer_pair_depths=[0, 1])
    encoder = NOISE_LEARNER_V3_PARAMS_CONVERTERS["v0.3"].encoder
    made: Params = encoder([circuit.data[0]], options).model_dump(mode="json")
    return {**made, "version": 3}


def _circuits() -> Params:
    return {
        "circuits": [sampler_params((bell(), None, 1))["pubs"][0][0]],
        "options": {"num_randomizations": 2, "shots_per_randomization": 4, "layer_pair_depths": [0, 1]},
    }


def _v1_sampler() -> Params:
    made: Params = json.loads(v1.sampler_body([bell()], level=0))
    return made


def _v1_estimator() -> Params:
    circuit = QuantumCircuit(2)
    circuit.rx(Parameter("a"), 0)
    wanted = [SparsePauliOp.from_list([("ZZ", 1.0)])]
    made: Params = json.loads(v1.estimator_body([circuit], wanted, [[0.1]], level=0))
    return made


def _runner() -> Params:
    return {"circuits": [sampler_params((bell(), None, 1))["pubs"][0][0]], "shots": 10}


GOOD: dict[str, tuple[str, Callable[[], Params]]] = {
    "executor": ("executor", _quantum_program),
    "learner V3": ("noise-learner", _boxes),
    "learner": ("noise-learner", _circuits),
    "sampler V1": ("sampler", _v1_sampler),
    "estimator V1": ("estimator", _v1_estimator),
    "runner": ("circuit-runner", _runner),
}


@pytest.mark.parametrize("name", sorted(GOOD))
def test_what_is_spoilt_below_is_good_before(http: httpx.Client, name: str) -> None:
    program, make = GOOD[name]
    reply = submit(http, program, make())
    assert reply.status_code == 200, reply.text


def spoilt(params: Params, path: tuple[Any, ...], value: Any) -> Params:
    made = copy.deepcopy(params)
    place: Any = made
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return made


BOMB = "a file that is half a gigabyte when it is inflated"
NESTED = "a hundred thousand lists in each other"
MARK = "\0here\0"


@functools.cache
def bomb() -> str:
    machine = zlib.compressobj(1)
    block = bytes(2**20)
    parts = [machine.compress(b"QISKIT")] + [machine.compress(block) for _ in range(520)] + [machine.flush()]
    return base64.b64encode(b"".join(parts)).decode()


_ITEM = ("quantum_program", "items", 0)
_DRAWN = ("quantum_program", "items", 1)
_FILE = ("quantum_program", "circuits", "b64_data")
_TENSOR = (*_ITEM, "circuit_arguments")
_OPTIMAL = ("transpilation_settings", "optimization_settings", "level")

CASES: list[tuple[str, tuple[Any, ...], Any, list[str]]] = [
    # executor
    ("executor", (*_ITEM, "shape"), [BILLION, 2], ["1000000"]),
    ("executor", (*_ITEM, "shape"), [2**62, 2**62], ["broadcast"]),
    ("executor", (*_ITEM, "shape"), [HUGE], ["shape"]),
    ("executor", (*_ITEM, "shape"), [-1], ["shape"]),
    ("executor", (*_ITEM, "shape"), [1] * 10_000, ["shape"]),
    ("executor", (*_ITEM, "shape"), NESTED, []),
    ("executor", (*_ITEM, "chunk_size"), 0, ["chunk_size"]),
    ("executor", (*_ITEM, "chunk_size"), 1.5, ["chunk_size"]),
    ("executor", (*_TENSOR, "shape"), [BILLION, 1], ["bytes"]),
    ("executor", (*_TENSOR, "shape"), [2**62, 2**62], ["bytes"]),
    ("executor", (*_TENSOR, "dtype"), "object", ["dtype"]),
    ("executor", (*_TENSOR, "data"), "!!!", ["base64"]),
    ("executor", (*_TENSOR, "data"), "", ["cut off"]),
    ("executor", (*_TENSOR, "data"), BOMB, ["512 MB"]),
    ("executor", _FILE, "!!!", ["base64"]),
    ("executor", _FILE, base64.b64encode(zlib.compress(b"QISKIT")).decode(), ["QPY"]),
    ("executor", _FILE, BOMB, ["512 MB"]),
    ("executor", ("quantum_program", "circuits", "num_programs"), HUGE, ["quantum_program"]),
    ("executor", ("quantum_program", "circuits", "qpy_version"), 200, ["QPY version 200"]),
    ("executor", ("quantum_program", "shots"), 0, ["shots"]),
    ("executor", ("quantum_program", "shots"), BILLION, ["shots", "limit"]),
    ("executor", ("quantum_program", "shots"), HUGE, ["shots"]),
    ("executor", ("quantum_program", "shots"), 1.5, ["shots"]),
    ("executor", ("quantum_program", "items"), [], ["items"]),
    ("executor", ("quantum_program", "items"), NESTED, []),
    ("executor", ("quantum_program", "meas_level"), "raw", ["meas_level"]),
    ("executor", (*_DRAWN, "shape"), [BILLION, 2], ["1000000"]),
    ("executor", (*_DRAWN, "shape"), [3], ["broadcast"]),
    ("executor", (*_DRAWN, "samplex", "samplex_json"), "[" * 100_000, ["samplex_json"]),
    ("executor", (*_DRAWN, "samplex", "samplex_json"), "{}", ["samplex_json"]),
    ("executor", (*_DRAWN, "samplex", "ssv"), BILLION, ["ssv"]),
    ("executor", (*_DRAWN, "samplex_arguments", "parameter_values"), NESTED, []),
    ("executor", (*_DRAWN, "samplex_arguments", "parameter_values"), HUGE, ["parameter_values"]),
    (
        "executor",
        (*_DRAWN, "samplex_arguments", "other"),
        {"sparse_terms": [["X", [0], 1.0]], "num_qubits": 10**18},
        ["other"],
    ),
    ("executor", ("options", "rep_delay"), 1e300, ["rep_delay"]),
    ("executor", ("options",), NESTED, []),
    ("executor", ("schema_version",), HUGE, ["schema_version"]),
    # noise learners
    ("learner", ("options", "num_randomizations"), BILLION, ["randomi"]),
    ("learner", ("options", "num_randomizations"), HUGE, ["randomi"]),
    ("learner", ("options", "num_randomizations"), 0, ["num_randomizations"]),
    ("learner", ("options", "shots_per_randomization"), BILLION, ["shots_per_randomization"]),
    ("learner", ("options", "layer_pair_depths"), [0, BILLION], ["layer_pair_depths"]),
    ("learner", ("options", "layer_pair_depths"), list(range(10_000)), ["layer_pair_depths"]),
    ("learner", ("options", "layer_pair_depths"), NESTED, []),
    ("learner", ("options", "max_layers_to_learn"), -1, ["max_layers_to_learn"]),
    ("learner", ("options", "max_layers_to_learn"), 1e400, ["JSON"]),
    ("learner", ("circuits",), [], ["circuits"]),
    ("learner", ("circuits",), [None] * 100_000, ["circuits"]),
    ("learner", ("circuits", 0, "__value__"), BOMB, ["512 MB"]),
    ("learner V3", ("options", "num_randomizations"), BILLION, ["randomi"]),
    ("learner V3", ("options", "shots_per_randomization"), HUGE, ["shots_per_randomization"]),
    ("learner V3", ("instructions", "circuit_b64"), "!!!", ["base64"]),
    ("learner V3", ("instructions", "circuit_b64"), "", ["QPY"]),
    ("learner V3", ("instructions", "qpy_version"), HUGE, ["instructions"]),
    ("learner V3", ("instructions",), NESTED, []),
    ("learner V3", ("schema_version",), "v9", ["schema_version", "v0.3"]),
    # V1
    ("sampler V1", ("circuits", 0, "__value__"), BOMB, ["512 MB"]),
    ("sampler V1", ("circuit_indices",), [BILLION], ["circuit_indices"]),
    ("sampler V1", ("circuit_indices",), [HUGE], ["circuit_indices"]),
    ("sampler V1", ("circuit_indices",), [0] * 1_000_000, ["circuit_indices"]),
    ("sampler V1", ("circuit_indices",), NESTED, []),
    ("sampler V1", ("parameter_values",), [[1.0] * 1000], ["parameter_values"]),
    ("sampler V1", ("parameters",), [[{"__type__": "Parameter", "__value__": "!"}]], ["parameters"]),
    ("sampler V1", ("run_options", "shots"), BILLION, ["shots"]),
    ("sampler V1", ("run_options", "shots"), HUGE, ["shots"]),
    ("sampler V1", ("transpilation_settings", "initial_layout"), [BILLION, 0], ["initial_layout"]),
    ("sampler V1", _OPTIMAL, HUGE, ["level"]),
    ("sampler V1", ("resilience_settings", "level"), 9, ["level"]),
    ("estimator V1", ("parameter_values",), [[1e400]], ["JSON"]),
    ("estimator V1", ("observable_indices",), [BILLION], ["observable_indices"]),
    ("estimator V1", ("observables",), [], ["observables"]),
    ("estimator V1", ("observables",), NESTED, []),
    ("estimator V1", ("observables", 0), {"__type__": "settings", "__class__": "os.system"}, ["observables"]),
    # backend.run()
    ("runner", ("circuits", 0, "__value__"), BOMB, ["512 MB"]),
    ("runner", ("circuits",), [None] * 1_000_000, ["circuits"]),
    ("runner", ("shots",), BILLION, ["shots"]),
    ("runner", ("shots",), HUGE, ["shots"]),
    ("runner", ("header",), NESTED, []),
    ("runner", ("header",), "x" * 5_000_000, ["header"]),
    ("runner", ("seed_simulator",), HUGE, ["seed_simulator"]),
]


def _named(case: tuple[str, tuple[Any, ...], Any, list[str]]) -> str:
    name, path, value, _ = case
    return f"{name}: {'.'.join(map(str, path))} = {str(value)[:20]}"


@pytest.mark.parametrize("case", CASES, ids=_named)
def test_a_hostile_input_is_refused_by_its_name(
    http: httpx.Client, case: tuple[str, tuple[Any, ...], Any, list[str]]
) -> None:
    name, path, value, words = case
    program, make = GOOD[name]
    if value is BOMB:
        value = bomb()
    text = json.dumps(spoilt(make(), path, MARK if value is NESTED else value))
    if value is NESTED:
        text = text.replace(json.dumps(MARK), "[" * 100_000 + "]" * 100_000)
    refused(http, program, text, *words)


@pytest.mark.parametrize("member", ["passthrough_data", "semantic_role"])
def test_what_goes_back_with_a_result_is_refused_when_it_could_not_be_read(
    http: httpx.Client, member: str
) -> None:
    params = json.dumps(spoilt(_quantum_program(), ("quantum_program", member), MARK))
    refused(http, "executor", params.replace(json.dumps(MARK), "[" * 100_000 + "]" * 100_000))


@pytest.mark.parametrize(
    "params",
    [
        "[]",
        "5",
        '{"schema_version": "v9", "options": {}}',
        '{"schema_version": "v0.1", "options": {"experimental": {"x": 1}}}',
        '{"schema_version": "v0.1", "options": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"schema_version": "v0.1", "options": {"experimental": ' + "{}" * 100 + "}}",
        json.dumps({"schema_version": "v0.1", "options": {"experimental": {}}, "x": "y" * 1_000_000}),
    ],
    ids=lambda text: text[:50],
)
def test_a_hostile_calibration_is_refused(server: Embedded, params: str) -> None:
    with client(server, "operator") as http:
        complaint(submit(http, "calibrate", params), 400)


# files that claim more than they hold


def forged(content: bytes, at: int, form: str, *values: int) -> str:
    made = bytearray(content)
    struct.pack_into(form, made, at, *values)
    return base64.b64encode(bytes(made)).decode()


def test_boxes_whose_numbers_claim_more_than_they_hold_end_with_their_preparation(hasty: Embedded) -> None:
    """Circuits inside of boxes have headers of their own, in the middle of the file."""
    params = _boxes()
    content = base64.b64decode(params["instructions"]["circuit_b64"])
    headers = [match.start() for match in re.finditer(re.escape(struct.pack("!II", 2, 0)), content)]
    messages = []
    with client(hasty) as http:
        goes_on(http)
        for at in headers:
            broken = spoilt(params, ("instructions", "circuit_b64"), forged(content, at, "!I", 0x00FF_FFFF))
            messages.append(complaint(submit(http, "noise-learner", broken), 400))
        goes_on(http)
    # by the time or the memory that a preparation may have, whichever this machine comes to first
    ended = re.compile(r"took more than 3 s|more than its \d+ MB|more than the \d+ MB")
    assert any(map(ended.search, messages)), messages


@pytest.mark.parametrize("value", [0xFFFF, 0x7F01])
def test_no_number_of_a_file_of_boxes_does_harm(hasty: Embedded, value: int) -> None:
    params = _boxes()
    content = base64.b64decode(params["instructions"]["circuit_b64"])
    with client(hasty) as http:
        for at in range(20, len(content) - 2, 17):
            text = forged(content, at, "!H", value)
            reply = submit(http, "noise-learner", spoilt(params, ("instructions", "circuit_b64"), text))
            assert reply.status_code in (200, 400), f"offset {at}: {reply.status_code} {reply.text[:300]}"
        goes_on(http)
