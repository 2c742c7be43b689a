"""`backend.run()` with qiskit-ibm-runtime 0.30, with and without control flow.

Prints what it saw as JSON.
"""

import json

from qiskit import QuantumCircuit, transpile
from qiskit_ibm_runtime import QiskitRuntimeService

service = QiskitRuntimeService(channel="ibm_cloud")
backend = service.backend("ibm_manila")
bell = QuantumCircuit(2, 2)
bell.h(0)
bell.cx(0, 1)
bell.measure([0, 1], [0, 1])
job = backend.run(transpile(bell, backend), shots=500, memory=True, job_tags=["old"])
result = job.result(timeout=120)
seen = {
    "counts": result.get_counts(0),
    "memory": len(result.get_memory(0)),
    "tags": job.tags,
    "status": str(job.status()),
}
flow = QuantumCircuit(2, 2)
flow.x(0)
flow.measure(0, 0)
with flow.if_test((flow.clbits[0], 1)):
    flow.x(1)
flow.measure(1, 1)
dynamic = service.backend("ideal")
second = dynamic.run(transpile(flow, dynamic), shots=100)
seen["flow"] = second.result(timeout=120).get_counts(0)
seen["jobs"] = [job.job_id(), second.job_id()]
print("seen", json.dumps(seen, default=str))
