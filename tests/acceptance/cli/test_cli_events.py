"""`sojourn watch` against a running server: it follows, it filters, it outlives a restart, and it ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.embedded import Embedded
from tests.acceptance.cli.test_cli_server import sojourn
from tests.acceptance.cli.test_cli_watch import watching

MOCK = {"name": "bench", "driver": "mock", "options": {"seconds": 0.0, "qubits": 5}}


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded(devices=[MOCK]) as running:
        yield running


def test_with_json_each_event_is_a_line_and_ctrl_c_is_the_end(server: Embedded) -> None:
    command = watching(server, "watch", "--kind", "device", "--after", "0", "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        sojourn(server, "devices", "pause", "bench", "--message", "new fridge")
        paused = json.loads(running.stdout.readline())
        sojourn(server, "devices", "resume", "bench")
        resumed = json.loads(running.stdout.readline())
        running.send_signal(signal.SIGINT)
        rest, said = running.communicate()
    assert (running.returncode, rest, said) == (0, "", "")
    assert (paused["subject"], paused["before"], paused["after"]) == ("bench", "online", "paused")
    assert paused["reason"] == "new fridge"
    assert (resumed["before"], resumed["after"]) == ("paused", "online")
    assert resumed["id"] > paused["id"]


def test_in_a_pipe_an_event_is_a_line_for_people_and_the_past_ends_by_itself(server: Embedded) -> None:
    sojourn(server, "devices", "drain", "bench", "--message", "moving \x1b[31mout")
    done = sojourn(server, "watch", "--device", "bench", "--kind", "device", "--after", "0", "--past")
    sojourn(server, "devices", "resume", "bench")
    assert (done.returncode, done.stderr) == (0, "")
    line = done.stdout.splitlines()[-1]
    assert line.split("  ")[1:3] == ["bench", "device"]
    assert "online → draining" in line
    assert "\x1b" not in line


def test_a_reader_that_has_enough_ends_it(server: Embedded) -> None:
    command = watching(server, "watch", "--after", "0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline()
        running.stdout.close()
        sojourn(server, "devices", "pause", "bench")
        sojourn(server, "devices", "resume", "bench")
        assert running.wait() == 0
        assert running.stderr is not None
        assert running.stderr.read() == ""


def test_on_a_terminal_states_have_their_colours(server: Embedded) -> None:
    sojourn(server, "devices", "pause", "bench")
    sojourn(server, "devices", "resume", "bench")
    ours, theirs = pty.openpty()
    try:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SOJOURN_")}
        running = subprocess.Popen(
            watching(server, "watch", "--after", "0", "--kind", "device", "--past"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "TERM": "xterm-256color", "COLUMNS": "120"},
        )
        assert running.wait() == 0
        shown = os.read(ours, 65536).decode()
    finally:
        os.close(theirs)
        os.close(ours)
    assert "\x1b[33monline → paused" in shown


def test_what_cannot_be_followed_is_an_error_with_a_sentence(server: Embedded) -> None:
    unknown = sojourn(server, "watch", "--device", "fez")
    assert unknown.returncode == 1
    assert "fez" in unknown.stderr
    wrong = sojourn(server, "watch", "--kind", "jobs")
    assert wrong.returncode == 2
    early = sojourn(server, "watch", "--after", "123456789")
    assert early.returncode == 1
    assert "no event 123456789 yet" in early.stderr


@pytest.mark.timeout(180)
def test_it_outlives_a_restart_of_the_server_and_misses_nothing(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = [sys.executable, "-m", "sojourn", "serve", "--port", str(port), "--data", str(tmp_path)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SOJOURN_")}
    environment["SOJOURN_DEVICES"] = json.dumps([MOCK])

    def life() -> subprocess.Popen[str]:
        started = subprocess.Popen(
            serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        assert started.stdout is not None
        assert started.stdout.readline().startswith("Sojourn is listening")
        return started

    def operate(verb: str) -> None:
        command = [sys.executable, "-m", "sojourn", "devices", verb, "bench", "--data", str(tmp_path)]
        subprocess.run(command, check=True, capture_output=True, env=environment)

    first = life()
    follow = [sys.executable, "-m", "sojourn", "watch", "--kind", "device", "--after", "0", "--json"]
    with subprocess.Popen(
        [*follow, "--data", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        operate("pause")
        told = [json.loads(running.stdout.readline())]
        first.kill()
        first.communicate()
        assert "trying again" in running.stderr.readline()
        second = life()
        operate("resume")
        operate("drain")
        told += [json.loads(running.stdout.readline()) for _ in range(2)]
        running.send_signal(signal.SIGINT)
        running.communicate()
        second.terminate()
        second.communicate()
    assert [(event["before"], event["after"]) for event in told] == [
        ("online", "paused"),
        ("paused", "online"),
        ("online", "draining"),
    ]
