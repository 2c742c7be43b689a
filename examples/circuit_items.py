"""A quantum program of plain circuits: two of them, one at every point of a grid of angles."""

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Executor, QiskitRuntimeService, QuantumProgram

service = QiskitRuntimeService()
backend = service.backend("ibm_torino")
transpiler = generate_preset_pass_manager(optimization_level=2, backend=backend)

ghz = QuantumCircuit(3)
ghz.h(0)
ghz.cx(0, 1)
ghz.cx(1, 2)
ghz.measure_all()

first, second = Parameter("first"), Parameter("second")
turned = QuantumCircuit(2, 2)
turned.ry(first, 0)
turned.ry(second, 1)
turned.measure([0, 1], [0, 1])

program = QuantumProgram(shots=500)
program.append_circuit_item(transpiler.run(ghz))
isa = transpiler.run(turned)
# The last axis runs over the parameters of the circuit, in its order; the others are the shape of the item.
angles = np.linspace(0, np.pi, 3)
columns = {first: angles[:, None], second: angles[None, :]}
grid = np.stack(np.broadcast_arrays(*(columns[parameter] for parameter in isa.parameters)), axis=-1)
program.append_circuit_item(isa, circuit_arguments=grid)

executor = Executor(mode=backend)
executor.options.environment.job_tags = ["grid"]
job = executor.run(program)
of_ghz, of_grid = job.result()
print("job", job.job_id())

bits = of_ghz["meas"]  # (shots, bits)
print(f"all qubits agree in {(bits.sum(axis=-1) % 3 == 0).mean():.1%} of {len(bits)} shots")
ones = of_grid["c"].mean(axis=-2)  # (first angles, second angles, bits)
for row, one in zip(ones, angles, strict=True):
    for shares, two in zip(row, angles, strict=True):
        print(f"angles {one:.2f} {two:.2f}: {shares[0]:.2f} {shares[1]:.2f} of the shots are 1")
