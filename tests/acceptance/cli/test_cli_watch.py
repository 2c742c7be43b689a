"""Lists that refresh, and names that a shell completes, against a running server."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sojourn.embedded import Embedded
from tests.acceptance.cli.test_cli_server import sojourn, waiting_in_a_session
from tests.unit.cli.test_completion import complete

MOCK = {"name": "bench", "driver": "mock", "options": {"seconds": 0.0, "qubits": 5}}


@pytest.fixture(scope="module")
def server() -> Iterator[Embedded]:
    with Embedded(devices=[MOCK]) as running:
        yield running


def watching(server: Embedded, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "sojourn", *arguments, "--data", str(server.data)]


@pytest.mark.parametrize("noun", ["devices", "jobs", "sessions", "reservations", "usage"])
def test_a_watched_list_is_a_json_document_a_line_until_ctrl_c(server: Embedded, noun: str) -> None:
    command = watching(server, noun, "--watch", "0.2", "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        first, second = (json.loads(running.stdout.readline()) for _ in range(2))
        running.send_signal(signal.SIGINT)
        rest, said = running.communicate()
    assert set(first) == set(second)
    once = json.loads(sojourn(server, noun, "--json").stdout)
    assert set(first) == set(once)
    assert (running.returncode, said) == (0, "")
    assert all(json.loads(line) for line in rest.splitlines())


def test_in_a_pipe_a_watched_list_is_a_block_after_the_other_and_shows_what_changes(server: Embedded) -> None:
    command = watching(server, "devices", "--watch", "0.2")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None

        def block() -> list[str]:
            assert running.stdout is not None
            return list(iter(lambda: running.stdout.readline().rstrip("\n"), ""))  # type: ignore[union-attr]

        assert [line.split()[0] for line in block()] == ["device", "bench"]
        sojourn(server, "devices", "pause", "bench")
        while "paused" not in " ".join(block()):
            pass
        sojourn(server, "devices", "resume", "bench")
        running.send_signal(signal.SIGINT)
        _, said = running.communicate()
    assert (running.returncode, said) == (0, "")


def test_a_reader_that_has_enough_ends_a_watched_list(server: Embedded) -> None:
    for flags in ([], ["--json"]):
        command = watching(server, "devices", "--watch", "0.2", *flags)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            assert running.stdout.readline()
            running.stdout.close()
            assert running.wait() == 0
            assert running.stderr is not None
            assert running.stderr.read() == ""


def test_on_a_terminal_a_watched_list_is_refreshed_in_place(server: Embedded) -> None:
    ours, theirs = pty.openpty()
    try:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SOJOURN_")}
        running = subprocess.Popen(
            watching(server, "devices", "--watch", "0.2"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "TERM": "xterm", "COLUMNS": "100"},
        )
        shown = b""
        while shown.count(b"bench") < 3:
            shown += os.read(ours, 4096)
        running.send_signal(signal.SIGINT)
        assert running.wait() == 0
    finally:
        os.close(theirs)
        os.close(ours)
    assert b"Ctrl-C" in shown
    assert b"\x1b[2K" in shown, "the lines of before are cleared"
    assert b"Traceback" not in shown


def completed(*words: str) -> list[str]:
    """The words that the server names, asked again where it was late, as who sits there would do."""
    for _ in range(20):
        done = complete(*words)
        assert done.stderr == ""
        if found := done.stdout.split():
            return found
    return []


def test_names_are_completed_by_the_server(server: Embedded) -> None:
    session, job = waiting_in_a_session(server)
    here = ("--data", str(server.data))
    server.user("ada", "chem")
    assert completed("devices", "pause", *here, "be") == ["bench"]
    assert completed("pause", *here, "") == ["bench"]
    assert job in completed("jobs", "why", *here, "")
    assert completed("sessions", "close", *here, session[:8]) == [session]
    assert completed("users", "revoke", *here, "ad") == ["ada"]
    assert completed("keys", "revoke", *here, "ada", "") == ["key-1"]
    assert completed("projects", "show", *here, "ch") == ["chem"]
    assert completed("jobs", *here, "--device", "") == ["bench"]
    assert complete("jobs", "why", "").stdout.strip() == "", "another server's folder"
    sojourn(server, "sessions", "close", session)
    assert complete("jobs", "why", *here, "").stdout.strip() == "", "it does not wait any more"
    assert job in completed("jobs", "show", *here, "")
    sojourn(server, "devices", "resume", "bench")


def test_a_user_is_not_given_the_names_of_others(server: Embedded) -> None:
    key = server.user("eve", "elsewhere").api_key
    me = ("--url", server.url, "--token", key)
    done = complete("users", "revoke", *me, "")
    assert (done.stdout.strip(), done.stderr) == ("", "")
    assert completed("devices", "show", *me, "") == ["bench"]


def test_the_history_of_a_job_is_what_show_ends_with(server: Embedded) -> None:
    session, job = waiting_in_a_session(server)
    sojourn(server, "sessions", "close", session)
    history = sojourn(server, "jobs", "history", job)
    assert history.returncode == 0, history.stderr
    assert "queued → failed" in history.stdout
    assert sojourn(server, "jobs", "show", job).stdout.endswith(history.stdout)
    steps = json.loads(sojourn(server, "jobs", "history", job, "--json").stdout)["history"]
    assert len(steps) == len(history.stdout.splitlines())
    ids = [step["id"] for step in steps]
    assert ids == sorted(set(ids))
    sojourn(server, "devices", "resume", "bench")
