"""Delays run as long as they say. The whole kind: every unit, numbers and parameters, bound before or after
transpilation or swept, expressions and stretches, at the top and inside of every control flow, from QPY and
from OpenQASM; their effect is the decay of the qubit that waits. A unit that nothing tells is not guessed."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit, generate_preset_pass_manager, qpy
from qiskit.circuit import Duration, Parameter
from qiskit.circuit.classical import expr
from qiskit.circuit.library import XGate
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import ALAPScheduleAnalysis, PadDynamicalDecoupling
from qiskit_ibm_runtime.fake_provider import FakeTorino

from sojourn.worker.circuits.timing import settle
from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import JobRefused, Prepared
from tests.unit.worker.conftest import body, estimator_body, result, sampler_body

BACKEND = FakeTorino()
DT = BACKEND.dt
QUBIT = 5  # T1 is about 180 us
LONG = 800e-6  # seconds
SHOTS = 400
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12, "dt": DT}
wait = Parameter("wait")


def transpiled(circuit: QuantumCircuit, *qubits: int, level: int = 1) -> QuantumCircuit:
    """For the device, on `qubits` (the usual one if none are named)."""
    layout = list(qubits or (QUBIT,))[: circuit.num_qubits]
    manager = generate_preset_pass_manager(level, backend=BACKEND, initial_layout=layout, seed_transpiler=1)
    return manager.run(circuit)


def excited(*delays: tuple[Any, str | None]) -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    for duration, unit in delays:
        circuit.delay(duration, 0, unit)
    circuit.measure(0, 0)
    return circuit


def ones(host: DeviceHost, circuit: Any, values: Any = None, bit: int = 0) -> list[float]:
    """The part of the shots of each point in which the bit is 1."""
    params = body([[circuit, values, SHOTS]])
    (pub,) = result(host, "sampler", params)
    (bits,) = pub.data.values()
    found = bits.slice_bits([bit]).bitcount().reshape(-1, SHOTS).mean(axis=1)
    return [float(part) for part in found]


def seconds(host: DeviceHost, circuit: Any, values: Any = None) -> float:
    """The estimate of one shot at every point, without the delays between shots."""
    prepared = host.prepare("sampler", body([[circuit, values, 1]]))
    return prepared.estimated_seconds - prepared.num_circuits * 250e-6


def refusal(host: DeviceHost, circuit: Any, values: Any = None) -> str:
    with pytest.raises(JobRefused) as caught:
        host.prepare("sampler", body([[circuit, values, 1]]))
    message = caught.value.message
    assert message.startswith("pubs[0]: "), message
    assert "Error" not in message
    return message


@pytest.mark.parametrize("unit", UNITS)
def test_a_delay_with_a_parameter_is_swept_in_its_unit(torino: DeviceHost, unit: str) -> None:
    circuit = transpiled(excited((wait, unit)))
    short, long = ones(torino, circuit, np.array([[0.0], [LONG / UNITS[unit]]]))
    assert short > 0.9 > 0.15 > long


@pytest.mark.parametrize("unit", UNITS)
def test_a_delay_that_is_bound_after_transpilation_is_as_long_as_one_that_was_bound_before(
    torino: DeviceHost, unit: str
) -> None:
    """Qiskit/qiskit#6225. A file of QPY 17 has a float for it, as for a delay in another unit."""
    value = round(LONG / UNITS[unit]) if unit == "dt" else LONG / UNITS[unit]
    free = excited((wait, unit))
    after = transpiled(free).assign_parameters({wait: value})
    before = transpiled(free.assign_parameters({wait: value}))
    assert seconds(torino, after) == pytest.approx(seconds(torino, before), abs=DT)
    assert ones(torino, after)[0] < 0.15


@pytest.mark.parametrize("unit", UNITS)
def test_a_plain_delay_is_run_in_its_unit(torino: DeviceHost, unit: str) -> None:
    value = round(LONG / UNITS[unit]) if unit == "dt" else LONG / UNITS[unit]
    assert ones(torino, transpiled(excited((value, unit))))[0] < 0.15


@pytest.mark.parametrize("duration", [Duration.us(LONG * 1e6), Duration.ns(LONG * 1e9), Duration.dt(200_000)])
def test_a_duration_expression_keeps_its_unit_without_transpilation_too(
    torino: DeviceHost, duration: Duration
) -> None:
    circuit = QuantumCircuit(QUBIT + 1, 1)
    circuit.x(QUBIT)
    circuit.delay(expr.add(expr.div(duration, 2), expr.mul(0.5, duration)), QUBIT)
    circuit.measure(QUBIT, 0)
    assert ones(torino, circuit)[0] < 0.15


