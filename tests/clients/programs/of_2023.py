"""What a program asks with qiskit-ibm-runtime 0.12 before it runs anything: the account, the devices."""

# connect
from qiskit_ibm_runtime import QiskitRuntimeService

service = QiskitRuntimeService(channel="ibm_cloud")
backend = service.backend("ibm_torino")
# connected

from qiskit import QuantumCircuit, transpile

print("account", service.active_account()["channel"], service.active_account()["instance"])
print("backends", *sorted(found.name for found in service.backends()))
print("least_busy", service.least_busy(min_num_qubits=100).name)
print("operational", backend.status().operational, backend.status().pending_jobs)
print("qubits", backend.num_qubits, backend.target.num_qubits)
print("basis", *sorted(backend.configuration().basis_gates))
print("calibrated", backend.properties().t1(0) > 0)

bell = QuantumCircuit(2)
bell.h(0)
bell.cx(0, 1)
bell.measure_all()
isa = transpile(bell, backend, seed_transpiler=7)
print("transpiled", *sorted(isa.count_ops()))
print("jobs", len(service.jobs()))
