"""A program to be tested: it measures one circuit several times in a session, and does not give up lightly.

It knows nothing of Sojourn. A job that failed is submitted again, and a session that has ended is replaced by
a new one, so that a long survey outlives both.
"""

from __future__ import annotations

from collections.abc import Callable

from qiskit import QuantumCircuit, generate_preset_pass_manager
from qiskit_ibm_runtime import IBMBackend, SamplerV2, Session
from qiskit_ibm_runtime.exceptions import IBMRuntimeError, RuntimeJobFailureError


class SurveyFailed(Exception):
    """Too many jobs in a row came to nothing."""


def survey(
    backend: IBMBackend,
    rounds: int,
    *,
    tries: int = 3,
    between: Callable[[Session], None] | None = None,
) -> list[dict[str, int]]:
    """The counts of every round; `between` is called with the session after each."""
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    circuit = generate_preset_pass_manager(backend=backend, optimization_level=1).run(circuit)
    session = Session(backend=backend)
    found: list[dict[str, int]] = []
    failures = 0
    while len(found) < rounds:
        try:
            job = SamplerV2(mode=session).run([circuit], shots=100)
            found.append(job.result()[0].data.meas.get_counts())
        except (RuntimeJobFailureError, IBMRuntimeError) as error:
            failures += 1
            if failures == tries:
                raise SurveyFailed(f"{tries} failures in a row") from error
            if session.status() == "Closed":
                session = Session(backend=backend)
        else:
            failures = 0
            if between is not None:
                between(session)
    session.close()
    return found
