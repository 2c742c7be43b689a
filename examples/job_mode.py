"""One job by itself: a Bell state on ibm_torino."""

from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import QiskitRuntimeService, SamplerV2

service = QiskitRuntimeService()
backend = service.backend("ibm_torino")

bell = QuantumCircuit(2)
bell.h(0)
bell.cx(0, 1)
bell.measure_all()
isa = generate_preset_pass_manager(optimization_level=2, backend=backend).run(bell)

job = SamplerV2(mode=backend).run([isa], shots=2000)
print("job", job.job_id(), job.status())
counts = job.result()[0].data.meas.get_counts()
print("counts", dict(sorted(counts.items())))
print("seconds on the device", job.usage())

equal = (counts.get("00", 0) + counts.get("11", 0)) / 2000
print(f"both qubits agree in {equal:.1%} of the shots")