def nested(kind: str, duration: Any, unit: str | None = "dt") -> QuantumCircuit:
    """A delay that is always met, inside of a control-flow operation."""
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    flag = (circuit.clbits[0], 0)
    if kind == "if":
        with circuit.if_test(flag):
            circuit.delay(duration, 0, unit)
    elif kind == "else":
        with circuit.if_test((circuit.clbits[0], 1)) as otherwise:
            circuit.x(0)
        with otherwise:
            circuit.delay(duration, 0, unit)
    elif kind == "for":
        with circuit.for_loop(range(2)), circuit.for_loop([3]):
            circuit.delay(duration, 0, unit)
    else:
        with circuit.switch(circuit.clbits[0]) as case:
            with case(0):
                circuit.delay(duration, 0, unit)
            with case(case.DEFAULT):
                circuit.x(0)
    circuit.measure(0, 0)
    return transpiled(circuit)


@pytest.mark.parametrize("kind", ["if", "else", "for", "switch"])
def test_delays_run_inside_of_control_flow(torino: DeviceHost, kind: str) -> None:
    """Plain, as an expression, swept, and bound after transpilation."""
    steps = round(LONG / DT)
    assert ones(torino, nested(kind, steps))[0] < 0.15
    assert ones(torino, nested(kind, expr.lift(Duration.us(LONG * 1e6)), None))[0] < 0.15
    free = nested(kind, wait)
    short, long = ones(torino, free, np.array([[0.0], [steps]]))
    assert short > 0.85 > 0.15 > long
    assert ones(torino, free.assign_parameters({wait: steps}))[0] < 0.15


def test_a_delay_in_a_while_loop_counts_as_one_turn(aer: DeviceHost) -> None:
    """The devices of IBM have no such loop; a device without durations has the delay's only."""
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    with circuit.while_loop((circuit.clbits[0], 0)):
        circuit.delay(wait, 0)
        circuit.measure(0, 0)
    circuit.measure(0, 0)
    params = body([[circuit, np.array([[2000.0]]), 1]])
    assert aer.prepare("sampler", params).estimated_seconds == pytest.approx(2000e-9)
    (pub,) = result(aer, "sampler", params)
    assert pub.data.c.get_counts() == {"1": 1}


def test_a_delay_may_depend_on_the_parameter_of_its_loop(torino: DeviceHost) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    with circuit.for_loop(range(3)) as turn:
        circuit.delay(turn * wait + 0.5 * turn, 0, "dt")
    circuit.measure(0, 0)
    made = transpiled(circuit)
    short, long = ones(torino, made, np.array([[0.0], [80_000.0]]))
    assert long < 0.15 < 0.85 < short
    assert seconds(torino, made, np.array([[80_000.0]])) == pytest.approx(240_000 * DT, rel=0.02)


@pytest.mark.parametrize("width", [1, 4])
def test_delays_act_in_trajectories_and_in_density_matrices(torino: DeviceHost, width: int) -> None:
    """Control flow on more than two qubits is simulated by trajectories."""
    circuit = QuantumCircuit(width, width)
    circuit.x(range(width))
    with circuit.if_test((circuit.clbits[0], 0)):
        circuit.delay(round(LONG / DT), 0)
    circuit.measure(range(width), range(width))
    made = transpiled(circuit, QUBIT, 8, 12, 20)
    assert ones(torino, made)[0] < 0.15
    if width > 1:
        assert ones(torino, made, bit=1)[0] > 0.85


def test_the_estimate_takes_the_delays_of_every_point(torino: DeviceHost) -> None:
    circuit = transpiled(excited((wait, "dt"), (2 * wait, "dt")))
    rest = seconds(torino, circuit, np.array([[0.0]]))
    both = seconds(torino, circuit, np.array([[1000.0], [3000.0]]))
    assert both == pytest.approx(2 * rest + 3 * 4000 * DT)
    looped = nested("for", wait)
    assert seconds(torino, looped, np.array([[50_000.0]])) == pytest.approx(100_000 * DT, rel=0.02)


@pytest.mark.parametrize(
    ("duration", "value", "words"),
    [
        (wait, -200.0, "at point 1 the delay on qubit 5 is -200 dt"),
        (500 - wait, 700.0, "at point 1 the delay on qubit 5 is -200 dt"),
        (1 / wait, 0.0, "at point 1 the delay on qubit 5 is nan dt"),
        (wait.log(), 0.0, "at point 1 the delay on qubit 5 is nan dt"),
        (wait, 1e14, "from 0 to 10000 s, which are 2.5e+12 dt"),
    ],
)
def test_values_at_which_a_delay_is_none_are_refused_at_submit(
    torino: DeviceHost, duration: Any, value: float, words: str
) -> None:
    circuit = transpiled(excited((duration, "dt")))
    assert words in refusal(torino, circuit, np.array([[100.0], [value]]))


