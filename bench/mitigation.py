"""What error mitigation gives on a model of a real device: known values, 20 seeds, 4 and 10 qubits.

The problems and the true noise are those of tests/harness/mitigation.py. With `--page` the figures go into
docs/diagrams/mitigation.json, seed by seed; docs/diagrams/mitigation.py makes the plot and the table of them.
Seeds that the file has are not run again; remove it to begin anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
warnings.filterwarnings("ignore", category=DeprecationWarning)

import numpy as np
from tests.harness.mitigation import PRECISION, STEPS, WAYS, Estimate, device, estimate, mirror, on

from bench.common import report

DEVICE = "FakeTorino"
FIGURES = ROOT / "docs" / "diagrams" / "mitigation.json"

Runs = dict[str, dict[str, list[dict[str, Any]]]]
"""By number of qubits and way: what each seed gave."""


def figures(made: Estimate) -> dict[str, Any]:
    return {
        "errors": [round(float(error), 5) for error in made.errors],
        "bars": [round(float(bar), 5) for bar in made.bars],
        "circuits": made.circuits,
        "shots": made.shots,
        "seconds": round(made.seconds, 2),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="3 seeds on 4 qubits")
    arguments.add_argument("--seeds", type=int, help="instead of 20, or of 3")
    arguments.add_argument("--page", action="store_true", help="keep the figures for the page")
    given = arguments.parse_args()
    seeds = given.seeds or (3 if given.quick else 20)
    sizes = (4,) if given.quick else (4, 10)
    runs: Runs = {str(qubits): {way: [] for way in WAYS} for qubits in sizes}
    if given.page and FIGURES.exists():
        runs = json.loads(FIGURES.read_text(encoding="utf-8"))["qubits"]
    for seed in range(seeds):
        for qubits in sizes:
            ways = runs[str(qubits)]
            if all(len(found) > seed for found in ways.values()):
                continue
            problem = mirror(DEVICE, qubits, STEPS[qubits], seed)
            found: dict[str, Estimate] = {}
            for way in WAYS:
                began = time.perf_counter()
                made = found[way] = estimate(problem, way, PRECISION[qubits], on(device(DEVICE, seed)))
                print(
                    f"{qubits} qubits, seed {seed + 1} of {seeds}, {way}: <Z> off by {made.errors[0]:+.4f} "
                    f"± {made.bars[0]:.4f}; {made.circuits} circuits; {time.perf_counter() - began:.1f} s",
                    flush=True,
                )
            for way, made in found.items():
                ways[way].append(figures(made))
            if given.page:
                text = json.dumps({"device": DEVICE, "precision": PRECISION, "qubits": runs})
                FIGURES.write_text(text + "\n", encoding="utf-8")
    rows = [
        {
            "what": f"{qubits} qubits, {way}",
            "mean error": float(np.mean(np.abs([run["errors"] for run in found]))),
            "bias of <Z>": float(np.mean([run["errors"][0] for run in found])),
            "its error bar": float(np.linalg.norm([run["bars"][0] for run in found])) / len(found),
            "circuits": int(np.mean([run["circuits"] for run in found])),
            "seconds": float(np.mean([run["seconds"] for run in found])),
        }
        for qubits, ways in runs.items()
        for way, found in ways.items()
        if found
    ]
    report("mitigation", rows)


if __name__ == "__main__":
    main()
