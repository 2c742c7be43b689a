"""V1 primitives with qiskit-ibm-runtime 0.12.2: what a program of 2023 does, in one run.

Prints what it saw as JSON.
"""

import json

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import RealAmplitudes
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_ibm_runtime import Estimator, Options, QiskitRuntimeService, Sampler, Session

seen: dict[str, object] = {}
service = QiskitRuntimeService(channel="ibm_cloud")
seen["backends"] = sorted(backend.name for backend in service.backends())
backend = service.backend("ibm_manila")
seen["qubits"] = backend.num_qubits
seen["pending"] = backend.status().pending_jobs

ghz = QuantumCircuit(3)
ghz.h(0)
ghz.cx(0, 1)
ghz.cx(0, 2)
ghz.measure_all()

turned = QuantumCircuit(1, 1)
turned.rx(Parameter("t"), 0)
turned.measure(0, 0)

with Session(service=service, backend=backend, max_time="10m") as session:
    sampler = Sampler(session=session)
    job = sampler.run([ghz, turned], parameter_values=[[], [np.pi]], shots=2000)
    result = job.result(timeout=120)
    seen["ghz"] = {str(k): v for k, v in result.quasi_dists[0].items()}
    seen["turned"] = {str(k): v for k, v in result.quasi_dists[1].items()}
    seen["sampler_metadata"] = result.metadata[0]
    seen["nearest"] = {str(k): v for k, v in result.quasi_dists[0].nearest_probability_distribution().items()}
    seen["session_is_first_job"] = session.session_id == job.job_id()

    options = Options(resilience_level=1, optimization_level=3)
    options.execution.shots = 4000
    estimator = Estimator(session=session, options=options)
    ansatz = RealAmplitudes(num_qubits=2, reps=1)
    observable = SparsePauliOp.from_list([("II", 1.0), ("ZZ", 0.5), ("XI", 2.0)])
    second = estimator.run(
        [ansatz, ansatz], [observable, observable], parameter_values=[[0.1, 0.2, 0.3, 0.4], [0.0] * 4]
    )
    values = second.result(timeout=120)
    seen["values"] = values.values.tolist()
    seen["estimator_metadata"] = values.metadata[0]
    seen["second_in_session"] = second.session_id == session.session_id
    session.close()

seen["status"] = job.status().name
seen["metrics"] = sorted(job.metrics())
seen["program"] = job.program_id
seen["jobs"] = [each.job_id() for each in service.jobs(limit=5)]
seen["ids"] = [job.job_id(), second.job_id()]
try:
    Sampler(session=session).run(ghz).result(timeout=60)
    seen["closed"] = "accepted"
except Exception as error:
    seen["closed"] = f"{type(error).__name__}: {error}"
with Session(service=service, backend=backend) as extrapolating:
    options = Options(resilience_level=2)
    third = Estimator(session=extrapolating, options=options).run(
        ansatz, observable, parameter_values=[0.0] * 4
    )
    values = third.result(timeout=300)
    seen["level_2"] = values.values[0]
    seen["level_2_metadata"] = values.metadata[0]
    extrapolating.close()

seen["exact"] = [
    Statevector(ansatz.assign_parameters(angles)).expectation_value(observable).real
    for angles in ([0.1, 0.2, 0.3, 0.4], [0.0] * 4)
]
print("seen", json.dumps(seen, default=str))
