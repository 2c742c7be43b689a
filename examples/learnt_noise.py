"""Learn the noise of a circuit's layers on the device, and mitigate it by amplification (PEA), in a session.

The circuit undoes itself, so that without noise the value is 1.
"""

from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import NoiseLearnerV3, QiskitRuntimeService, Session
from qiskit_ibm_runtime.executor_estimator import Estimator

service = QiskitRuntimeService()
backend = service.backend("ibm_torino")

chain = QuantumCircuit(4)
for _ in range(4):
    chain.rzz(0.5, [0, 2], [1, 3])
    chain.rzz(0.5, 1, 2)
    chain.rx(0.6, range(4))
circuit = chain.copy()
circuit.barrier()
circuit.compose(chain.inverse(), inplace=True)
isa = generate_preset_pass_manager(optimization_level=2, backend=backend).run(circuit)
spins = SparsePauliOp.from_sparse_list([("Z", [i], 0.25) for i in range(4)], 4).apply_layout(isa.layout)
pubs = [(isa, spins)]

with Session(backend=backend) as session:
    plain = Estimator(mode=session)
    without = plain.run(pubs, precision=0.01)

    mitigating = Estimator(mode=session)
    mitigating.options.resilience.zne_mitigation = True
    mitigating.options.resilience.zne.amplifier = "pea"
    mitigating.options.twirling.num_randomizations = 128  # each injects its own errors
    layers = mitigating.find_unique_layers(pubs)

    learner = NoiseLearnerV3(mode=session)
    learner.options.num_randomizations = 16
    learner.options.layer_pair_depths = [0, 4, 16]
    learning = learner.run(layers)
    maps = learning.result().to_pauli_lindblad_maps()

    mitigating.options.resilience.layer_noise_model = zip(layers, maps, strict=True)
    mitigated = mitigating.run(pubs, precision=0.01)

print("session", session.session_id)
print("learning", learning.job_id())
for layer, noise in zip(layers, maps, strict=True):
    qubits = sorted(isa.find_bit(qubit).index for qubit in layer.qubits)  # those of the map, in its order
    print(f"layer on qubits {qubits}: {noise.num_terms} rates, sum {noise.rates.sum():.4f}")
    for paulis, places, rate in sorted(noise.to_sparse_list(), key=lambda term: -term[2])[:5]:
        on = " ".join(f"{pauli}{qubits[place]}" for pauli, place in zip(paulis, places, strict=True))
        print(f"  {on}: {rate:.5f}")
for name, job in (("level 1", without), ("PEA", mitigated)):
    data = job.result()[0].data
    print(f"{name}: {float(data.evs):.3f} ± {float(data.stds):.3f}, {job.metrics()['num_circuits']} circuits")
