"""What a worker prints: drained from its pipe, kept for the run at hand, passed on to the server's log.

Owns the reading end of one pipe; may never let the pipe fill up, and may not let a talkative worker fill
the log.
"""

from __future__ import annotations

import asyncio
import codecs
import os
from collections import deque

import structlog

KEEP_PER_RUN = 64 << 10
"""Characters of output kept for one run."""

LINES_PER_SECOND = 50
"""Lines of one worker that reach the server's log; the others are counted."""

_CHUNK = 1 << 16
_READS_AT_ONCE = 8
_LONGEST_LINE = 2000

log = structlog.get_logger("sojourn.execution")


class Output:
    """The output (stdout and stderr together) of the process `name`, read from `fd` on `loop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, fd: int) -> None:
        self._loop = loop
        self._name = name
        self._fd: int | None = fd
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""
        self._kept: list[str] | None = None
        self._told: dict[str, str] = {}
        self._room = 0
        self._left_out = 0
        self._tail: deque[str] = deque(maxlen=20)
        self._second = 0.0
        self._budget = LINES_PER_SECOND
        self._dropped = 0
        os.set_blocking(fd, False)
        loop.add_reader(fd, self._drain)

    def begin(self, job: str = "") -> None:
        """From now on output belongs to a run, of this job."""
        self._drain()
        self._told = {"job": job} if job else {}
        self._kept, self._room, self._left_out = [], KEEP_PER_RUN, 0

    def collect(self) -> str:
        """What was printed since `begin`. The worker flushes before it replies, so nothing is missing."""
        self._drain()
        kept, self._kept = self._kept or [], None
        self._told = {}
        text = "".join(kept)
        if self._left_out:
            text += f"\n[{self._left_out} more characters of output left out; {KEEP_PER_RUN} are kept]\n"
        return text

    @property
    def last_words(self) -> str:
        """The last non-empty line, for the reason of a failure; an empty string when there is none."""
        self._drain()
        for line in (self._line, *reversed(self._tail)):
            if line.strip():
                return line.strip()[:500]
        return ""

    def close(self) -> None:
        """Read what is left and let go of the pipe."""
        if self._fd is None:
            return
        self._drain()
        self._stop_reading()
        if self._line:
            self._log_line(self._line)
        self._report_dropped()

    def _stop_reading(self) -> None:
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = None

    def _drain(self) -> None:
        for _ in range(_READS_AT_ONCE):  # a flood may not keep the loop from its other work
            if self._fd is None:
                return
            try:
                data = os.read(self._fd, _CHUNK)
            except BlockingIOError:
                return
            if not data:
                self._stop_reading()
                return
            self._take(self._decoder.decode(data))

    def _take(self, text: str) -> None:
        if self._kept is not None:
            piece = text[: self._room]
            self._room -= len(piece)
            self._left_out += len(text) - len(piece)
            if piece:
                self._kept.append(piece)
        *lines, self._line = (self._line + text).split("\n")
        if len(self._line) > _LONGEST_LINE:
            lines.append(self._line)
            self._line = ""
        for line in lines:
            self._log_line(line)

    def _log_line(self, line: str) -> None:
        line = line[:_LONGEST_LINE].rstrip()
        if not line:
            return
        self._tail.append(line)
        now = self._loop.time()
        if now - self._second >= 1.0:
            self._report_dropped()
            self._second, self._budget = now, LINES_PER_SECOND
        if self._budget:
            self._budget -= 1
            log.info("worker output", worker=self._name, line=line, **self._told)
        else:
            self._dropped += 1

    def _report_dropped(self) -> None:
        if self._dropped:
            log.warning("worker output left out", worker=self._name, lines=self._dropped)
            self._dropped = 0
