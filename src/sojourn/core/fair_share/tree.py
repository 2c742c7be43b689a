"""The share tree: account, project, user, and at the leaves who waits (R48). Knows no clock and no seconds.

A node keeps its waiting children in a heap by their keys; entries that no longer stand are dropped when they
come up. So adding, removing, charging and choosing cost O(log n).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush, merge
from itertools import groupby
from math import inf
from operator import attrgetter
from typing import Literal, NamedTuple

Level = Literal["root", "account", "project", "user"]

Key = tuple[bool, float, int, str]
"""(weight is 0, used/weight, the oldest job that waits, name): the least goes first."""

GapOf = Callable[[str], float]
"""The longest job of a project that may start now, in seconds (R46)."""

FEW = 64
"""Entries that no longer stand and are not worth a sweep."""


class Waiting(NamedTuple):
    """A job in the queue. `limit` is the longest that it may run, in seconds."""

    seq: int
    job_id: str
    project: str
    user: str
    limit: float


_seq = attrgetter("seq")


class Node:
    """One account, project or user. The unit of `used` is its owner's.

    `key` is None while nobody below may start. `shortest` is a lower bound of the limits of those below that
    may start: it falls with each new job and each child that comes back, and rises only when a search has
    come to its end. `size` is how many jobs wait, of a user or a project.
    """

    __slots__ = (
        "ages",
        "blocked",
        "children",
        "heap",
        "jobs",
        "key",
        "level",
        "name",
        "parent",
        "shortest",
        "size",
        "used",
        "weight",
    )

    def __init__(
        self, level: Level = "root", name: str = "", parent: Node | None = None, weight: float = 1.0
    ) -> None:
        self.level: Level = level
        self.name = name
        self.parent = parent
        self.weight = weight
        self.used: float = 0
        self.blocked = False
        self.shortest = inf
        self.size = 0
        self.children: dict[str, Node] = {}
        self.heap: list[Key] = []  # of children
        self.ages: list[tuple[int, str]] = []  # of children: (oldest, name)
        self.jobs: deque[Waiting] = deque()  # of a user: who waits, oldest first
        self.key: Key | None = None  # as it stands in the parent's heap
        if parent is not None:
            parent.children[name] = self

    # who waits

    def add(self, job: Waiting) -> None:
        """A user's job. Nearly always it is the newest one."""
        if self.jobs and job < self.jobs[-1]:
            insort(self.jobs, job)
        else:
            self.jobs.append(job)
        self._resize(1)
        self._hear_of(job.limit)
        self.refresh_up()

    def take_over(self, other: Node) -> None:
        """The jobs of the same user in another tree, which is not used any more."""
        self.jobs = other.jobs
        self._resize(len(self.jobs))
        self._hear_of(other.shortest)
        self.refresh_up()

    def remove(self, job: Waiting) -> None:
        """Nearly always it is the oldest one."""
        if self.jobs[0] is job:
            self.jobs.popleft()
        else:
            del self.jobs[bisect_left(self.jobs, job)]
        self._resize(-1)
        self.refresh_up()

    def _resize(self, by: int) -> None:
        assert self.parent is not None
        self.size += by
        self.parent.size += by

    def older(self, seq: float) -> int:
        """How many of the user's jobs have a lower number."""
        return bisect_left(self.jobs, seq, key=_seq)

    def oldest(self) -> int:
        """The number of the oldest job below that may start; -1 when there is none."""
        if self.level == "user":
            return self.jobs[0].seq if self.jobs else -1
        ages = self.ages
        while ages:
            key = self.children[ages[0][1]].key
            if key is not None and key[2] == ages[0][0]:
                return ages[0][0]
            heappop(ages)
        return -1

    # where it stands among its siblings

    def refresh_up(self) -> None:
        """After a change of who may start: as far up as it shows."""
        node: Node | None = self
        while node is not None and node.refresh():
            node = node.parent

    def refresh(self) -> bool:
        """Put the node where it belongs in its parent's heap. Whether that has changed."""
        if self.parent is None:
            return False
        oldest = self.oldest()
        if oldest >= 0 and not self.blocked:
            return self.place(oldest)
        if oldest < 0:
            self.shortest = inf
        was, self.key = self.key, None
        return was is not None

    def place(self, oldest: int) -> bool:
        """The same for a node of which `oldest` is known and may start."""
        used, weight, parent, before = self.used, self.weight, self.parent, self.key
        assert parent is not None
        key = self.key = (weight <= 0, used / weight if weight > 0 else used, oldest, self.name)
        if key == before:
            return False
        heappush(parent.heap, key)
        if before is None:
            parent._hear_of(self.shortest)
        if before is None or before[2] != oldest:
            heappush(parent.ages, (oldest, self.name))
        if len(parent.heap) > 4 * len(parent.children) + FEW:
            parent._sweep()
        return True

    def _hear_of(self, limit: float) -> None:
        """Some job below that is no shorter than `limit` may start from now on."""
        node: Node | None = self
        while node is not None and limit < node.shortest:
            node.shortest = limit
            node = node.parent

    def _sweep(self) -> None:
        """Drop what no longer stands from both heaps, before they outgrow the children."""
        self.heap = [child.key for child in self.children.values() if child.key is not None]
        self.ages = [(oldest, name) for _, _, oldest, name in self.heap]
        heapify(self.heap)
        heapify(self.ages)

    # who is next

    def first(self) -> Waiting | None:
        """The job below that goes first."""
        node = self
        while node.level != "user":
            child = node._first_child()
            if child is None:
                return None
            node = child
        return node.jobs[0]  # only children with a job have a key

    def _first_child(self) -> Node | None:
        heap = self.heap
        while heap:
            child = self.children[heap[0][3]]
            if child.key == heap[0]:
                return child
            heappop(heap)
        return None

    def walk(self, gap: GapOf, most: float = inf) -> Iterator[tuple[int, Waiting]]:
        """All jobs below that fit, in the order in which `first` would give them while nothing is charged.

        With each job comes the number of the oldest that waits below at its turn: it decides the ties, and
        never falls from one turn to the next. So children with an equal share are merged by it. `most` is the
        largest room that there is: what is known to be longer is not looked at.
        """
        if self.level == "user":
            for job in self.jobs:
                if job.limit <= most:
                    yield job.seq, job
        else:
            yield from self._walk_children(gap, most)
        self.shortest = self._shortest()  # the search has seen all of them

    def _shortest(self) -> float:
        if self.level == "user":
            return min(job.limit for job in self.jobs)
        may_start = (child for child in self.children.values() if child.key is not None)
        return min((child.shortest for child in may_start), default=inf)

    def _walk_children(self, gap: GapOf, most: float) -> Iterator[tuple[int, Waiting]]:
        looked_at: list[tuple[Key, Node, float]] = []
        passed: list[Key] = []
        for child in self.children.values():
            if child.key is not None:
                its_most = gap(child.name) if child.level == "project" else most
                if child.shortest <= its_most:
                    looked_at.append((child.key, child, its_most))
                else:
                    passed.append(child.key)
        looked_at.sort()
        equals = [list(group) for _, group in groupby(looked_at, key=lambda entry: entry[0][:2])]
        later = [inf]  # the oldest of all that come after these, from behind
        for group in reversed(equals):
            later.append(min(later[-1], group[0][0][2]))
        for group in equals:
            later.pop()
            walks = [child.walk(gap, its_most) for _, child, its_most in group]
            share, oldest = group[0][0][:2], None
            for at, job in walks[0] if len(walks) == 1 else merge(*walks):
                if oldest is None:
                    oldest = min([later[-1], *(key[2] for key in passed if key[:2] > share)])
                yield int(min(at, oldest)), job
