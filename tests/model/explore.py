"""Breadth-first search of a small world on several cores. The same states whatever the number of cores."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context

from tests.model.small_model import SmallModel, unpack

CHUNK = 200


@dataclass
class Seen:
    """`states` apart from each other, `steps` made between them; whether that was all."""

    states: int
    steps: int
    levels: int
    complete: bool


def explore(start: SmallModel, most: int = 10**9, cores: int = 1) -> Seen:
    """Every world that can be reached from `start`, until `most` have been seen."""
    seen = {start.digest()}
    level = [start.pack()]
    total = Seen(1, 0, 0, True)
    with _workers(cores) as expanded:
        while level:
            following: list[bytes] = []
            # results come in the order of the chunks, so that the first way to a state is always the same
            for steps, found in expanded(_chunks(level)):
                total.steps += steps
                for digest, packed in found:
                    if digest not in seen:
                        seen.add(digest)
                        following.append(packed)
                if len(seen) >= most:
                    total.states, total.complete = len(seen), False
                    return total
            level = following
            total.levels += 1
            if os.environ.get("SOJOURN_PROOF_VERBOSE"):
                print(total.levels, len(seen), len(level), total.steps, flush=True)
    total.states = len(seen)
    return total


class _workers:  # noqa: N801
    """As a context: a function that expands chunks, here or in other processes."""

    def __init__(self, cores: int) -> None:
        _told.clear()
        self._pool = get_context("fork").Pool(cores) if cores > 1 else None

    def __enter__(self) -> _workers:
        return self

    def __call__(self, chunks: Iterable[list[bytes]]) -> Iterator[tuple[int, list[tuple[bytes, bytes]]]]:
        return self._pool.imap(expand, chunks) if self._pool else map(expand, chunks)

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.terminate()


_told: set[bytes] = set()
"""What this process has already found: no need to say it twice."""


def expand(level: list[bytes]) -> tuple[int, list[tuple[bytes, bytes]]]:
    """The number of steps, and what they lead to, each world with its digest; not what was told before."""
    steps, found = 0, []
    for packed in level:
        world = unpack(packed)
        path = world.path
        for number, move in enumerate(world.moves()):
            if number:
                world = unpack(packed)
            try:
                world.make(move, number)
            except Exception as error:
                error.add_note(f"replay: Tiny(…).replay({path!r}), then {move}")
                raise
            steps += 1
            digest = world.digest()
            if digest not in _told:
                _told.add(digest)
                found.append((digest, world.pack()))
    return steps, found


def _chunks(level: list[bytes]) -> Iterator[list[bytes]]:
    for at in range(0, len(level), CHUNK):
        yield level[at : at + CHUNK]
