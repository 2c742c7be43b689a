"""Keeps, in a file that outlives the process, which submits were answered (R54).

The store has which jobs were committed before a server was killed, this file which of them were
acknowledged. An id is appended just before the reply is sent and is not synchronised with the disk: what a
process has written is there after its end however it ends, and after a crash of the whole machine the file is
not believed. Then every submit counts as answered, and a repetition makes a second job: that is better than
taking a submit that was meant for a repetition.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import structlog

log = structlog.get_logger("sojourn.answered")

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SHORTEST = 60.0
_AGAIN = 5.0
"""Seconds from a failed write to the next attempt."""


class Answered(NamedTuple):
    """What earlier processes noted: `ids` are the jobs accepted at `since` or later whose submits were
    answered. Of older ones nothing is known."""

    ids: frozenset[str]
    since: float


def boot_id() -> str:
    """Names the present run of the operating system; "" where it cannot be found out."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class AnsweredSubmits:
    """Two files in the data folder: one is written, the older one is kept until all in it is past `keep` s.

    The first line of each names the run of the operating system, `keep`, and the time of the service from
    which on the files are complete; then comes an id a line. `now` is that time.
    """

    def __init__(self, folder: Path, keep: float, now: Callable[[], float], boot: str | None = None) -> None:
        self._path = folder / "answered"
        self._older = folder / "answered.old"
        self._keep = max(keep, _SHORTEST)
        boot = boot_id() if boot is None else boot
        self._head = f"{boot} {self._keep:g} " if boot else ""
        self._now = now
        self._complete_since = 0.0
        self._file: BinaryIO | None = None
        self._begun = 0.0
        self._failed = 0.0

    def read(self) -> Answered | None:
        """What earlier processes noted in the last `keep` seconds; None if that is not known."""
        found: set[str] = set()
        since = 0.0
        for path in (self._path, self._older):
            try:
                text = path.read_text(encoding="ascii")
            except FileNotFoundError:
                if path is self._path:
                    return None
                continue
            except (OSError, UnicodeDecodeError):
                return None
            if not self._head or not text.startswith(self._head):
                return None
            first, *ids = text[len(self._head) :].split("\n")
            try:
                since = max(since, float(first))
            except ValueError:
                return None
            found.update(ids)
        found.discard("")
        return Answered(frozenset(found), since)

    def start(self, known: Iterable[str]) -> None:
        """Begin the file of this process, with the ids that count as answered from before."""
        self._begin(known, complete_since=0.0)

    def note(self, job_id: str) -> None:
        """One append, without waiting for the disk. After a failure the files say that nothing is known, and
        once they can be written again, that nothing older is."""
        if self._file is None:
            if time.monotonic() - self._failed > _AGAIN:
                # this job was accepted before: it is not among those of which the new file is complete
                self._begin((), complete_since=self._now())
            return
        try:
            if time.monotonic() - self._begun > self._keep:
                self._rotate()
            self._file.write(f"{job_id}\n".encode("ascii"))
        except OSError as error:
            self._broken(error)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self, known: Iterable[str], complete_since: float) -> None:
        self._complete_since = complete_since
        partial = self._path.with_suffix(".new")
        try:
            partial.write_text(
                self._first_line() + "".join(f"{job_id}\n" for job_id in known), encoding="ascii"
            )
            partial.replace(self._path)
            self._older.unlink(missing_ok=True)
            self._open()
        except OSError as error:  # a full disk: the service starts, and goes on, all the same
            self._broken(error)

    def _first_line(self) -> str:
        return f"{self._head}{self._complete_since!r}\n"

    def _open(self) -> None:
        self._file = self._path.open("ab", buffering=0)
        self._begun = time.monotonic()

    def _rotate(self) -> None:
        """Everything in the older file was noted more than `keep` seconds ago."""
        self.close()
        self._path.replace(self._older)
        self._path.write_text(self._first_line(), encoding="ascii")
        self._open()

    def _broken(self, error: OSError) -> None:
        """Also on a full disk a file can be removed."""
        log.warning("answered.broken", error=str(error))
        self.close()
        self._failed = time.monotonic()
        for path in (self._path, self._older):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.error("answered.kept", file=str(path), error=str(error))
