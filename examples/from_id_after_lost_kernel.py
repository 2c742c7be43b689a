"""The kernel dies in the middle of a session; a new one goes on with the session and fetches the result.

Without arguments the file plays both parts: it runs itself once as the kernel that dies, and then is the
new one, which has nothing but two ids.
"""

import json
import os
import subprocess
import sys

from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import QiskitRuntimeService, SamplerV2, Session


def circuit(backend):
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    bell.measure_all()
    return generate_preset_pass_manager(optimization_level=2, backend=backend).run(bell)


def kernel_that_dies():
    service = QiskitRuntimeService()
    backend = service.backend("ibm_torino")
    session = Session(backend=backend)
    job = SamplerV2(mode=session).run([circuit(backend)], shots=500)
    print(json.dumps({"session": session.session_id, "job": job.job_id()}), flush=True)
    # No clean-up, no close: the session is left open, as after a power cut.
    os._exit(1)


def new_kernel(ids):
    service = QiskitRuntimeService()
    job = service.job(ids["job"])
    print("job of the dead kernel", ids["job"], job.result()[0].data.meas.get_counts())

    with Session.from_id(ids["session"], service=service) as session:
        print("session", session.session_id, session.status())
        again = SamplerV2(mode=session).run([circuit(service.backend("ibm_torino"))], shots=500)
        print("next job in it", again.job_id(), again.result()[0].data.meas.get_counts())
    print("closed:", session.status())


if __name__ == "__main__":
    if sys.argv[1:] == ["die"]:
        kernel_that_dies()
    dead = subprocess.run([sys.executable, __file__, "die"], stdout=subprocess.PIPE, text=True, check=False)
    new_kernel(json.loads(dead.stdout))
