"""What a user does on the device `DEVICE`: a session with jobs of both primitives, transpiled for the target
that is served. `ANGLES` is set for a device whose rotations are gates that the client has to be asked for."""

import math
import os

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Parameter, QuantumRegister
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import EstimatorV2, QiskitRuntimeService, SamplerV2, Session

SHOTS = 100
POINTS = 60

service = QiskitRuntimeService()
fractional = None if "ANGLES" in os.environ else False
backend = service.backend(os.environ["DEVICE"], use_fractional_gates=fractional)
print("described", backend.configuration().description)
manager = generate_preset_pass_manager(1, backend=backend, seed_transpiler=1)

# Of the register `b` the bit 0 is never measured; `a` is 1 and `b` is 10, whatever the angle.
qubits, angle = QuantumRegister(3), Parameter("angle")
a, b, c = ClassicalRegister(1, "a"), ClassicalRegister(2, "b"), ClassicalRegister(1, "c")
swept = QuantumCircuit(qubits, a, b, c)
swept.x([0, 1])
swept.rx(angle, 2)
swept.measure(qubits[0], a[0])
swept.measure(qubits[1], b[1])
swept.measure(qubits[2], c[0])
angles = np.linspace(0, math.pi, POINTS)

bell = QuantumCircuit(2)
bell.h(0)
bell.cx(0, 1)
prepared = manager.run(bell)
observables = [SparsePauliOp(text).apply_layout(prepared.layout) for text in ("ZZ", "XX", "ZI")]

with Session(backend=backend) as session:
    sampler, estimator = SamplerV2(mode=session), EstimatorV2(mode=session)
    sampler.options.environment.log_level = "INFO"
    sampled = sampler.run([(manager.run(swept), angles)], shots=SHOTS)
    estimated = estimator.run([(prepared, observables)], precision=0.05)
    data = sampled.result()[0].data
    values = estimated.result()[0].data.evs


def shares(bits, key):
    """Of the shots at each angle, those that gave this."""
    return [bits[point].get_counts().get(key, 0) / SHOTS for point in range(POINTS)]


print("session", session.session_id)
print("jobs", sampled.job_id(), estimated.job_id())
print("always", *shares(data.a, "1"))
print("sparse", *shares(data.b, "10"))
print("swept", *shares(data.c, "1"))
print("values", *(float(value) for value in values))
print("log", sampled.logs().replace("\n", " | "))
