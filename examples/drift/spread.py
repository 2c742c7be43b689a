"""Measures what a session is good for on a device that drifts: a calibration that is used at once.

A user finds by how much the frequencies of four qubits are off, first coarsely and then finely (Ramsey
experiments), corrects them in the circuit, and looks what is left: nothing, if they are still the same. Each
of the three rounds is four jobs, with some thinking in between. This is done with the rounds in a session, in
a batch, and as single jobs, while others submit jobs of two minutes; what is left is printed in Hz, and how
much it scatters.

    python examples/drift/spread.py --runs 12

It starts a server for tests of its own, whose time is virtual: the hours that the jobs take on the simulated
device (`timing = "realistic"`) pass at once.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qiskit import QuantumCircuit
from qiskit_ibm_runtime import Batch, IBMBackend, SamplerV2, Session

from sojourn.client import Client
from sojourn.testing import ScriptedServer, Sojourn

MODES = ("session", "batch", "single jobs")
QUBITS = (0, 1, 3, 4)  # of the five those whose T2 allows it
SHOTS = 4096
COARSE, FINE = 18_000, 180_000  # waiting times in dt: 4 us and 40 us
THINKING = 5.0  # seconds of the user between two rounds
OTHERS = 120.0  # seconds of a job of the others
DRIFT = {"frequency": 2000.0, "frequency_time": 3600.0}

ENDED = ("completed", "failed", "cancelled")

Run = dict[str, Any]


def server(seed: int) -> ScriptedServer:
    """One device that drifts, the same way for the same seed, under the policy of today's hosted service."""
    options = {
        "backend": "FakeManilaV2",
        "timing": "realistic",
        "seed": seed,
        "drift": {**DRIFT, "start": time.time()},
    }
    return ScriptedServer(
        devices=[{"name": "chip", "driver": "fake", "options": options}], policy={"profile": "ibm2026"}
    )


class Others:
    """The other users of the device, as far as this one notices them."""

    def __init__(self, sojourn: Sojourn) -> None:
        self._sojourn = sojourn
        self._client = Client(sojourn.url, sojourn.user().api_key)
        program = (
            f'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[1] c; delay[{OTHERS:g}s] q[1]; '
            "c[0] = measure q[0];"
        )
        self._job = {
            "program": "sampler",
            "device": "chip",
            "params": {"pubs": [[program, None, 1]], "options": {}, "version": 2},
        }
        self._last: str | None = None

    def submit(self) -> None:
        """A job that has the device for two minutes, as soon as it gets it."""
        self._last = self._client.post("/jobs", self._job)["id"]

    def ended(self) -> None:
        """Wait until all of them have."""
        while self._last and self._sojourn.get(f"/jobs/{self._last}")["state"] not in ENDED:
            time.sleep(0.01)


def ramsey(wait: int, hertz: Sequence[float], quarter: int, step: float) -> QuantumCircuit:
    """Of each qubit a superposition, a time in which it gains a phase, and its measurement along the axis
    number `quarter`, in a frame that is `hertz` above the device's."""
    circuit = QuantumCircuit(max(QUBITS) + 1, len(QUBITS))
    for place, (qubit, above) in enumerate(zip(QUBITS, hertz, strict=True)):
        circuit.sx(qubit)
        circuit.delay(wait, qubit, unit="dt")
        circuit.rz(quarter * math.pi / 2 + 2 * math.pi * above * wait * step, qubit)
        circuit.sx(qubit)
        circuit.measure(qubit, place)
    return circuit


def detuning(ones: Sequence[Sequence[float]], wait: int, step: float) -> list[float]:
    """Hz by which the frequency of each qubit is above that of its frame, from the shares of ones along the
    four axes."""
    return [math.atan2(b - d, a - c) / (2 * math.pi * wait * step) for a, b, c, d in zip(*ones, strict=True)]


@contextmanager
def opened(mode: str, backend: IBMBackend) -> Iterator[Any]:
    """What the samplers of a run are made with."""
    if mode == "single jobs":
        yield backend
        return
    with (Session if mode == "session" else Batch)(backend=backend) as found:
        yield found


