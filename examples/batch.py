"""A batch: jobs that do not depend on each other, submitted at once, run back to back.

GHZ states of two to six qubits; the fidelity falls with their size.
"""

from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch, QiskitRuntimeService, SamplerV2

SHOTS = 1000

service = QiskitRuntimeService()
backend = service.backend("ibm_torino")
pass_manager = generate_preset_pass_manager(optimization_level=2, backend=backend)


def ghz(qubits):
    circuit = QuantumCircuit(qubits)
    circuit.h(0)
    for target in range(1, qubits):
        circuit.cx(target - 1, target)
    circuit.measure_all()
    return circuit


with Batch(backend=backend) as batch:
    sampler = SamplerV2(mode=batch)
    jobs = {n: sampler.run([pass_manager.run(ghz(n))], shots=SHOTS) for n in range(2, 7)}

# The batch takes no more jobs now, and finishes those that it has.
print("batch", batch.session_id)
for n, job in jobs.items():
    counts = job.result()[0].data.meas.get_counts()
    good = (counts.get("0" * n, 0) + counts.get("1" * n, 0)) / SHOTS
    print(f"{n} qubits: {good:.1%} all equal")