def test_a_bound_delay_that_is_none_is_refused(torino: DeviceHost) -> None:
    circuit = transpiled(excited((wait, "dt")))
    assert "is -200 dt" in refusal(torino, circuit.assign_parameters({wait: -200}))
    too_long = transpiled(excited((2**62, "dt")))
    assert "from 0 to 10000 s" in refusal(torino, too_long)


@pytest.mark.parametrize("value", [800.0, 0.5])
def test_what_may_be_in_another_unit_is_refused_with_the_reason(torino: DeviceHost, value: float) -> None:
    """The transpiler leaves microseconds inside of control flow as they are, and the file loses the unit."""
    assert "QPY does not hold the unit" in refusal(torino, nested("if", value, "us"))
    free = nested("if", wait, "us")
    assert "give delays in dt" in refusal(torino, free, np.array([[0.0], [value]]))
    untouched = QuantumCircuit(QUBIT + 1, 1)
    untouched.delay(value, QUBIT, "us")
    untouched.measure(QUBIT, 0)
    assert "give delays in dt" in refusal(torino, untouched)


@pytest.mark.parametrize("flow", ["if", "for", "switch"])
def test_a_number_that_is_not_whole_is_never_taken_for_dt(torino: DeviceHost, flow: str) -> None:
    """Nanoseconds inside of control flow: as dt they would be several times as long."""
    assert "a delay of 190003.5 on qubit" in refusal(torino, nested(flow, 190_003.5, "ns"))
    assert torino.prepare("sampler", body([[nested(flow, 190_004, "dt"), None, 1]]))


def test_a_unit_that_was_taken_for_granted_is_said_in_a_warning(torino: DeviceHost) -> None:
    params = body([[nested("if", wait), np.array([[200_000.0]]), 1]])
    (warning,) = torino.prepare("sampler", params).warnings
    assert warning.startswith("pubs[0]: the file does not hold the unit of 1 of its delays")
    assert not torino.prepare("sampler", body([[transpiled(excited((800.0, "us"))), None, 1]])).warnings


def file_of(circuit: QuantumCircuit, version: int) -> Any:
    stream = io.BytesIO()
    qpy.dump(circuit, stream, version=version)
    text = base64.b64encode(zlib.compress(stream.getvalue())).decode()
    return {"__type__": "QuantumCircuit", "__value__": text}


def prepared_file(host: DeviceHost, file: Any) -> Prepared:
    return host.prepare("sampler", json.dumps({"pubs": [[file, None, 1]], "version": 2}).encode())


@pytest.mark.parametrize("version", range(13, qpy.QPY_VERSION + 1))
def test_in_files_of_every_version_whole_numbers_are_dt(torino: DeviceHost, version: int) -> None:
    bound = transpiled(excited((wait, "dt"))).assign_parameters({wait: 3000})
    for circuit in (transpiled(excited((3000, "dt"))), bound):
        found = prepared_file(torino, file_of(circuit, version))
        assert found.estimated_seconds == pytest.approx(3000 * DT + 250e-6, rel=0.02)


@pytest.mark.parametrize("version", range(13, 17))
def test_a_float_in_an_older_file_is_not_in_dt(torino: DeviceHost, version: int) -> None:
    file = file_of(excited((50_000.0, "ns")), version)
    with pytest.raises(JobRefused, match="in another unit than dt, and QPY does not hold the unit"):
        prepared_file(torino, file)


QASM = 'OPENQASM 3.0; include "stdgates.inc"; bit[1] c; x $5; {} c[0] = measure $5;'


@pytest.mark.parametrize(
    "delays",
    ["delay[800us] $5;", "delay[200000dt] $5;", "delay[400000ns] $5; if (!c[0]) {{ delay[0.4ms] $5; }}"],
)
def test_openqasm_text_tells_its_units(torino: DeviceHost, delays: str) -> None:
    assert ones(torino, QASM.format(delays.replace("{{", "{").replace("}}", "}")))[0] < 0.15


@pytest.mark.parametrize(
    "lines",
    ["stretch s; delay[s] $5;", "duration d = 100ns; delay[d] $5;", "delay[durationof({x $5;})] $5;"],
)
def test_times_that_the_importer_does_not_know_are_refused_for_what_they_are(
    torino: DeviceHost, lines: str
) -> None:
    message = refusal(torino, QASM.replace("{}", lines))
    assert "stretch, duration and durationof are not read from OpenQASM 3 text (line 1, column" in message
    assert "delay[100ns] q;" in message


