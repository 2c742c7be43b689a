"""Clients that have the primitives of V1 and of V2, 0.24 to 0.27: by themselves, in sessions and a batch.

Prints what it saw as JSON.
"""

import json

from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler.preset_passmanagers import generate_preset_pass_manager
from qiskit_ibm_runtime import (
    Batch,
    Estimator,
    EstimatorV2,
    Options,
    QiskitRuntimeService,
    Sampler,
    SamplerV2,
    Session,
)

service = QiskitRuntimeService()
backend = service.backend("ibm_manila")
seen = {"backends": sorted(found.name for found in service.backends())}
manager = generate_preset_pass_manager(optimization_level=1, backend=backend, seed_transpiler=7)
ghz = QuantumCircuit(3)
ghz.h(0)
ghz.cx(0, 1)
ghz.cx(1, 2)
measured = manager.run(ghz.measure_all(inplace=False))
state = manager.run(ghz)
observable = SparsePauliOp("ZZI").apply_layout(state.layout)
options = Options()
options.execution.shots = 2000


def shares(job):
    """Of the outcomes of a V1 sampler."""
    return {str(key): value for key, value in job.result().quasi_dists[0].items()}


def agreeing(job):
    """The share of equal bits, of a V2 sampler."""
    counts = job.result()[0].data.meas.get_counts()
    return (counts.get("000", 0) + counts.get("111", 0)) / sum(counts.values())


alone = Sampler(backend=backend, options=options).run(measured)
seen["v1"] = shares(alone)
seen["v1_metadata"] = alone.result().metadata[0]
seen["v1_status"] = alone.status().name
with Session(service=service, backend=backend, max_time="10m") as session:
    sampled = Sampler(session=session, options=options).run(measured)
    seen["v1_in_session"] = shares(sampled)
    estimated = Estimator(session=session, options=options).run(state, observable)
    seen["v1_value"] = estimated.result().values[0]
    seen["v1_session"] = session.session_id
seen["v1_jobs"] = [alone.job_id(), sampled.job_id(), estimated.job_id()]
seen["v1_listed"] = sorted(job.job_id() for job in service.jobs(session_id=session.session_id))

alone = SamplerV2(mode=backend).run([measured], shots=1000)
seen["v2"] = agreeing(alone)
seen["v2_status"] = alone.status()
seen["v2_charged"] = alone.metrics()["usage"]["quantum_seconds"]
with Session(service=service, backend=backend, max_time="10m") as session:
    sampled = SamplerV2(mode=session).run([measured], shots=1000)
    seen["v2_in_session"] = agreeing(sampled)
    # The session has the device to itself, so this one waits until it is cancelled.
    waiting = SamplerV2(mode=backend).run([measured])
    seen["v2_before"] = waiting.status()
    waiting.cancel()
    seen["v2_after"] = waiting.status()
    estimated = EstimatorV2(mode=session).run([(state, observable)])
    seen["v2_value"] = float(estimated.result()[0].data.evs)
    seen["v2_session"] = session.session_id
with Batch(service=service, backend=backend) as batch:
    jobs = [SamplerV2(mode=batch).run([measured], shots=100) for _ in range(2)]
    seen["in_batch"] = min(agreeing(job) for job in jobs)
    seen["batch"] = batch.session_id
seen["v2_jobs"] = [alone.job_id(), sampled.job_id(), estimated.job_id(), *(job.job_id() for job in jobs)]
again = service.job(sampled.job_id())
seen["again"] = agreeing(again)
seen["inputs"] = type(again.inputs["pubs"][0][0]).__name__
print("seen", json.dumps(seen, default=str))
