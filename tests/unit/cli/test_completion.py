"""A shell that completes a name waits for little, whatever the server does, and reads nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import typer

from sojourn.cli import completion


def complete(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """As bash asks when the cursor is behind the last of the words."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SOJOURN_")}
    asked = {
        "_SOJOURN_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("sojourn", *words)),
        "COMP_CWORD": str(len(words)),
    }
    return subprocess.run(
        [sys.executable, "-m", "sojourn"],
        capture_output=True,
        text=True,
        env={**clean, **asked, **variables},
        check=False,
    )


def test_nouns_verbs_and_flags_are_completed() -> None:
    assert complete("dev").stdout.split() == ["devices"]
    assert complete("devices", "pa").stdout.split() == ["pause"]
    assert complete("devices", "--wa").stdout.split() == ["--watch"]
    assert complete("devices", "pause", "--un").stdout.split() == ["--until"]
    assert complete("usage", "--by", "pro").stdout.split() == ["project"]


def test_an_old_spelling_is_completed_in_silence() -> None:
    done = complete("users", "key", "ro")
    assert (done.stdout.split(), done.stderr) == (["rotate"], "")


def test_without_a_server_nothing_is_completed_and_nothing_said(tmp_path: Path) -> None:
    (tmp_path / "operator.key").write_text("op\n", encoding="utf-8")
    broken = tmp_path / "broken.toml"
    broken.write_text("[", encoding="utf-8")
    for flags in (
        ("--url", "http://127.0.0.1:1", "--token", "k"),
        ("--data", str(tmp_path / "none")),
        ("--config", str(broken)),
        ("--url", "nonsense", "--token", "k"),
    ):
        done = complete("devices", "pause", *flags, "")
        assert (done.stdout.strip(), done.stderr) == ("", "")


def test_a_server_that_does_not_answer_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = SimpleNamespace(params={"url": f"http://127.0.0.1:{silent.getsockname()[1]}", "token": "k"})
        # It accepts connections and never answers: without a time-out this would not return.
        assert completion.devices(cast("typer.Context", said)) == []
    assert completion.TIME_LIMIT < 1


def test_a_look_up_that_has_no_time_out_of_its_own_is_left_behind() -> None:
    answer = threading.Event()
    try:
        assert completion.within_limit(lambda: ["late"] if answer.wait() else []) == []
    finally:
        answer.set()
    assert completion.within_limit(lambda: ["a", "b"]) == ["a", "b"]
