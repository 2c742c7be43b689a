"""What a job of a batch system does through QRMI: a resource that it was given, primitives in a session."""

# connect
from qrmi.primitives import QRMIService
from qrmi.primitives.ibm import EstimatorV2, SamplerV2, get_backend

resource = QRMIService().resource("ibm_torino")
backend = get_backend(resource)
# connected

import json

from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager

print("accessible", resource.is_accessible())
print("type", resource.resource_type())
print("status", json.dumps(resource.status().to_dict()))
target = json.loads(resource.target().value)
print("described", target["configuration"]["backend_name"], target["properties"]["backend_name"])
print("qubits", backend.num_qubits, backend.target.num_qubits)

bell = QuantumCircuit(2)
bell.h(0)
bell.cx(0, 1)
measured = bell.copy()
measured.measure_all()
manager = generate_preset_pass_manager(optimization_level=2, backend=backend, seed_transpiler=7)
isa = manager.run(measured)
state = manager.run(bell)
observable = SparsePauliOp("ZZ").apply_layout(state.layout)

session = resource.acquire()
print("session", session)

job = SamplerV2(resource, options={"default_shots": 1000}).run([isa])
counts = job.result()[0].data.meas.get_counts()
print("sampled", (counts.get("00", 0) + counts.get("11", 0)) / sum(counts.values()))
print("sampler", job.job_id(), job.status())
print("logged", len(job.logs()))

# OpenQASM 3 names the qubits of the device that the circuit uses; the observable has all of them.
job = EstimatorV2(resource).run([(state, observable)])
print("estimated", float(job.result()[0].data.evs))
print("estimator", job.job_id(), job.status())

# The session has the device to itself, so a job outside of it waits until it is cancelled.
waiting = SamplerV2(QRMIService().resource("ibm_torino")).run([isa])
print("before", waiting.status())
waiting.cancel()
print("after", waiting.status())
print("cancelled", waiting.job_id())

resource.release(session)
