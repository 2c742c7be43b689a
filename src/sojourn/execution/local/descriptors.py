"""How many files the workers need open, and a few that are kept for their start.

Counts and holds descriptors; does not decide how many connections there may be.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

PER_WORKER = 5
"""Its socket, its output and the descriptor of its process; and while it starts the other ends of the first
two."""

PER_INTERPRETER = 7
"""The same for the fork server, and what it takes to start a process at all."""

SPARE = 12
"""More than one start of a process takes, with a fork server to be started first."""


def files_for(workers: int, interpreters: int) -> int:
    """Files that a server has open for so many workers (preparers are workers) when all start at once."""
    return workers * PER_WORKER + interpreters * (PER_INTERPRETER + SPARE)


class Spare:
    """Descriptors that are there for nothing but to be let go when a process has to be started.

    Connections are accepted by the hundred before one of them can be refused: for a moment, again and again,
    they take every descriptor that is free, however few they may keep.
    """

    def __init__(self, number: int = SPARE) -> None:
        self._number = number
        self._held: list[int] = []

    @contextmanager
    def released(self) -> Iterator[None]:
        """Let them go for what is done inside, without a wait, and take as many again as there are."""
        self.close()
        try:
            yield
        finally:
            self.fill()

    def fill(self) -> None:
        """Take what is missing; fewer when there are none left now."""
        try:
            while len(self._held) < self._number:
                self._held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass

    def close(self) -> None:
        while self._held:
            os.close(self._held.pop())
