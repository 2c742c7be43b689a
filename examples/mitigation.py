"""The estimator at resilience levels 0, 1 and 2 on a value that is known: the parity of a GHZ state is 1."""

from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch, QiskitRuntimeService
from qiskit_ibm_runtime.executor_estimator import Estimator

service = QiskitRuntimeService()
backend = service.backend("ibm_torino")

ghz = QuantumCircuit(4)
ghz.h(0)
for i in range(3):
    ghz.cx(i, i + 1)
isa = generate_preset_pass_manager(optimization_level=2, backend=backend).run(ghz)
parity = SparsePauliOp("ZZZZ").apply_layout(isa.layout)

jobs = {}
with Batch(backend=backend) as batch:
    for level in (0, 1, 2):
        estimator = Estimator(mode=batch)
        estimator.options.resilience_level = level
        jobs[level] = estimator.run([(isa, parity)], precision=0.02)

print("batch", batch.session_id)
for level, job in jobs.items():
    data = job.result()[0].data
    circuits = job.metrics()["num_circuits"]
    print(f"level {level}: {float(data.evs):.3f} ± {float(data.stds):.3f}, {circuits} circuits")
