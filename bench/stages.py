"""An iteration of a session by stages, and every aim of speed beside what it is now: all in one run.

The real client's session is measured in turns with the same client against recorded answers, which is its
own time, and with Aer alone. Also: models of two real devices beside Aer with their noise and beside the
client's local testing mode; 100 points in one pub and in 100 pubs; the gap between two jobs of a batch; the
time from a cold start to the first result. With `--page` the figures go into
docs/diagrams/performance.json; docs/diagrams/performance.py makes the tables of docs/performance.md of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
warnings.filterwarnings("ignore", category=DeprecationWarning)

import qiskit_aer
import qiskit_ibm_runtime

from bench import start
from bench.common import report
from bench.speed import many, sessions
from bench.speed.compared import Bench
from bench.speed.split import STAGES
from bench.speed.wire import Wire
from sojourn.config import DEFAULT_DEVICES
from sojourn.embedded import Embedded

FIGURES = ROOT / "docs" / "diagrams" / "performance.json"
MOCK = {"name": "mock", "driver": "mock", "options": {"seconds": 0.0, "qubits": 5}}
Aim = dict[str, Any]


def aim(what: str, wanted: str, found: str, met: bool) -> Aim:
    print(f"  {'met' if met else 'MISSED'}: {what}: {found} (aim {wanted})", flush=True)
    return {"what": what, "aim": wanted, "found": found, "met": met}


def at_most(what: str, most: float, found: float, unit: str) -> Aim:
    return aim(what, f"≤ {most:g}{unit}", f"{found:.3g}{unit}", found <= most)


def at_least(what: str, least: float, found: float) -> Aim:
    return aim(what, f"≥ {least:g}x", f"{found:.0f}x" if found >= 100 else f"{found:.3g}x", found >= least)


def in_sessions(bench: Bench) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]], list[Aim]]:
    """The rows, milliseconds of the stages by qubits, and the aims."""
    rows, split, aims = [], {}, []
    for qubits in (2, 10):
        found, taken = sessions.ideal(bench, qubits)
        what = f"aer, {qubits} qubits"
        rows.append(found.row(what, method="statevector"))
        split[f"{qubits}"] = {stage: 1e3 * seconds for stage, seconds in taken.items()}
        aims.append(
            at_most(f"{what}: over direct Aer and the client's own time", 10, 1e3 * found.over, " ms")
        )
        aims.append(at_most(f"{what}: of the sum of these", 1.2, found.of_sum, "x"))
    for device, fake in sessions.MODELS.items():
        for qubits in (2, 10, 20):
            found, method = sessions.modelled(bench, device, qubits)
            what = f"{fake.__name__}, {qubits} qubits"
            rows.append(found.row(what, method=method))
            aims.append(at_most(f"{what}: of direct Aer with the cut noise model", 1.2, found.of_direct, "x"))
            least = {2: 500, 10: 60}.get(qubits)
            if least is not None:
                local = sessions.locally(device, qubits, 1 if bench.quick or qubits > 2 else 3)
                rows[-1]["local mode ms"] = 1e3 * local
                ratio = local / found.median("session")
                aims.append(at_least(f"{what}: local testing mode / session", least, ratio))
    return rows, split, aims


def of_many(bench: Bench) -> tuple[list[dict[str, Any]], list[Aim]]:
    rows, aims = [], []
    for device, qubits in (("aer", 10), ("ibm_torino", 2)):
        for pubs, words in ((1, "100 points in one pub"), (many.MANY, "100 pubs")):
            found = many.points(bench, device, qubits, pubs)
            what = f"{words}, {device}, {qubits} qubits"
            rows.append(found.row(what))
            aims.append(at_most(f"{what}: of direct Aer", 1.2, found.of_direct, "x"))
    gaps = many.gaps(bench, "mock")
    middle = 1e3 * statistics.median(gaps)
    rows.append({"what": "gap between two jobs of a batch", "session ms": middle, "rounds": len(gaps)})
    aims.append(at_most("gap between two queued jobs of a batch, median", 2, middle, " ms"))
    return rows, aims


def cold(quick: bool) -> tuple[list[dict[str, Any]], list[Aim]]:
    firsts, imports = start.cold(2 if quick else 7)
    first, importing = statistics.median(firsts), statistics.median(imports)
    rows = [
        {"what": "cold start to the first result", "session ms": 1e3 * first, "rounds": len(firsts)},
        {"what": "import of the client", "session ms": 1e3 * importing, "rounds": len(imports)},
    ]
    words = "cold start to the first result, against the import of the client"
    return rows, [at_most(words, 1, first / importing, "x")]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="a few rounds of each")
    arguments.add_argument("--page", action="store_true", help="keep the figures for the page")
    arguments.add_argument(
        "--note", default="", help="a sentence on the run for the page, such as its machine"
    )
    given = arguments.parse_args()
    began = time.perf_counter()
    rows, aims = cold(given.quick)
    devices = [device.model_dump(exclude_unset=True) for device in DEFAULT_DEVICES]
    with Embedded(devices=[*devices, MOCK], patience=600) as server, Wire(server.url) as wire:
        bench = Bench(server, server.service(server.local_key), wire, given.quick)
        made, split, more = in_sessions(bench)
        rows, aims = [*made, *rows], [*more, *aims]
        made, more = of_many(bench)
        rows, aims = [*rows, *made], [*aims, *more]
    minutes = (time.perf_counter() - began) / 60
    versions = {"qiskit-aer": qiskit_aer.__version__, "qiskit-ibm-runtime": qiskit_ibm_runtime.__version__}
    table = {"stages": split, "aims": aims, "versions": versions, "minutes": round(minutes, 1)}
    for qubits, taken in split.items():
        print(f"aer, {qubits} qubits, ms: " + ", ".join(f"{k} {v:.2f}" for k, v in taken.items()))
    report("stages", rows, [f"{sum(a['met'] for a in aims)} of {len(aims)} aims are met"], **table)
    if given.page:
        kept = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
        figures = {"cores": os.cpu_count(), "quick": given.quick, "words": STAGES, "rows": rows, **table}
        figures["note"] = given.note
        figures["celery"] = kept.get("celery")  # of another benchmark
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
