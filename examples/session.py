"""A variational algorithm in a session: once it runs, nobody's job gets between its iterations.

The ground state of the hydrogen molecule, two qubits, by COBYLA; every evaluation is a job of its own.
"""

import numpy as np
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import EstimatorV2, QiskitRuntimeService, Session
from scipy.optimize import minimize

# At 0.735 angstrom, in hartree, without the repulsion of the nuclei.
hamiltonian = SparsePauliOp.from_list(
    [
        ("II", -1.05237325),
        ("IZ", 0.39793742),
        ("ZI", -0.39793742),
        ("ZZ", -0.01128010),
        ("XX", 0.18093120),
    ]
)
exact = np.linalg.eigvalsh(hamiltonian.to_matrix())[0]

service = QiskitRuntimeService()
backend = service.backend("ibm_torino")
ansatz = efficient_su2(2, su2_gates=["ry"], reps=1)
isa = generate_preset_pass_manager(optimization_level=2, backend=backend).run(ansatz)
observable = hamiltonian.apply_layout(isa.layout)

with Session(backend=backend, max_time="10m") as session:
    estimator = EstimatorV2(mode=session)

    def energy(angles):
        value = float(estimator.run([(isa, observable, angles)]).result()[0].data.evs)
        print(f"energy {value:+.4f}")
        return value

    start = np.array([np.pi - 0.4, 0.4, 0.3, -0.3])
    found = minimize(energy, start, method="COBYLA", options={"maxiter": 25, "rhobeg": 0.4})

print("session", session.session_id)
print(f"found {found.fun:+.4f}, exact {exact:+.4f}")
