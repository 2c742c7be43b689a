"""From start to the first answer, to ready and to the first result, beside the import of the client; and the
memory of the server and its workers."""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.harness.programs import job_body

from bench.common import memory_mb, report, summary, tree
from sojourn.embedded import Embedded


def first_answer(server: Embedded) -> float:
    """Seconds from the start of the process to the first answered request."""
    began = time.perf_counter()
    server.start()
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    return time.perf_counter() - began


def until_ready(server: Embedded, began: float) -> float:
    address = server.url.removeprefix("http://")
    while True:
        connection = http.client.HTTPConnection(address)
        connection.request("GET", "/readyz")
        if connection.getresponse().status == 200:
            return time.perf_counter() - began
        time.sleep(0.01)


def interpreter(program: str = "pass") -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - began


def first_result() -> float:
    """Seconds from the start of a server with a new data folder to the result of a job on `aer`, fetched."""
    began = time.perf_counter()
    server = Embedded(wait="alive", patience=600).start()
    try:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        headers = {"Authorization": f"Bearer {server.local_key}"}

        def ask(method: str, path: str, body: bytes | None = None) -> bytes:
            connection.request(method, f"/api/v1{path}", body, headers)
            reply = connection.getresponse()
            found = reply.read()
            assert reply.status == 200, found
            return found

        job = json.loads(ask("POST", "/jobs", job_body("aer")))["id"]
        while (state := json.loads(ask("GET", f"/jobs/{job}"))["state"]["status"]) != "Completed":
            assert state in ("Queued", "Running"), state
        ask("GET", f"/jobs/{job}/results")
        return time.perf_counter() - began
    finally:
        server.stop()


def cold(runs: int) -> tuple[list[float], list[float]]:
    """Seconds from a cold start to the first result, and of the import of the client, in turns."""
    results, imports = [], []
    for _ in range(runs):
        results.append(first_result())
        imports.append(interpreter("import qiskit_ibm_runtime"))
    return results, imports


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    runs = 2 if arguments.parse_args().quick else 10
    answers, readies, bare, memory = [], [], [], {}
    for _ in range(runs):
        bare.append(interpreter())
        server = Embedded(wait="alive")
        began = time.perf_counter()
        try:
            answers.append(first_answer(server))
            readies.append(until_ready(server, began))
            memory = {f"{name_of(pid)} ({pid})": memory_mb(pid) for pid in tree(server.pid)}
        finally:
            server.stop()
    results, imports = cold(runs)
    rows: list[dict[str, Any]] = [
        {"what": "start to first answer", **summary(answers)},
        {"what": "start to every device ready", **summary(readies)},
        {"what": "the interpreter alone", **summary(bare)},
        {"what": "start to first result", **summary(results)},
        {"what": "the import of the client", **summary(imports)},
    ]
    notes = [f"memory (PSS, MB): {', '.join(f'{k} {v:.0f}' for k, v in memory.items())}"]
    notes.append(f"first answer / interpreter: {rows[0]['p50_ms'] / rows[2]['p50_ms']:.1f}")
    notes.append(f"first result / import of the client: {rows[3]['p50_ms'] / rows[4]['p50_ms']:.2f} (aim 1)")
    report("start", rows, notes, memory_mb=memory)


if __name__ == "__main__":
    main()
