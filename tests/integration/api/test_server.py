"""The server as a process: how it starts, says where it is, and ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

CONFIG = """
[server]
port = 0
[policy]
admission_hold = 60
[[devices]]
name = "bench"
driver = "mock"
options = { qubits = 5 }
"""


class Process:
    """`sojourn serve` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        config = folder / "sojourn.toml"
        config.write_text(CONFIG)
        self.data = folder / "data"
        self.log = folder / "log"
        self._command = [sys.executable, "-m", "sojourn", "serve", "--config", str(config)]
        self._command += ["--data", str(self.data)]
        self._started: list[subprocess.Popen[str]] = []

    def start(self) -> tuple[subprocess.Popen[str], str]:
        pipe = subprocess.PIPE
        with self.log.open("a") as log:
            process = subprocess.Popen(self._command, stdout=pipe, stderr=log, text=True)
        self._started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().split()[-1]

    def may_open(self, files: int) -> None:
        """From now on it may have so many files open, and can not raise that."""
        self._command = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *self._command]

    def refused(self) -> str:
        return subprocess.run(self._command, capture_output=True, text=True, timeout=120).stderr

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


def test_a_stop_answers_what_is_open_with_try_again(server: Process) -> None:
    """A submit whose preparation takes long, and one whose body is not whole: no traceback, no plain 500."""
    process, url = server.start()
    key = (server.data / "local.key").read_text().strip()
    head = f"POST /api/v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: apikey {key}\r\ncontent-length: "
    text = "OPENQASM 3.0; qubit q; bit c; for int i in [1:50] { reset q; } c = measure q;"
    texts = [f"{text} // {number}" for number in range(5000)]  # else the second one costs nothing
    params = {"pubs": [[each, None, 1] for each in texts], "version": 2}
    body = json.dumps({"program_id": "sampler", "backend": "bench", "params": params}).encode()
    with httpx.Client(base_url=url, trust_env=False) as http:
        until_ready(http)
    host, port = url.removeprefix("http://").split(":")
    with ExitStack() as lines:
        opened = [lines.enter_context(socket.create_connection((host, int(port)), 30)) for _ in range(2)]
        opened[0].sendall(f"{head}{len(body)}\r\n\r\n".encode() + body)
        opened[1].sendall(f"{head}1000\r\n\r\nhalf".encode())
        with httpx.Client(base_url=url) as http:  # whoever came before has been read
            assert http.get("/healthz").status_code == 200
        process.send_signal(signal.SIGTERM)
        for connection in opened:
            said = connection.recv(65536)
            assert said.startswith(b"HTTP/1.1 503 "), said
            assert b"retry-after: " in said
            assert b"application/json" in said
    assert process.wait(30) == 0
    assert "Traceback" not in server.log.read_text()


def test_a_lock_file_that_is_removed_lets_no_second_server_in(server: Process) -> None:
    server.start()
    (server.data / "server.lock").unlink()
    assert "another server uses the data folder" in server.refused()


def test_it_serves_without_a_standard_output(server: Process) -> None:
    config = server.data.parent / "sojourn.toml"
    line = (
        f"{sys.executable} -m sojourn serve --config {config} --data {server.data} >&- 2>/dev/null & echo $!"
    )
    pid = int(subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout)
    try:
        told = server.data / "server.json"
        while not told.exists():
            assert psutil.pid_exists(pid)
        url = json.loads(told.read_text())["url"]
        assert httpx.get(f"{url}/healthz").json() == {"alive": True}
    finally:
        os.kill(pid, signal.SIGTERM)
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], 30)


def test_below_the_files_that_it_needs_it_does_not_start_and_names_their_number(server: Process) -> None:
    """With exactly that number, connections without end and all of its processes dead at the same time, every
    process comes back: connections leave the workers what they need."""
    server.may_open(60)
    complaint = server.refused()
    assert "may open 60 files" in complaint
    assert len(complaint.splitlines()) == 1
    needed = re.search(r"needs (\d+)", complaint)
    assert needed is not None
    server = Process(server.data.parent)
    server.may_open(int(needed[1]))
    process, url = server.start()
    try:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as asker, ExitStack() as lines:
            until_ready(asker)
            address = (httpx.URL(url).host, httpx.URL(url).port or 0)
            for _ in range(int(needed[1])):
                line = lines.enter_context(socket.socket())
                line.connect(address)
            helpers = psutil.Process(process.pid).children(recursive=True)
            for helper in helpers:
                helper.kill()
            psutil.wait_procs(helpers, timeout=30)
            until_ready(asker)
            assert len(psutil.Process(process.pid).children(recursive=True)) >= len(helpers)
    finally:
        server.end()


def until_ready(asker: httpx.Client, within: float = 60.0) -> None:
    """Ask until the service is ready and every preparer is there."""
    ends = time.monotonic() + within
    while True:
        found = asker.get("/readyz").json()
        if found["ready"] and found["preparers"]["up"] == found["preparers"]["wanted"]:
            return
        assert time.monotonic() < ends, found
