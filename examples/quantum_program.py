"""A quantum program made by hand: one template, 20 randomisations of it at each of 9 angles."""

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Executor, QiskitRuntimeService, QuantumProgram
from samplomatic import build
from samplomatic.transpiler import generate_boxing_pass_manager

service = QiskitRuntimeService()
backend = service.backend("ibm_torino")

angle = Parameter("angle")
circuit = QuantumCircuit(2, 2)
circuit.rx(angle, 0)
circuit.cx(0, 1)
circuit.measure([0, 1], [0, 1])
isa = generate_preset_pass_manager(optimization_level=2, backend=backend).run(circuit)

# Boxes say what is randomised: layers of two-qubit gates, and the measurements.
boxed = generate_boxing_pass_manager(twirling_strategy="active").run(isa)
template, samplex = build(boxed)

angles = np.linspace(0, np.pi, 9)
program = QuantumProgram(shots=100)
program.append_samplex_item(
    template, samplex=samplex, samplex_arguments={"parameter_values": angles[:, None]}, shape=(20, 9)
)
job = Executor(mode=backend).run(program)
result = job.result()[0]
print("job", job.job_id())

# Twirled measurements are flipped at random; which were is part of the result.
bits = result["c"] ^ result["measurement_flips.c"]
ones = bits[..., 0].mean(axis=(0, 2))
for value, share in zip(angles, ones, strict=True):
    print(f"angle {value:.2f}: {share:.3f} of the shots are 1, without noise {np.sin(value / 2) ** 2:.3f}")