def stretched(fill: Callable[[QuantumCircuit], None]) -> QuantumCircuit:
    """Both qubits excited; the first waits for long, the second does what `fill` says meanwhile."""
    circuit = QuantumCircuit(2, 2)
    circuit.x([0, 1])
    circuit.barrier()
    circuit.delay(round(LONG / DT), 0)
    fill(circuit)
    circuit.barrier()
    circuit.measure([0, 1], [0, 1])
    return transpiled(circuit, QUBIT, 8)


def one(circuit: QuantumCircuit) -> None:
    circuit.delay(circuit.add_stretch("s"), 1)


def parts(circuit: QuantumCircuit) -> None:
    s = circuit.add_stretch("s")
    circuit.delay(expr.add(expr.mul(s, 2), Duration.us(10)), 1)
    circuit.delay(expr.sub(expr.div(s, 4), Duration.dt(100)), 1)


def decoupled(circuit: QuantumCircuit) -> None:
    s = circuit.add_stretch("s")
    for times in (1, 2, 1):
        circuit.delay(expr.mul(s, times), 1)
        circuit.x(1)


def inside(circuit: QuantumCircuit) -> None:
    with circuit.if_test((circuit.clbits[0], 0)):
        s = circuit.add_stretch("s")
        circuit.delay(round(LONG / DT), 0)
        circuit.delay(s, 1)


@pytest.mark.parametrize("fill", [one, parts, inside])
def test_a_qubit_that_waits_for_a_stretch_decays(torino: DeviceHost, fill: Any) -> None:
    left = np.exp(-LONG / BACKEND.properties().t1(8))
    assert ones(torino, stretched(fill), bit=1)[0] == pytest.approx(left, abs=0.1)
    assert left < 0.3


def test_a_decoupling_sequence_of_stretches_is_spaced_evenly() -> None:
    """The first example of IBM's guide to stretch, after the transpiler."""
    timing = settle(stretched(decoupled), BACKEND.target, 17, "it")
    found = [item.operation.duration for item in timing.circuit.data if item.name == "delay"]
    waited = [duration for duration in found if duration != round(LONG / DT)]
    assert waited[0] - timing.stretches[0].remainder == waited[2]
    assert waited[1] == 2 * waited[2]
    assert sum(waited) + 3 * 8 == round(LONG / DT)
    assert not timing.circuit.num_stretches


def test_a_stretch_counts_in_the_estimate_as_what_it_is_resolved_to(torino: DeviceHost) -> None:
    assert seconds(torino, stretched(one)) == pytest.approx(LONG, rel=0.01)


def test_a_stretch_beside_a_swept_delay_is_refused_by_name(torino: DeviceHost) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.delay(wait, 0)
    circuit.delay(circuit.add_stretch("s"), 1)
    circuit.measure_all()
    made = transpiled(circuit, QUBIT, 12)
    assert "Bind the delay's parameter" in refusal(torino, made, np.array([[1.0]]))


@pytest.mark.parametrize("host", ["aer", "mock", "manila"])
def test_stretches_and_parameters_run_on_every_built_in_device(
    host: str, request: pytest.FixtureRequest
) -> None:
    device: DeviceHost = request.getfixturevalue(host)
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.delay(circuit.add_stretch("s"), 1)
    circuit.measure([0, 1], [0, 1])
    free = QuantumCircuit(2, 2)
    free.x(0)
    free.rz(wait, 0)
    with free.if_test((free.clbits[0], 0)):
        free.delay(wait, 0)
    free.measure([0, 1], [0, 1])
    values = np.array([[0.0], [20_000.0]])
    result(device, "sampler", sampler_body([circuit, (free, values)]))
    free.remove_final_measurements()
    result(device, "estimator", estimator_body([(transpiled_free(), "ZZ", values)]))


def transpiled_free() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.x(0)
    circuit.delay(wait, 0)
    return circuit


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_what_the_scheduler_and_decoupling_make_runs(torino: DeviceHost, level: int) -> None:
    circuit = QuantumCircuit(3, 3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.measure(range(3), range(3))
    manager = generate_preset_pass_manager(
        level, backend=BACKEND, scheduling_method="alap", seed_transpiler=1
    )
    scheduled = manager.run(circuit)
    padded = PassManager(
        [
            ALAPScheduleAnalysis(target=BACKEND.target),
            PadDynamicalDecoupling(target=BACKEND.target, dd_sequence=[XGate(), XGate()]),
        ]
    ).run(generate_preset_pass_manager(level, backend=BACKEND, seed_transpiler=1).run(circuit))
    for made in (scheduled, padded):
        assert made.count_ops()["delay"] > 0
        assert 0.3 < ones(torino, made)[0] < 0.7
