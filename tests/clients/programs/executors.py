"""The classes of qiskit-ibm-runtime 0.49 to 0.51 that prepare their circuits in the client."""

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch, Executor, QiskitRuntimeService, QuantumProgram, Session
from qiskit_ibm_runtime.executor_estimator import EstimatorV2
from qiskit_ibm_runtime.executor_sampler import SamplerV2

service = QiskitRuntimeService()
backend = service.backend("ibm_manila")

turned = QuantumCircuit(2)
turned.ry(Parameter("angle"), 0)
turned.cx(0, 1)
measured = turned.copy()
measured.measure_all()
manager = generate_preset_pass_manager(optimization_level=2, backend=backend, seed_transpiler=7)
isa = manager.run(measured)
state = manager.run(turned)
observable = SparsePauliOp("ZZ").apply_layout(state.layout)

program = QuantumProgram(shots=1000)
program.append_circuit_item(isa, circuit_arguments=np.array([[0.0], [np.pi]]))
job = Executor(mode=backend).run(program)
ones = job.result()[0]["meas"].mean(axis=(-2, -1))
print("executed", *(round(float(share), 2) for share in ones))
print("executor", job.job_id())

with Batch(backend=backend) as batch:
    sampler = SamplerV2(mode=batch)
    sampler.options.twirling.enable_gates = True
    sampler.options.dynamical_decoupling.enable = True
    job = sampler.run([(isa, [0.0])], shots=1000)
    counts = job.result()[0].data.meas.get_counts()
print("sampled", counts.get("00", 0) / sum(counts.values()))
print("sampler", job.job_id())

with Session(backend=backend) as session:
    estimator = EstimatorV2(mode=session)
    estimator.options.resilience_level = 1
    job = estimator.run([(state, observable, [0.3])], precision=0.05)
    print("estimated", float(job.result()[0].data.evs))
print("estimator", job.job_id())
