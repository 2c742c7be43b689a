"""The client of 2023 finds the server, its user's account and the devices."""

from __future__ import annotations

from pathlib import Path

from sojourn.embedded import Embedded, Key
from tests.clients.environments import run


def test_a_program_of_2023_finds_account_and_devices(server: Embedded, key: Key, tmp_path: Path) -> None:
    """It makes its target of the properties, and fails where one of what it expects is missing."""
    said = run("0.12.2", "of_2023.py", server.env(key), tmp_path)
    assert said["account"] == f"ibm_cloud {key.instance}"
    assert said["backends"] == "ibm_manila ibm_torino"
    assert said["least_busy"] == "ibm_torino"
    assert said["operational"] == "True 0"
    assert said["qubits"] == "133 133"
    assert {"cz", "rz", "sx", "x"} <= set(said["basis"].split())
    assert said["calibrated"] == "True"
    assert {"cz", "measure"} <= set(said["transpiled"].split())
    assert said["jobs"] == "0"
