"""A small lab that has been at work for a week, for pictures: three users, two devices and an ideal one.

It is the server for tests, whose time begins a week ago and is moved on to now (docs/testing-programs.md).
All that is seen has come about by the rules by which any server goes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime import RuntimeEncoder

from sojourn.client import Client
from sojourn.embedded import Embedded, Key
from sojourn.testing import ScriptedServer

MAIN, SMALL, IDEAL = "torino", "manila", "ideal"
TIMING = {"timing": "realistic", "job_overhead": 4, "calibration_seconds": 45}
DRIFT = {"frequency": 50.0, "coherence": 0.15, "coherence_time": 40_000, "readout_time": 90_000}
DEVICES: list[dict[str, Any]] = [
    {
        "name": MAIN,
        "driver": "fake",
        "options": {"backend": "FakeTorino", "seed": 3, "drift": DRIFT, **TIMING},
    },
    {
        "name": SMALL,
        "driver": "fake",
        "options": {"backend": "FakeManilaV2", "seed": 5, "drift": DRIFT, **TIMING},
    },
    {"name": IDEAL, "driver": "aer", "options": {"qubits": 20, "timing": "realistic"}},
]
FINAL = ("completed", "failed", "cancelled")
POLICY = {"interactive_ttl": 240, "batch_ttl": 20}
BUSY = {"hung_seconds": 120}
"""The machine may have other work."""
HOUR, DAY = 3600.0, 86_400.0
PATIENCE = 300.0
WEEKLY = ((5, 2, 4), (3, 6, 2), (6, 3, 3), (2, 4, 5), (4, 1, 2), (1, 2, 1))
"""Jobs of alice, bob and carol on each day before today."""
AHEAD = (
    (0, 9, 3, "spins", "dedicated"),
    (1, 13, 2, "catalysis", "priority"),
    (2, 8, 6, "sensing", "dedicated"),
    (3, 10, 2, "spins", "dedicated"),
    (3, 15, 4, "catalysis", "dedicated"),
    (4, 9, 2, "sensing", "priority"),
)
"""Reservations of the next week: day, hour, hours, project, mode."""


@dataclass(frozen=True, slots=True)
class Scene:
    """`job` has a result that is worth a look, `waiting` waits for `session`."""

    server: Embedded
    alice: Key
    bob: Key
    job: str
    waiting: str
    session: str


@contextmanager
def scene(data: Path) -> Iterator[Scene]:
    """The lab, at a moment at which a session has the device and others wait. The job that runs then runs on
    for as long as somebody looks."""
    server = ScriptedServer(data, devices=DEVICES, policy=POLICY, server=BUSY, dashboard=True, patience=600.0)
    server.ago = 7 * DAY
    with server:
        yield _Week(server).lived()


class _Week:
    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self._alice = server.user("alice", "catalysis", operator=True)
        self._bob = server.user("bob", "spins")
        self._carol = server.user("carol", "sensing")
        self._operator = Client(server.url, self._alice.api_key)

    def lived(self) -> Scene:
        self._operator.patch("/projects/catalysis", {"weight": 2.0, "allocation": 20_000})
        for number, jobs in enumerate(WEEKLY):
            self._day((len(WEEKLY) - number) * DAY, jobs)
        self._today()
        return self._now()

    # what happens

    def _day(self, ago: float, jobs: tuple[int, int, int]) -> None:
        """It begins so many seconds before now; the jobs are those of each user."""
        for k in range(max(jobs)):
            self._to(ago - k * 2 * HOUR)
            if k % 2 == 0:
                self._calibrate(MAIN)
            for key, count in zip((self._alice, self._bob, self._carol), jobs, strict=True):
                if k < count:
                    device, what = (MAIN, _ghz(20)) if k % 2 else (SMALL, _sweep(80 + 30 * k))
                    self._submit(key, device, **what)
        self._calibrate(SMALL)

    def _today(self) -> None:
        self._to(3 * HOUR)
        self._operator.post(f"/devices/{MAIN}/pause", {"message": "Helium is refilled"})
        self._to(2.7 * HOUR)
        self._operator.post(f"/devices/{MAIN}/resume")
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        monday = today + timedelta(days=7 - today.weekday())
        for day, hour, hours, project, mode in AHEAD:
            self._reserve(monday + timedelta(days=day, hours=hour), hours * HOUR, project, mode)
        self._operator.post(f"/devices/{SMALL}/maintain", {"message": "New wiring until Monday"})
        for number, minutes in enumerate(range(58, 12, -5)):
            self._to(60.0 * minutes)
            key = (self._alice, self._carol, self._bob)[number % 3]
            self._submit(key, MAIN, **(_ghz(25) if number % 2 else _sweep(60 + 10 * number)))

    def _now(self) -> Scene:
        """The last ten minutes: single jobs, a batch, a calibration, and a session that is still there."""
        self._to(525)
        self._submit(self._carol, MAIN, **_ghz(18))
        self._submit(self._alice, MAIN, **_sweep(25))
        batch = self._open(self._carol, "batch")
        for _ in range(3):
            self._submit(self._carol, session=batch, **_ghz(16))
        self._close(self._carol, batch)
        self._to(380)
        self._calibrate(MAIN, "Readout looks worn")
        shown = self._submit(self._bob, MAIN, tags=["ghz"], **_ghz(10))
        session = self._open(self._bob, "dedicated", max_ttl=800)
        self._to(305)
        self._submit(self._bob, session=session, **_sweep(18))
        later: dict[str, Any] = {"device": MAIN, "wait": False, "max_execution_time": 60}
        waiting = self._submit(self._alice, **later, **_sweep(35))
        for at in (240, 200, 150):
            self._to(at)
            self._submit(self._bob, session=session, **_sweep(18))
        self._submit(self._carol, **later, **_ghz(18))
        self._submit(self._alice, **later, **_ghz(22))
        for at in (105, 65):
            self._to(at)
            self._submit(self._bob, session=session, **_sweep(18))
        self._submit(self._carol, MAIN, wait=False, **_sweep(30))
        self._to(20)
        self._reserve(datetime.now(UTC) + timedelta(minutes=7), 900.0, "catalysis")
        self._server.order("script", acts=[{"seconds": HOUR}], answers=[], calibrate=False)
        runs = self._submit(self._bob, session=session, wait=False, **_sweep(40))
        self._until(f"/jobs/{runs}", "running")
        self._to(0)
        return Scene(self._server, self._alice, self._bob, shown, waiting, session)

    # how

    def _to(self, ago: float) -> None:
        """Let the time pass until so many seconds before now, if it has not."""
        server = datetime.fromisoformat(self._server.order("now"))
        left = (datetime.now(UTC) - timedelta(seconds=ago) - server).total_seconds()
        if left > 0:
            self._server.order("advance", seconds=left)

    def _calibrate(self, device: str, message: str = "") -> None:
        """The time may not be moved on while it runs, or it would have lasted for so long."""
        made = self._operator.post(f"/devices/{device}/calibrate", {"message": message})
        self._until(f"/jobs/{made['id']}", *FINAL)

    def _submit(self, key: Key, device: str | None = None, *, wait: bool = True, **job: Any) -> str:
        job = {"max_execution_time": 300, **job} | ({} if device is None else {"device": device})
        id = str(Client(self._server.url, key.api_key).post("/jobs", job)["id"])
        if wait:
            self._until(f"/jobs/{id}", *FINAL)
        return id

    def _reserve(self, start: datetime, lasts: float, project: str, mode: str = "dedicated") -> None:
        wanted = {"device": MAIN, "project": project, "start": start.isoformat(), "mode": mode}
        self._operator.post("/reservations", {**wanted, "duration": f"{lasts:.0f}s"})

    def _open(self, key: Key, mode: str, **more: Any) -> str:
        """As the client does."""
        reply = httpx.post(
            f"{self._server.url}/api/v1/sessions",
            json={"mode": mode, "backend": MAIN, **more},
            headers={"authorization": f"apikey {key.api_key}"},
            trust_env=False,
            timeout=PATIENCE,
        )
        reply.raise_for_status()
        return str(reply.json()["id"])

    def _close(self, key: Key, session: str) -> None:
        Client(self._server.url, key.api_key).post(f"/sessions/{session}/drain")
        self._until(f"/sessions/{session}", "closed")

    def _until(self, path: str, *states: str) -> None:
        """The server is another process: one can only look again."""
        deadline = time.monotonic() + PATIENCE
        while self._operator.get(path)["state"] not in states:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} has not become {' or '.join(states)}")
            time.sleep(0.02)


# what is run


def _ghz(seconds: float, qubits: int = 4) -> dict[str, Any]:
    circuit = QuantumCircuit(qubits, qubits)
    _h(circuit, 0)
    for qubit in range(1, qubits):
        _h(circuit, qubit)
        circuit.cz(qubit - 1, qubit)
        _h(circuit, qubit)
    circuit.measure(range(qubits), range(qubits))
    return _job("sampler", (circuit, None, round(seconds * 4000)))


def _sweep(seconds: float, points: int = 24) -> dict[str, Any]:
    """The value of an angle is turned, and read out."""
    theta = Parameter("theta")
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.rz(theta, 0)
    circuit.sx(0)
    angles = np.linspace(0, 2 * math.pi, points).reshape(points, 1)
    precision = (seconds * 4000 / points) ** -0.5
    pub = EstimatorPub.coerce((circuit, SparsePauliOp("IZ"), angles), precision)
    return _job("estimator", (pub.circuit, pub.observables, angles, precision))


def _h(circuit: QuantumCircuit, qubit: int) -> None:
    circuit.rz(math.pi / 2, qubit)
    circuit.sx(qubit)
    circuit.rz(math.pi / 2, qubit)


def _job(program: str, pub: Any) -> dict[str, Any]:
    options: Mapping[str, Any] = {"resilience_level": 0} if program == "estimator" else {}
    params = json.dumps({"pubs": [pub], "options": options, "version": 2}, cls=RuntimeEncoder)
    return {"program": program, "params": json.loads(params)}
