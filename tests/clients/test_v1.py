"""V1 primitives and `backend.run()`, with the clients that have them: 0.12.2, 0.25 and 0.30."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sojourn.embedded import Embedded, Key

environments = pytest.importorskip("tests.clients.environments", reason="nothing runs other clients here")

DEVICES: list[dict[str, Any]] = [
    {"name": "ibm_manila", "driver": "fake", "options": {"backend": "FakeManilaV2", "seed": 5}},
    {"name": "ideal", "driver": "aer", "options": {"qubits": 5, "seed": 5}},
    {"name": "slow", "driver": "mock", "options": {"qubits": 5, "seconds": 3.0}},
]


@pytest.fixture(scope="module")
def old_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with Embedded(tmp_path_factory.mktemp("server"), devices=DEVICES) as running:
        yield running


def seen(server: Embedded, user: str, client: str, program: str, home: Path) -> dict[str, Any]:
    """What a program says that it saw."""
    key: Key = server.user(user, user)
    found: dict[str, Any] = json.loads(environments.run(client, program, server.env(key), home)["seen"])
    return found


def test_v1_primitives_of_2023_run_in_a_session_at_their_default_level(
    old_server: Embedded, tmp_path: Path
) -> None:
    found = seen(old_server, "v1", "0.12.2", "v1_primitives.py", tmp_path)
    assert found["backends"] == ["ibm_manila", "ideal", "slow"]
    ghz = found["ghz"]
    assert ghz["0"] + ghz["7"] > 0.9
    assert sum(ghz.values()) == pytest.approx(1)
    assert found["turned"]["1"] == pytest.approx(1, abs=0.05)
    assert found["sampler_metadata"]["readout_mitigation_overhead"] >= 1
    assert found["values"] == pytest.approx(found["exact"], abs=0.3)
    assert found["estimator_metadata"]["readout_mitigation_num_twirled_circuits"] == 16
    assert found["session_is_first_job"] is True
    assert found["second_in_session"] is True
    assert found["status"] == "DONE"
    assert set(found["ids"]) <= set(found["jobs"])
    assert "closed" in found["closed"].lower() or "no more jobs" in found["closed"]
    assert found["level_2"] == pytest.approx(found["exact"][1], abs=0.5)
    zne = found["level_2_metadata"]["zne"]
    assert zne["noise_amplification"]["noise_factors"] == [1, 3, 5]
    assert zne["extrapolation"]["extrapolator"] == "LinearExtrapolator"


def test_closing_a_session_of_2023_fails_what_waits_in_it(old_server: Embedded, tmp_path: Path) -> None:
    """R33: the root may have run meanwhile; the others name the session."""
    found = seen(old_server, "closes", "0.12.2", "v1_close.py", tmp_path)
    assert found["session"] == found["first"]
    for ending in found["endings"][1:]:
        assert ending.startswith("ERROR")
        assert found["session"] in ending


def test_the_primitives_of_v1_and_of_v2_run_beside_each_other(old_server: Embedded, tmp_path: Path) -> None:
    found = seen(old_server, "between", "0.25", "between.py", tmp_path)
    assert found["backends"] == ["ibm_manila", "ideal", "slow"]
    for shares in (found["v1"], found["v1_in_session"]):
        assert sum(shares.values()) == pytest.approx(1)
        assert shares["0"] + shares["7"] > 0.9
    assert found["v1_metadata"]["readout_mitigation_overhead"] >= 1
    assert found["v1_value"] == pytest.approx(1, abs=0.15)
    assert found["v1_status"] == found["v2_status"] == "DONE"
    assert found["v1_listed"] == sorted(found["v1_jobs"][1:])
    for share in ("v2", "v2_in_session", "in_batch", "again"):
        assert found[share] > 0.65
    assert found["v2_value"] > 0.5
    assert found["v2_charged"] > 0
    assert (found["v2_before"], found["v2_after"]) == ("QUEUED", "CANCELLED")
    assert found["inputs"] == "QuantumCircuit"
    for jobs in (found["v1_jobs"], found["v2_jobs"]):
        assert {old_server.get(f"/jobs/{job}")["state"] for job in jobs} == {"completed"}
    for session, mode in (("v1_session", "dedicated"), ("v2_session", "dedicated"), ("batch", "batch")):
        told = old_server.get(f"/sessions/{found[session]}")
        assert (told["mode"], told["state"]) == (mode, "closed")


def test_backend_run_of_2024_gives_counts_and_shots(old_server: Embedded, tmp_path: Path) -> None:
    found = seen(old_server, "runs", "0.30", "backend_run.py", tmp_path)
    assert sum(found["counts"].values()) == found["memory"] == 500
    assert found["counts"]["00"] + found["counts"]["11"] > 400
    programs = [old_server.get(f"/jobs/{job}")["program"] for job in found["jobs"]]
    assert programs == ["circuit-runner", "qasm3-runner"]
    assert found["tags"] == ["old"]
    assert found["flow"] == {"11": 100}
