"""From start to the first answer and to ready, and the memory of the server and its workers."""

from __future__ import annotations

import argparse
import http.client
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

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


def interpreter() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - began


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
    rows: list[dict[str, Any]] = [
        {"what": "start to first answer", **summary(answers)},
        {"what": "start to every device ready", **summary(readies)},
        {"what": "the interpreter alone", **summary(bare)},
    ]
    notes = [f"memory (PSS, MB): {', '.join(f'{k} {v:.0f}' for k, v in memory.items())}"]
    notes.append(f"first answer / interpreter: {rows[0]['p50_ms'] / rows[2]['p50_ms']:.1f}")
    report("start", rows, notes, memory_mb=memory)


if __name__ == "__main__":
    main()
