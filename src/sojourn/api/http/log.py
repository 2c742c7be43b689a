"""Writes the server's log to standard error from a thread of its own: logging cannot stop the service.

A log may go where nobody reads any more (a pager, a terminal that was stopped), to a reader that has gone
away, or onto a disk that is full. A write there blocks or fails. Neither may reach the event loop, which
would stand still or leave its work half done: entries wait in a bounded queue, and what cannot be written is
counted.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import structlog

from sojourn.api.http.request_ids import in_events

MOST_WAITING = 4_000_000
"""Characters that may wait to be written; what comes on top is counted as lost."""
LONGEST_ENTRY = 20_000
"""Characters of one entry; the middle of a longer one is left out."""
GATHERED = 0.01
"""Seconds for which entries are gathered before they are written: waking a thread for each of them would cost
a job a tenth of its time."""
LAST_WORDS = 1.0
"""Seconds that the end of the process waits for what is still to be written."""


_UNREAD = "it is not read"


@dataclass(frozen=True, slots=True)
class LogState:
    """How the log is doing: entries lost so far, and why the last write failed, None when it did not."""

    lost: int
    reason: str | None


class LogWriter(io.TextIOBase):
    """A text stream onto the file descriptor `fd` that takes any entry at once, and never raises.

    Each call of `write` is one entry. A thread writes them in order. It is a daemon: a write that blocks for
    ever does not keep the process from ending. With `as_json` each entry is an object of JSON, and so is what
    is said of those that were lost or were too long.
    """

    def __init__(self, fd: int, *, as_json: bool = False) -> None:
        self._fd = fd
        self._as_json = as_json
        self._entries: deque[str] = deque()
        self._size = 0
        self._lost = 0  # all of them
        self._untold = 0  # not yet mentioned in the log itself
        self._reason: str | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="sojourn-log", daemon=True)
        self._thread.start()

    @property
    def state(self) -> LogState:
        with self._changed:
            return LogState(self._lost, self._reason or (_UNREAD if self._untold else None))

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        try:
            return os.isatty(self._fd)
        except OSError:
            return False

    def write(self, text: str, /) -> int:
        if len(text) > LONGEST_ENTRY:
            text = self._shortened(text)
        with self._changed:
            if self._size + len(text) > MOST_WAITING or self._ended:
                self._lost += 1
                self._untold += 1
            else:
                self._entries.append(text)
                self._size += len(text)
                self._changed.notify()
        return len(text)

    def flush(self) -> None:
        """Nothing: the thread writes as soon as it can."""

    def end(self, within: float = LAST_WORDS) -> None:
        """Write what is waiting, for at most `within` seconds. What comes later is lost."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join(within)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._entries and not self._ended:
                    self._changed.wait()
                ended = self._ended
            if not ended:
                time.sleep(GATHERED)
            with self._changed:
                if not self._entries:
                    return
                batch = list(self._entries)
                self._entries.clear()
                untold, why = self._untold, self._reason or _UNREAD
            gap = self._gap(untold, why) if untold else ""
            reason = self._put((gap + "".join(batch)).encode("utf-8", "backslashreplace"))
            with self._changed:
                self._size = sum(map(len, self._entries))
                self._reason = reason
                if reason is None:
                    self._untold -= untold
                else:
                    self._lost += len(batch)
                    self._untold += len(batch)

    def _gap(self, untold: int, why: str) -> str:
        if self._as_json:
            return _object("log.lost", entries=untold, why=why)
        return f"{untold} log entries were lost before this one: {why}\n"

    def _shortened(self, text: str) -> str:
        kept = LONGEST_ENTRY // 4 if self._as_json else LONGEST_ENTRY // 2  # what is quoted may grow
        begin, end, left_out = text[:kept], text[-kept:], len(text) - 2 * kept
        if self._as_json:
            return _object("log.entry_cut", begin=begin, end=end, left_out=left_out)
        return f"{begin}\n[… {left_out} characters left out …]\n{end}"

    def _put(self, data: bytes) -> str | None:
        """Write it all; what went wrong when it could not be."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except OSError as error:
                return error.strerror or str(error)
        return None


class _LocalTime:
    """structlog processor: the time as a log shows it. Its text is made once a second."""

    def __init__(self) -> None:
        self._second, self._text = 0, ""

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        event["timestamp"] = self._text
        return event


def _object(event: str, **more: Any) -> str:
    return json.dumps({"event": event, "level": "warning", **more}) + "\n"


_writer: LogWriter | None = None


def log_state() -> LogState:
    """Of this process's log; nothing is lost where `log_to_stderr` was not called."""
    return LogState(0, None) if _writer is None else _writer.state


def log_to_stderr(form: str = "text") -> LogWriter:
    """Send all that is logged to standard error, as lines of "text" or of "json"; a traceback shows no values
    of variables.

    They may be large, and they are other people's. Standard output is for the line that says where the server
    listens. What libraries log by the standard library, and Python's own warnings, go the same way.
    """
    global _writer
    as_json = form == "json"
    writer = _writer = LogWriter(sys.stderr.fileno(), as_json=as_json)
    shared: list[Any] = [
        in_events,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True) if as_json else _LocalTime(),
    ]
    rendered: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [
            structlog.dev.ConsoleRenderer(
                colors=writer.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    handler = logging.StreamHandler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.StackInfoRenderer(),
            structlog.dev.set_exc_info,
            *rendered,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(writer),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    return writer
