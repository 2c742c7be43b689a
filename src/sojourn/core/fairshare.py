"""The fair-share queue of one lane: least-used project first, oldest job inside it (R48, equal weights).

Owns who waits and what each project has used in the window; may not know about sessions. The share tree
with weights and users grows here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush


class Usage:
    """Device seconds of each account inside a sliding window of `window` seconds.

    A charge counts from its end until it is `window` old. Reading is exact at the `now` that is given;
    `now` must not go backwards.
    """

    def __init__(self, window: float) -> None:
        self.window = window
        self._charges: deque[tuple[float, str, float]] = deque()
        self._totals: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, account: str, seconds: float, at: float) -> None:
        entry = (at, account, seconds)
        if self._charges and at < self._charges[-1][0]:  # a report from another lane may be a little late
            later = []
            while self._charges and self._charges[-1][0] > at:
                later.append(self._charges.pop())
            self._charges.append(entry)
            self._charges.extend(reversed(later))
        else:
            self._charges.append(entry)
        self._totals[account] = self._totals.get(account, 0.0) + seconds
        self._counts[account] = self._counts.get(account, 0) + 1

    def expire(self, now: float) -> None:
        while self._charges and self._charges[0][0] <= now - self.window:
            _, account, seconds = self._charges.popleft()
            self._counts[account] -= 1
            if self._counts[account]:
                self._totals[account] -= seconds
            else:  # an empty window is exactly zero, whatever rounding left behind
                del self._counts[account], self._totals[account]

    def of(self, account: str) -> float:
        return self._totals.get(account, 0.0)


class FairShareQueue:
    """Waiting jobs by project. `pick` chooses, the caller removes what it starts."""

    def __init__(self, window: float) -> None:
        self.usage = Usage(window)
        self._heaps: dict[str, list[tuple[int, str]]] = {}
        self._waiting: dict[str, tuple[str, int]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._waiting

    def add(self, job_id: str, project: str, seq: int) -> None:
        self._waiting[job_id] = (project, seq)
        heappush(self._heaps.setdefault(project, []), (seq, job_id))

    def remove(self, job_id: str) -> None:
        del self._waiting[job_id]  # its heap entry is dropped when it comes up

    def pick(self, now: float) -> str | None:
        """The job that starts next, or None. Ties between projects go to the oldest waiting job."""
        self.usage.expire(now)
        best: tuple[float, int, str] | None = None
        for project in list(self._heaps):
            head = self._head(project)
            if head is not None:
                candidate = (self.usage.of(project), head[0], head[1])
                if best is None or candidate < best:
                    best = candidate
        return best[2] if best else None

    def order(self, now: float) -> Iterator[str]:
        """All waiting jobs as they would start if nothing were charged meanwhile."""
        self.usage.expire(now)
        by_project: dict[str, list[tuple[int, str]]] = {}
        for job_id, (project, seq) in self._waiting.items():
            by_project.setdefault(project, []).append((seq, job_id))
        for entries in by_project.values():
            entries.sort()
        for project in sorted(by_project, key=lambda p: (self.usage.of(p), by_project[p][0])):
            for _, job_id in by_project[project]:
                yield job_id

    def _head(self, project: str) -> tuple[int, str] | None:
        heap = self._heaps[project]
        while heap:
            seq, job_id = heap[0]
            if self._waiting.get(job_id) == (project, seq):
                return heap[0]
            heappop(heap)
        del self._heaps[project]
        return None
