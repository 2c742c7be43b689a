"""One iteration of a session with the real client, beside what cannot be avoided and what else there is.

efficient_su2 with new parameters every time, one observable, EstimatorV2. In the same run and interleaved:
direct in-process Aer (one thread), the five HTTP round trips that the client makes per job against an echo
server, and the client's local testing mode.
"""

from __future__ import annotations

import argparse
import http.server
import math
import os
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))
warnings.filterwarnings("ignore", category=DeprecationWarning)

import numpy as np
import requests
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import BackendEstimatorV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler.preset_passmanagers import generate_preset_pass_manager
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime import EstimatorV2, Session
from qiskit_ibm_runtime.fake_provider import FakeManilaV2, FakeTorino

from bench.common import report, summary
from sojourn.embedded import Embedded

Step = Callable[[], Any]


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers everything at once with a few hundred bytes, as small as our own answers."""

    protocol_version = "HTTP/1.1"
    ANSWER = b'{"id": "x", "state": {"status": "Completed"}, "filler": "' + b"x" * 300 + b'"}'

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.ANSWER)))
        self.end_headers()
        self.wfile.write(self.ANSWER)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


def echo_server() -> str:
    """An echo server in a process of its own, as ours is."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        Echo.wbufsize = -1
        Echo.disable_nagle_algorithm = True
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        os.write(writing, str(server.server_port).encode())
        os.close(writing)
        parent = os.getppid()
        threading.Thread(target=lambda: _die_with(parent), daemon=True).start()
        server.serve_forever()
    os.close(writing)
    return f"http://127.0.0.1:{os.read(reading, 10).decode()}"


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(0)


def problem(backend: Any, qubits: int) -> tuple[QuantumCircuit, SparsePauliOp]:
    circuit = efficient_su2(qubits, reps=1, entanglement="linear")
    isa = generate_preset_pass_manager(backend=backend, optimization_level=1, seed_transpiler=1).run(circuit)
    terms = [("ZZ", [i, i + 1], 1.0) for i in range(qubits - 1)] + [("X", [i], 0.5) for i in range(qubits)]
    observable = SparsePauliOp.from_sparse_list(terms, num_qubits=qubits).apply_layout(isa.layout)
    return isa, observable


def once(step: Step) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def estimate(
    estimator: Any,
    isa: QuantumCircuit,
    observable: SparsePauliOp,
    rng: np.random.Generator,
    precision: float | None = None,
) -> Step:
    def step() -> None:
        angles = rng.uniform(-math.pi, math.pi, isa.num_parameters)
        result = estimator.run([(isa, observable, angles)], precision=precision).result()
        assert np.isfinite(result[0].data.evs)

    return step


def five_round_trips(url: str, body: bytes) -> Step:
    session = requests.Session()
    session.trust_env = False

    def step() -> None:
        for method, data in (("GET", None), ("GET", None), ("POST", body), ("GET", None), ("GET", None)):
            session.request(method, f"{url}/x", data=data).json()

    return step


def interleaved(steps: dict[str, Step], iterations: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()  # warm
    for _ in range(iterations):
        for name, step in steps.items():
            times[name].append(once(step))
    return times


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    quick = arguments.parse_args().quick
    iterations = 30 if quick else 200
    rng = np.random.default_rng(1)
    rows: list[dict[str, Any]] = []
    notes = []
    url = echo_server()
    with Embedded() as server:
        service = server.service(server.local_key)
        for device in ("aer", "ibm_torino"):
            backend = service.backend(device)
            for qubits in (2, 10):
                isa, observable = problem(backend, qubits)
                with Session(backend=backend) as session:
                    steps = {
                        "session": estimate(EstimatorV2(mode=session), isa, observable, rng),
                        "round trips": five_round_trips(url, b"x" * 3000),
                    }
                    if device == "aer":
                        direct = BackendEstimatorV2(backend=AerSimulator(max_parallel_threads=1))
                        steps["direct Aer"] = estimate(direct, isa, observable, rng)
                    few = iterations if device == "aer" or qubits == 2 else max(10, iterations // 5)
                    times = interleaved(steps, few)
                middle = {name: statistics.median(values) for name, values in times.items()}
                rows += [{"what": f"{device} {qubits}q {n}", **summary(v)} for n, v in times.items()]
                if device == "aer":
                    floor = middle["direct Aer"] + middle["round trips"]
                    over = 1e3 * (middle["session"] - middle["direct Aer"])
                    notes.append(
                        f"aer {qubits}q: {over:.1f} ms over direct Aer (aim 15), "
                        f"{middle['session'] / floor:.2f}x direct + round trips (aim 2)"
                    )
        local = {("FakeManilaV2", 2): FakeManilaV2(), ("FakeTorino", 2): FakeTorino()}
        for (name, qubits), backend in local.items():
            isa, observable = problem(backend, qubits)
            step = estimate(EstimatorV2(mode=backend), isa, observable, rng)
            repeats = 1 if quick else (3 if name == "FakeTorino" else 10)
            taken = [once(step) for _ in range(repeats)]
            rows.append({"what": f"local testing mode {name} {qubits}q", **summary(taken)})
            if name == "FakeTorino":
                ours = next(r for r in rows if r["what"] == "ibm_torino 2q session")
                ratio = rows[-1]["p50_ms"] / ours["p50_ms"]
                notes.append(f"FakeTorino 2q: local testing mode / session = {ratio:.0f} (aim 300)")
    report("iteration", rows, notes)


if __name__ == "__main__":
    main()
