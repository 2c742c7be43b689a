"""What a program with V2 primitives does, for clients from 0.30 on: every mode, and what it asks of a job."""

# connect
from qiskit_ibm_runtime import QiskitRuntimeService

service = QiskitRuntimeService()
backend = service.backend("ibm_torino")
# connected

from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler.preset_passmanagers import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch, EstimatorV2, SamplerV2, Session
from qiskit_ibm_runtime.exceptions import IBMInputValueError

print("backends", *sorted(found.name for found in service.backends()))
print("least_busy", service.least_busy(min_num_qubits=100).name)
print("operational", backend.status().operational)
print("qubits", backend.num_qubits, backend.target.num_qubits)
print("calibrated", backend.properties().t1(0) > 0)

bell = QuantumCircuit(2)
bell.h(0)
bell.cx(0, 1)
measured = bell.copy()
measured.measure_all()
manager = generate_preset_pass_manager(optimization_level=2, backend=backend, seed_transpiler=7)
isa = manager.run(measured)
state = manager.run(bell)
observable = SparsePauliOp("ZZ").apply_layout(state.layout)


def agreeing(job):
    counts = job.result()[0].data.meas.get_counts()
    return (counts.get("00", 0) + counts.get("11", 0)) / sum(counts.values())


alone = SamplerV2(mode=backend)
job = alone.run([isa], shots=1000)
print("sampled", agreeing(job))
print("job", job.job_id(), job.status(), job.session_id)
print("charged", job.metrics()["usage"]["quantum_seconds"], job.usage())
print("logged", len(job.logs()))
job.update_tags(["bell", "first"])
print("tags", *sorted(service.job(job.job_id()).tags))
print("found", *(found.job_id() for found in service.jobs(job_tags=["bell"])))
print("inputs", type(service.job(job.job_id()).inputs["pubs"][0][0]).__name__)

job = EstimatorV2(mode=backend).run([(state, observable)])
print("estimated", float(job.result()[0].data.evs))

with Session(backend=backend, max_time="5m") as session:
    sampler = SamplerV2(mode=session)
    print("in_session", agreeing(sampler.run([isa], shots=500)))
    # The session has the device to itself, so this one waits until it is cancelled.
    waiting = alone.run([isa])
    print("before", waiting.status())
    waiting.cancel()
    print("after", waiting.status())
    estimator = EstimatorV2(mode=session)
    print("estimated_in_session", float(estimator.run([(state, observable)]).result()[0].data.evs))
    print("session_is", session.status())
    again = Session.from_id(session.session_id, service=service)
    print("session", again.session_id, again.details()["mode"])
print("session_was", session.status())
service.delete_job(waiting.job_id())

with Batch(backend=backend) as batch:
    sampler = SamplerV2(mode=batch)
    jobs = [sampler.run([isa], shots=100) for _ in range(3)]
print("in_batch", min(agreeing(job) for job in jobs))
print("batch", batch.session_id, batch.details()["mode"])
try:
    print("usage", service.usage()["usage_consumed_seconds"] > 0)
except IBMInputValueError:  # the earlier ones ask for it on another channel only
    print("usage", "not asked")
