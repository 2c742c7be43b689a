"""The log is written without ever blocking or failing its caller, and what is lost is counted and told."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sojourn.api.http.log import LONGEST_ENTRY, MOST_WAITING, LogWriter

PIPE_SIZE = 65_536


def await_that(condition: Callable[[], bool]) -> None:
    """Until it holds: another thread brings it about."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        os.sched_yield()


def test_entries_arrive_in_their_order() -> None:
    read, write = os.pipe()
    log = LogWriter(write)
    for number in range(1000):
        log.write(f"{number}\n")
    log.end()
    assert os.read(read, PIPE_SIZE).decode().split() == [str(number) for number in range(1000)]
    assert log.state.lost == 0
    assert log.state.reason is None


def test_a_reader_that_has_gone_costs_entries_and_raises_nothing() -> None:
    read, write = os.pipe()
    log = LogWriter(write)
    os.close(read)
    log.write("nobody will read this\n")
    await_that(lambda: log.state.lost == 1)
    assert log.state.reason == "Broken pipe"
    log.write("nor this\n")
    await_that(lambda: log.state.lost == 2)


def test_a_full_disk_costs_entries_and_raises_nothing() -> None:
    log = LogWriter(os.open("/dev/full", os.O_WRONLY))
    log.write("no room\n")
    await_that(lambda: log.state.lost == 1)
    assert log.state.reason == "No space left on device"


def test_a_log_that_is_not_read_takes_entries_up_to_its_bound_and_then_counts(tmp_path: Path) -> None:
    """Kind: whatever makes a write block for ever. The caller goes on, memory is bounded, an end ends."""
    read, write = os.pipe()
    log = LogWriter(write)
    entry = "x" * 999 + "\n"
    for _ in range(2 * (MOST_WAITING + PIPE_SIZE) // len(entry)):
        log.write(entry)
    lost = log.state.lost
    assert lost * len(entry) >= MOST_WAITING / 2
    assert log.state.reason == "it is not read"
    started = time.monotonic()
    log.end(0.05)
    assert time.monotonic() - started < 5
    os.close(read)


def test_when_it_can_be_written_again_the_log_says_what_is_missing() -> None:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    log = LogWriter(write)
    entry, entries = "y" * 999 + "\n", 2 * MOST_WAITING // 1000
    for _ in range(entries):
        log.write(entry)
    lost = log.state.lost
    assert lost > 0
    text = ""
    while len(text) < (entries - lost) * len(entry):
        text += os.read(read, 1 << 20).decode()

    def taken() -> bool:
        before = log.state.lost
        log.write("on again\n")
        return log.state.lost == before

    await_that(taken)
    lost = log.state.lost
    while not text.endswith("on again\n"):
        text += os.read(read, 1 << 20).decode()
    told = re.findall(r"(\d+) log entries were lost before this one: it is not read", text)
    assert sum(map(int, told)) == lost
    await_that(lambda: log.state.reason is None)
    assert log.state.lost == lost, "the sum stays"


@pytest.mark.parametrize("size", [LONGEST_ENTRY + 1, 50_000_000])
def test_an_entry_without_measure_is_cut_in_the_middle(size: int) -> None:
    read, write = os.pipe()
    log = LogWriter(write)
    log.write("<" + "z" * (size - 2) + ">")
    log.end()
    text = os.read(read, PIPE_SIZE).decode()
    assert len(text) < LONGEST_ENTRY + 100
    assert text[0] == "<"
    assert text[-1] == ">"
    assert f"{size - LONGEST_ENTRY} characters left out" in text


LOGS = """
import logging, sys, warnings
import structlog
from sojourn.api.http.log import log_to_stderr
log = log_to_stderr(sys.argv[1])
structlog.get_logger("a").info("job.ended", job="d1", why=None, text="two\\nlines \\u202e \\x1b[31m")
structlog.get_logger("a").debug("not shown")
logging.getLogger("uvicorn.error").warning("of %s", "uvicorn")
logging.getLogger("uvicorn.error").info("not shown")
warnings.warn("of Python")
secret = "do not tell"
try:
    1 / 0
except ZeroDivisionError as error:
    structlog.get_logger("a").error("broken", exc_info=error)
    logging.getLogger("sojourn.api").error("failed", exc_info=error)
log.end()
"""


def logged(form: str) -> str:
    """What a process writes that logs in every way."""
    done = subprocess.run([sys.executable, "-c", LOGS, form], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "do not tell" not in done.stderr
    assert "not shown" not in done.stderr
    return done.stderr


def test_in_json_each_line_is_an_object_whoever_logs() -> None:
    lines: list[dict[str, Any]] = [json.loads(line) for line in logged("json").splitlines()]
    ended, uvicorn, python, broken, failed = lines
    assert (ended["event"], ended["job"], ended["level"], ended["why"]) == ("job.ended", "d1", "info", None)
    assert ended["text"] == "two\nlines \u202e \x1b[31m"
    assert (uvicorn["event"], uvicorn["logger"], uvicorn["level"]) == (
        "of uvicorn",
        "uvicorn.error",
        "warning",
    )
    assert "of Python" in python["event"]
    for line in (broken, failed):
        assert line["level"] == "error"
        assert line["exception"].endswith("ZeroDivisionError: division by zero")
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["timestamp"])


def test_in_text_the_lines_of_both_logging_systems_have_one_form() -> None:
    text = logged("text")
    heads = re.findall(r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[(\w+) *\] ", text)
    assert heads == ["info", "warning", "warning", "error", "error"]
    assert "of uvicorn" in text
    assert text.count("ZeroDivisionError: division by zero") == 2


def test_in_json_what_was_lost_and_what_is_too_long_is_told_in_json() -> None:
    read, write = os.pipe()
    log = LogWriter(write, as_json=True)
    log.write(json.dumps({"event": "x", "text": "\\" * 1_000_000}) + "\n")
    entry = json.dumps({"event": "y" * 900}) + "\n"
    for _ in range(2 * MOST_WAITING // len(entry)):
        log.write(entry)
    lost = log.state.lost
    assert lost > 0
    text = ""

    def taken() -> bool:
        before = log.state.lost
        log.write('{"event": "on again"}\n')
        return log.state.lost == before

    while not taken():
        text += os.read(read, 1 << 20).decode()
    lost = log.state.lost
    while not text.endswith('{"event": "on again"}\n'):
        text += os.read(read, 1 << 20).decode()
    lines = [json.loads(line) for line in text.splitlines()]
    (cut,) = (line for line in lines if line["event"] == "log.entry_cut")
    assert max(map(len, text.splitlines())) < 2 * LONGEST_ENTRY
    assert cut["left_out"] > 900_000
    assert sum(line["entries"] for line in lines if line["event"] == "log.lost") == lost
