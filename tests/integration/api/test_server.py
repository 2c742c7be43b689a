"""The server as a process: how it starts, says where it is, and ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

CONFIG = '[server]\nport = 0\n[[devices]]\nname = "bench"\ndriver = "mock"\noptions = { qubits = 5 }\n'


class Process:
    """`sojourn serve` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        config = folder / "sojourn.toml"
        config.write_text(CONFIG)
        self.data = folder / "data"
        self._command = [sys.executable, "-m", "sojourn", "serve", "--config", str(config)]
        self._command += ["--data", str(self.data)]
        self._started: list[subprocess.Popen[str]] = []

    def start(self) -> tuple[subprocess.Popen[str], str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(self._command, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        self._started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().split()[-1]

    def refused(self) -> str:
        return subprocess.run(self._command, capture_output=True, text=True, timeout=30).stderr

    def end(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(server: Process, number: signal.Signals) -> None:
    process, url = server.start()
    assert json.loads((server.data / "server.json").read_text()) == {"url": url, "pid": process.pid}
    with httpx.Client() as idle:
        assert idle.get(f"{url}/healthz").status_code == 200
        start = time.monotonic()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert time.monotonic() - start < 5
    assert process.stdout is not None
    assert process.stdout.read() == ""
    assert not (server.data / "server.json").exists()


def test_it_does_not_load_qiskit(server: Process) -> None:
    process, _ = server.start()
    maps = Path(f"/proc/{process.pid}/maps")
    if not maps.exists():
        pytest.skip("needs /proc")
    libraries = maps.read_text()
    for name in ("qiskit", "numpy", "scipy"):
        assert f"/{name}/" not in libraries


def test_r55_after_a_kill_it_starts_again_with_the_same_users(server: Process) -> None:
    process, url = server.start()
    key = (server.data / "operator.key").read_text().strip()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, url = server.start()
    me = httpx.get(f"{url}/sojourn/v1/me", headers={"authorization": f"Bearer {key}"})
    assert me.json()["operator"] is True


def test_a_second_server_on_the_same_data_is_refused(server: Process) -> None:
    server.start()
    assert "another server uses the data folder" in server.refused()


def test_what_is_written_into_a_folder_that_others_can_enter_is_for_its_owner_alone(server: Process) -> None:
    server.data.mkdir(mode=0o755)
    server.start()
    modes = {path.name: path.stat().st_mode & 0o077 for path in server.data.iterdir()}
    assert {"sojourn.db", "local.key", "server.json"} <= set(modes)
    assert set(modes.values()) == {0}
    assert server.data.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("broken", ["database", "folder"])
def test_data_that_cannot_be_used_stops_the_start_with_one_sentence(server: Process, broken: str) -> None:
    if broken == "database":
        server.data.mkdir(mode=0o700)
        (server.data / "sojourn.db").touch(mode=0o600)
        (server.data / "sojourn.db").write_bytes(bytes(range(256)) * 40)
    else:
        server.data.write_text("a file")
    complaint = server.refused()
    assert str(server.data) in complaint
    assert "Traceback" not in complaint
    assert len(complaint.splitlines()) == 1
