"""One iteration of a session on a device of another server, beside one on the same device at that server.

The real client, EstimatorV2 with new parameters every time. Both servers are on this machine, so what is
measured is the second server and the driver, without a line between two labs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))
warnings.filterwarnings("ignore", category=DeprecationWarning)

import numpy as np
from qiskit_ibm_runtime import EstimatorV2, Session

from bench.common import report, summary
from bench.iteration import estimate, interleaved, problem
from sojourn.embedded import Embedded

INNER = [{"name": name, "driver": "aer", "options": {"qubits": 10}} for name in ("near", "far")]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    iterations = 30 if arguments.parse_args().quick else 200
    rng = np.random.default_rng(1)
    rows: list[dict[str, Any]] = []
    notes = []
    with tempfile.TemporaryDirectory() as folder, Embedded(devices=INNER) as inner:
        key = Path(folder) / "lab.key"
        key.write_text(inner.local_key, encoding="utf-8")
        options = {"url": inner.url, "backend": "far", "key_file": str(key)}
        devices = [{"name": "far", "driver": "sojourn", "options": options}]
        with Embedded(devices=devices) as outer:
            near, far = inner.service().backend("near"), outer.service().backend("far")
            for qubits in (2, 10):
                with Session(backend=near) as one, Session(backend=far) as two:
                    steps = {
                        name: estimate(EstimatorV2(mode=session), *problem(backend, qubits), rng)
                        for name, session, backend in (("at the server", one, near), ("federated", two, far))
                    }
                    times = interleaved(steps, iterations)
                rows += [{"what": f"{qubits}q {name}", **summary(taken)} for name, taken in times.items()]
                middle = {name: statistics.median(taken) for name, taken in times.items()}
                more = 1e3 * (middle["federated"] - middle["at the server"])
                ratio = middle["federated"] / middle["at the server"]
                notes.append(f"{qubits}q: {more:.1f} ms more through two servers, {ratio:.2f}x")
    report("federation", rows, notes)


if __name__ == "__main__":
    main()
