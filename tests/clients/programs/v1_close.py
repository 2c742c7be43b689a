"""The hard close of a session with qiskit-ibm-runtime 0.12.2: queued jobs of it fail (R33).

Prints what it saw as JSON.
"""

import json

from qiskit import QuantumCircuit
from qiskit_ibm_runtime import QiskitRuntimeService, Sampler, Session

service = QiskitRuntimeService(channel="ibm_cloud")
circuit = QuantumCircuit(1)
circuit.x(0)
circuit.measure_all()
session = Session(service=service, backend="slow", max_time=600)
sampler = Sampler(session=session)
jobs = [sampler.run(circuit, shots=10) for _ in range(3)]
session.close()
endings = []
for job in jobs:
    try:
        job.result(timeout=60)
        endings.append("DONE")
    except Exception as error:
        endings.append(f"{job.status().name}: {error}")
print("seen", json.dumps({"endings": endings, "session": session.session_id, "first": jobs[0].job_id()}))
