"""Keeps, in a file that outlives the process, which submits were answered (R54).

The store has which jobs were committed before a server was killed, this file which of them were
acknowledged. An id is appended just before the reply is sent and is not synchronised with the disk: what a
process has written is there after its end however it ends, and after a crash of the whole machine the file is
not believed. Then every submit counts as answered, and a repetition makes a second job: that is better than
taking a submit that was meant for a repetition.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import structlog

log = structlog.get_logger("sojourn.answered")

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SHORTEST = 60.0


def boot_id() -> str:
    """Names the present run of the operating system; "" where it cannot be found out."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class AnsweredSubmits:
    """Two files in the data folder: one is written, the older one is kept until all in it is past `keep` s.

    The first line of each names the run of the operating system and `keep`; then comes an id a line.
    """

    def __init__(self, folder: Path, keep: float, boot: str | None = None) -> None:
        self._path = folder / "answered"
        self._older = folder / "answered.old"
        self._keep = max(keep, _SHORTEST)
        boot = boot_id() if boot is None else boot
        self._head = f"{boot} {self._keep:g}\n" if boot else ""
        self._file: BinaryIO | None = None
        self._since = 0.0

    def read(self) -> frozenset[str] | None:
        """The ids that earlier processes noted in the last `keep` seconds; None if that is not known."""
        found: set[str] = set()
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
            found.update(text[len(self._head) :].split("\n"))
        found.discard("")
        return frozenset(found)

    def start(self, known: Iterable[str]) -> None:
        """Begin the file of this process, with the ids that count as answered from before."""
        partial = self._path.with_suffix(".new")
        try:
            partial.write_text(self._head + "".join(f"{job_id}\n" for job_id in known), encoding="ascii")
            partial.replace(self._path)
            self._older.unlink(missing_ok=True)
            self._open()
        except OSError as error:  # a full disk: the service starts all the same
            log.warning("answered.broken", error=str(error))
            self._forget()

    def note(self, job_id: str) -> None:
        """One append, without waiting for the disk. After a failure the files say that nothing is known."""
        if self._file is None:
            return
        try:
            if time.monotonic() - self._since > self._keep:
                self._rotate()
            self._file.write(f"{job_id}\n".encode("ascii"))
        except OSError as error:
            log.warning("answered.broken", error=str(error))
            self._forget()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        self._file = self._path.open("ab", buffering=0)
        self._since = time.monotonic()

    def _rotate(self) -> None:
        """Everything in the older file was noted more than `keep` seconds ago."""
        self.close()
        self._path.replace(self._older)
        self._path.write_text(self._head, encoding="ascii")
        self._open()

    def _forget(self) -> None:
        """Also on a full disk a file can be removed."""
        self.close()
        for path in (self._path, self._older):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.error("answered.kept", file=str(path), error=str(error))
