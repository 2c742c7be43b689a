"""The sampler that prepares circuits in the client: gates and measurements twirled, idle ones decoupled."""

from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.executor_sampler import Sampler

service = QiskitRuntimeService()
backend = service.backend("ibm_torino")

ghz = QuantumCircuit(4)
ghz.h(0)
for i in range(3):
    ghz.cx(i, i + 1)
ghz.measure_all()
isa = generate_preset_pass_manager(optimization_level=2, backend=backend).run(ghz)

sampler = Sampler(mode=backend)
sampler.options.twirling.enable_gates = True
sampler.options.twirling.enable_measure = True
sampler.options.twirling.num_randomizations = 16
sampler.options.dynamical_decoupling.enable = True
sampler.options.dynamical_decoupling.sequence_type = "XY4"

job = sampler.run([isa], shots=3200)
bits = job.result()[0].data.meas
counts = bits.get_counts()
print("job", job.job_id())
print("circuits", job.metrics()["num_circuits"])
equal = (counts.get("0000", 0) + counts.get("1111", 0)) / bits.num_shots
print(f"all qubits agree in {equal:.1%} of {bits.num_shots} shots")