class Samples:
    """Runs circuits, each in a job of its own and with a seed of its own."""

    def __init__(self, mode: str, where: Any, others: Others, seed: int) -> None:
        self._mode = mode
        self._sampler = SamplerV2(mode=where)
        self._others = others
        self._seeds = itertools.count(seed)

    def ones(self, circuits: Sequence[QuantumCircuit]) -> list[list[float]]:
        """The share of ones of each qubit in each. The others are there before each time that something is
        submitted: a round as a whole, or, as single jobs, one after the other."""
        if self._mode == "single jobs":
            return [_ones(self._submitted([circuit])[0]) for circuit in circuits]
        return [_ones(job) for job in self._submitted(circuits)]

    def _submitted(self, circuits: Sequence[QuantumCircuit]) -> list[Any]:
        self._others.submit()
        jobs = []
        for circuit in circuits:
            self._sampler.options.simulator.seed_simulator = next(self._seeds)
            jobs.append(self._sampler.run([(circuit,)], shots=SHOTS))
        return jobs


def _ones(job: Any) -> list[float]:
    counts = job.result()[0].data.c.get_counts()
    return [
        sum(times for bits, times in counts.items() if bits[-1 - place] == "1") / SHOTS
        for place in range(len(QUBITS))
    ]


def measured(mode: str, sojourn: Sojourn, backend: IBMBackend, others: Others, seed: int) -> Run:
    """One run: what was `found` in all, and what was `left` of it in the third round, in Hz for each qubit,
    and the `seconds` that it took by the server's time."""
    step = backend.dt
    begun = sojourn.now
    found = left = [0.0] * len(QUBITS)
    with opened(mode, backend) as where:
        samples = Samples(mode, where, others, seed)
        for wait in (COARSE, FINE, FINE):
            circuits = [ramsey(wait, found, quarter, step) for quarter in range(4)]
            left = detuning(samples.ones(circuits), wait, step)
            found = [one + more for one, more in zip(found, left, strict=True)]
            sojourn.advance(THINKING)
    return {"found": found, "left": left, "seconds": (sojourn.now - begun).total_seconds()}


def measure(
    runs: int, seed: int = 1, tell: Callable[[str, int, Run], None] | None = None
) -> dict[str, list[Run]]:
    """`runs` of each mode, in turns; `tell` is called after each."""
    made: dict[str, list[Run]] = {mode: [] for mode in MODES}
    with server(seed) as running:
        sojourn = Sojourn(running)
        others = Others(sojourn)
        backend = sojourn.service().backend("chip")
        for number in range(runs):
            for mode in MODES:
                shots = 1_000_000 * seed + 1000 * number + 100 * MODES.index(mode)
                made[mode].append(measured(mode, sojourn, backend, others, shots))
                others.ended()
                if tell is not None:
                    tell(mode, number, made[mode][-1])
    return made


def spread(runs: Sequence[Run]) -> float:
    """The root of the mean square of what was left, in Hz: its true value is 0."""
    left = [value for run in runs for value in run["left"]]
    return math.sqrt(sum(value**2 for value in left) / len(left))


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{value:+.0f}" for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description="What is left of a calibration when it is used, in Hz.")
    parser.add_argument("--runs", type=int, default=12, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a file for the figures, as JSON")
    arguments = parser.parse_args()
    begun = time.monotonic()
    made = measure(
        arguments.runs,
        arguments.seed,
        lambda mode, number, run: print(f"run {number + 1}, {mode}: left {_shown(run['left'])} Hz"),
    )
    for mode, runs in made.items():
        seconds = sum(run["seconds"] for run in runs) / len(runs)
        print(f"{mode}: {spread(runs):.0f} Hz, {seconds:.0f} s a run")
    print(f"took {time.monotonic() - begun:.0f} s")
    if arguments.out:
        figures = {
            "seed": arguments.seed,
            "shots": SHOTS,
            "thinking": THINKING,
            "others": OTHERS,
            "drift": DRIFT,
            "modes": made,
        }
        arguments.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
