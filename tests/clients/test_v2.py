"""The clients with V2 primitives: one program, unchanged, with each of them.

0.49 and later find the server by environment variables only, in two ways; 0.30 has no tokens.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.embedded import Embedded, Key
from sojourn.environment import Way
from tests.clients.environments import NEWEST, run

MODERN = [NEWEST, "0.50", "0.49"]


def checked(said: dict[str, str], server: Embedded, usage: str = "True") -> None:
    """What the program of V2 primitives says of a server that serves it."""
    assert said["backends"] == "ibm_manila ibm_torino"
    assert said["least_busy"] == "ibm_torino"
    assert said["operational"] == said["calibrated"] == "True"
    assert said["qubits"] == "133 133"
    for agreeing in ("sampled", "in_session", "in_batch"):
        assert float(said[agreeing]) > 0.75
    for estimated in ("estimated", "estimated_in_session"):
        assert float(said[estimated]) > 0.5
    job, status, session = said["job"].split()
    assert (status, session) == ("DONE", "None")
    assert server.get(f"/jobs/{job}")["state"] == "completed"
    charged, used = said["charged"].split()
    assert float(charged) == float(used) > 0
    assert int(said["logged"]) >= 0
    assert said["tags"] == "bell first"
    assert said["found"] == job
    assert said["inputs"] == "QuantumCircuit"
    assert (said["before"], said["after"]) == ("QUEUED", "CANCELLED")
    assert said["session_is"] == "In progress, accepting new jobs"
    assert said["session_was"] in ("Closed", "In progress, not accepting new jobs")
    for kind, mode, jobs in (("session", "dedicated", 2), ("batch", "batch", 3)):
        identity, told = said[kind].split()
        assert told == mode == server.get(f"/sessions/{identity}")["mode"]
        states = [each["state"] for each in server.get("/jobs", session=identity, limit=20)["jobs"]]
        assert states == ["completed"] * jobs
        assert server.get(f"/sessions/{identity}")["state"] == "closed"
    assert said["usage"] == usage


@pytest.mark.parametrize("way", ["D", "A"])
@pytest.mark.parametrize("client", MODERN)
def test_a_program_of_today_runs_unchanged(
    server: Embedded, key: Key, tmp_path: Path, client: str, way: Way
) -> None:
    checked(run(client, "v2.py", server.env(key, way=way), tmp_path), server)


def test_a_program_of_2024_runs_unchanged(server: Embedded, key: Key, tmp_path: Path) -> None:
    """It stops without an answer at /instance, and reads devices as names only."""
    checked(run("0.30", "v2.py", server.env(key), tmp_path), server, "not asked")


@pytest.mark.parametrize("client", MODERN)
def test_the_classes_that_prepare_in_the_client_run_unchanged(
    server: Embedded, key: Key, tmp_path: Path, client: str
) -> None:
    said = run(client, "executors.py", server.env(key), tmp_path)
    assert [float(share) for share in said["executed"].split()] == pytest.approx([0, 1], abs=0.15)
    assert float(said["sampled"]) > 0.8
    assert float(said["estimated"]) > 0.7
    ran = [said["executor"], said["sampler"], said["estimator"]]
    assert [server.get(f"/jobs/{job}")["program"] for job in ran] == ["executor"] * len(ran)
