"""Nothing may be in the tour that does not happen: the page's blocks are run, and its outputs compared."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tour.md"
PORT = "port = 8420"

PYTHON = r"""
import code, contextlib, io, json, sys

class Prompt(code.InteractiveConsole):
    # what is typed or pasted goes in line by line, as a newcomer's does
    failed = ""
    def write(self, data):
        self.failed += data

prompt = Prompt()
for line in sys.stdin:
    out = io.StringIO()
    prompt.failed = ""
    with contextlib.redirect_stdout(out):
        for typed in [*json.loads(line).splitlines(), ""]:
            prompt.push(typed)
            if prompt.failed:
                break
    print(json.dumps([out.getvalue(), prompt.failed]), flush=True)
"""


@dataclass(frozen=True)
class Block:
    line: int
    kind: str  # sh, python or text
    text: str


def blocks() -> list[Block]:
    page = PAGE.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    return [Block(page[: m.start()].count("\n") + 1, m[1], m[2]) for m in found]


class Terminal:
    """One shell for the whole tour, and the Python that is started from it."""

    def __init__(self, folder: Path) -> None:
        clean = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("SOJOURN_", "QISKIT_", "IAM_", "GLOBAL_"))
        }
        path = f"{Path(sys.executable).parent}:{clean['PATH']}"
        self._folder = folder
        self._shell = subprocess.Popen(
            # -m: jobs have numbers, as in a terminal
            ["bash", "--norc", "-m"],
            cwd=folder,
            env={**clean, "PATH": path, "HOME": str(folder), "COLUMNS": "100"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "stderr.txt").open("w"),
            text=True,
        )
        self._python: subprocess.Popen[str] | None = None

    def sh(self, text: str) -> str:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        mark = uuid.uuid4().hex
        self._shell.stdin.write(f"set -e\n{text}\nset +e\necho {mark}\n")
        self._shell.stdin.flush()
        said: list[str] = []
        for line in self._shell.stdout:
            if line.strip() == mark:
                return "".join(said)
            said.append(line)
        raise AssertionError(f"the shell ended: {(self._folder / 'stderr.txt').read_text()[-3000:]}")

    def python(self, text: str) -> str:
        if self._python is None:
            environment = dict(
                e.split("=", 1) for e in self.sh("env -0 | tr '\\0' '\\n'").splitlines() if "=" in e
            )
            self._python = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", PYTHON],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        self._python.stdin.write(json.dumps(text) + "\n")
        self._python.stdin.flush()
        said, failed = json.loads(self._python.stdout.readline())
        assert not failed, failed
        return str(said)

    def end(self) -> None:
        if self._python is not None:
            self._python.kill()
            self._python.wait()
        if self._shell.poll() is None:
            assert self._shell.stdin is not None
            self._shell.stdin.write("kill $(jobs -p) 2> /dev/null; wait; exit\n")
            self._shell.stdin.close()
            self._shell.wait(30)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    try:
        yield made
    finally:
        made.end()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alike(shown: str, said: str) -> bool:
    """Whether it was said as shown; columns may have other widths, and `…` is anything."""
    shown, said = (re.sub(r" +(?=\n|$)", "", re.sub(r" +", " ", text)).strip() for text in (shown, said))
    pattern = ".*".join(map(re.escape, shown.split("…")))
    return re.fullmatch(pattern, said, flags=re.DOTALL) is not None


@pytest.mark.timeout(400)
def test_the_tour_happens_as_it_is_written(terminal: Terminal) -> None:
    assert PORT in PAGE.read_text(encoding="utf-8")
    port = f"port = {free_port()}"
    steps = blocks()
    wrong: list[str] = []
    for index, block in enumerate(steps):
        if block.kind == "text":
            continue
        text = block.text.replace(PORT, port)
        try:
            said = terminal.sh(text) if block.kind == "sh" else terminal.python(text)
        except AssertionError as error:
            raise AssertionError(f"docs/tour.md, line {block.line}: {error}") from None
        following = steps[index + 1] if index + 1 < len(steps) else None
        if following is not None and following.kind == "text" and not alike(following.text, said):
            wrong.append(f"line {following.line}: the page shows\n{following.text}\nand it was\n{said}")
    assert not wrong, "docs/tour.md, " + "\n".join(wrong)
