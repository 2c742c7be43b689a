"""The fair-share queue of one lane: a tree account - project - user, least used/weight first (R48).

Owns who waits and what everybody has used; may not know about sessions. Adding, removing, charging and
picking cost O(log n): every node keeps its waiting children in a heap whose stale entries are dropped when
they come up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from math import log2
from typing import Literal, NamedTuple

from sojourn.core.shares import EVEN, Shares

Level = Literal["root", "account", "project", "user"]

NANO = 1_000_000_000

RESCALE_AT = 2.0**200
"""Decayed usage is kept in units that grow with time; they are scaled back long before they overflow."""


class Waiting(NamedTuple):
    """A job in the queue. `limit` is the longest that it may run, in seconds."""

    seq: int
    job_id: str
    project: str
    user: str
    limit: float


class Node:
    """One account, project or user. `used` is in the queue's own unit, see `FairShareQueue.used`.

    With a hard window the unit is whole nanoseconds, so that sums are exact whatever comes and goes.
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
        "used",
        "weight",
    )

    def __init__(self, level: Level, name: str, parent: Node | None, weight: float) -> None:
        self.level: Level = level
        self.name = name
        self.parent = parent
        self.weight = weight
        self.used: float = 0
        self.blocked = False
        self.children: dict[str, Node] = {}
        self.heap: list[
            tuple[bool, float, int, str]
        ] = []  # of children: (weight is 0, used/weight, oldest, name)
        self.ages: list[tuple[int, str]] = []  # of children: (oldest, name)
        self.jobs: list[tuple[int, str]] = []  # of a user: who waits, oldest first
        self.key: tuple[bool, float, int, str] | None = None  # as it stands in the parent's heap


class FairShareQueue:
    """Waiting jobs and the usage that orders them.

    `window` is how long a charge counts, in seconds from its end. With a `half_life` a charge fades instead
    of ending. `now` must not go backwards.
    """

    def __init__(self, window: float, half_life: float | None = None, shares: Shares = EVEN) -> None:
        self.window = window
        self.half_life = half_life
        self.shares = shares
        self.waiting: dict[str, Waiting] = {}
        self._root = Node("root", "", None, 1.0)
        self._projects: dict[str, Node] = {}
        self._users: dict[tuple[str, str], Node] = {}
        self._charges: deque[tuple[float, Node, int]] = deque()
        self._limited: dict[str, Node] = {}  # projects with an allocation
        self._spent: set[str] = set()  # those of them that have used it up
        self._epoch = 0.0
        self._now = 0.0

    def __len__(self) -> int:
        return len(self.waiting)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self.waiting

    # who waits

    def add(self, job: Waiting) -> None:
        self.waiting[job.job_id] = job
        leaf = self._user(job.project, job.user)
        heappush(leaf.jobs, (job.seq, job.job_id))
        self._refresh_up(leaf)

    def remove(self, job_id: str) -> None:
        job = self.waiting.pop(job_id)
        self._refresh_up(self._users[job.project, job.user])

    # what was used

    def charge(self, project: str, user: str, seconds: float, at: float) -> None:
        """Device seconds that ended at `at`, perhaps on another device of the pool."""
        self._now = max(self._now, at)
        leaf = self._user(project, user)
        if self.half_life is not None:
            self._spend(leaf, seconds * self._unit(at))
        else:
            amount = round(seconds * NANO)
            self._remember((at, leaf, amount))
            self._spend(leaf, amount)

    def _remember(self, charge: tuple[float, Node, int]) -> None:
        later = []
        while self._charges and self._charges[-1][0] > charge[0]:  # another lane's report is a little late
            later.append(self._charges.pop())
        self._charges.append(charge)
        self._charges.extend(reversed(later))

    def expire(self, now: float) -> None:
        """Forget the charges that have left the window."""
        self._now = max(self._now, now)
        while self._charges and self._charges[0][0] + self.window <= now:
            _, leaf, amount = self._charges.popleft()
            self._spend(leaf, -amount)
        if self.half_life is not None:
            for project in self._limited.values():  # usage fades without an event
                self._spend(project, 0)

    def used(self, project: str, user: str | None = None) -> float:
        """Device seconds of a project, or of a user in it, that count now."""
        node = self._projects.get(project) if user is None else self._users.get((project, user))
        return self._seconds(node) if node is not None else 0.0

    def _spend(self, leaf: Node, amount: float) -> None:
        node: Node | None = leaf
        turned = False  # whether a project has come or gone with its allocation
        while node is not None:
            node.used += amount
            if node.level == "project" and node.name in self._limited:
                before = node.blocked
                self._check_allocation(node)
                turned = node.blocked != before
            if turned:
                self._refresh(node)
            elif node.key is not None:
                self._place(node, node.key[2])
            node = node.parent

    def _seconds(self, node: Node) -> float:
        return node.used / (self._unit(self._now) if self.half_life is not None else NANO)

    def _unit(self, at: float) -> float:
        """R48's half-life: everybody's usage fades alike, so a charge made later simply counts for more."""
        assert self.half_life is not None
        if self._epoch == 0.0:
            self._epoch = at
        unit: float = 2.0 ** ((at - self._epoch) / self.half_life)
        if unit > RESCALE_AT:
            for node in self._nodes():
                node.used /= unit
                self._refresh(node)
            self._epoch = at
            unit = 1.0
        return unit

    # choosing

    def pick(self, now: float) -> str | None:
        """The job that starts next, or None."""
        self.expire(now)
        return self._descend(self._root)

    def first(self, fits: Callable[[Waiting], bool], now: float, project: str | None = None) -> str | None:
        """The next job that fits, perhaps of one project only; those before it are passed over (R46, R47)."""
        self.expire(now)
        node = self._root if project is None else self._projects.get(project)
        head = self._descend(node) if node is not None and not node.blocked else None
        if head is None or fits(self.waiting[head]):
            return head
        return next((job.job_id for job in self._candidates(project, now) if fits(job)), None)

    def _candidates(self, project: str | None, now: float) -> Iterator[Waiting]:
        for job_id in self.order(now):
            job = self.waiting[job_id]
            if project is None or job.project == project:
                yield job

    def order(self, now: float) -> Iterator[str]:
        """All who may start, in the order of `pick` as things stand: nothing is charged meanwhile."""
        self.expire(now)
        copy = FairShareQueue(self.window, self.half_life, self.shares)
        copy._epoch, copy._now = self._epoch, self._now
        for (project, user), leaf in self._users.items():
            twin: Node | None = copy._user(project, user)
            original: Node | None = leaf
            while twin is not None and original is not None:
                twin.used, twin.blocked = original.used, original.blocked
                twin, original = twin.parent, original.parent
        copy._spent = set(self._spent)
        for job in sorted(self.waiting.values()):
            copy.add(job)
        while (job_id := copy._descend(copy._root)) is not None:
            yield job_id
            copy.remove(job_id)

    def blocked(self, project: str) -> bool:
        """R50: the project's allocation is used up; its jobs wait until usage leaves the window."""
        node = self._projects.get(project)
        return node is not None and node.blocked

    def release_at(self) -> float | None:
        """When a project that waits with its allocation used up may go on; may be early, is never late.

        None when nobody waits so, or when only new shares can help.
        """
        waiting = [p for p in map(self._projects.__getitem__, self._spent) if self._oldest(p) >= 0]
        if not waiting:
            return None
        if self.half_life is None:
            return self._charges[0][0] + self.window if self._charges else None
        times = []
        for project in waiting:
            if allocation := self.shares.project(project.name).allocation:
                fades = self.half_life * log2(self._seconds(project) / allocation)
                times.append(self._now + fades + 1.0)  # a second, as it must have faded below the limit
        return min(times, default=None)

    def _descend(self, node: Node) -> str | None:
        while node.level != "user":
            if (child := self._top(node)) is None:
                return None
            node = child
        return node.jobs[0][1]  # `_top` gives only children with a job, whose oldest is on top

    def _top(self, node: Node) -> Node | None:
        heap = node.heap
        while heap:
            child = node.children[heap[0][3]]
            if child.key == heap[0]:
                return child
            heappop(heap)
        return None

    def _oldest(self, node: Node) -> int:
        """The number of the oldest job below that may start; -1 when there is none."""
        if not node.children:
            jobs = node.jobs
            while jobs and jobs[0][1] not in self.waiting:
                heappop(jobs)
            return jobs[0][0] if jobs else -1
        ages = node.ages
        while ages:
            key = node.children[ages[0][1]].key
            if key is not None and key[2] == ages[0][0]:
                return ages[0][0]
            heappop(ages)
        return -1

    def _refresh_up(self, leaf: Node) -> None:
        """After a change of who waits: as far up as it shows."""
        node: Node | None = leaf
        while node is not None and self._refresh(node):
            node = node.parent

    def _refresh(self, node: Node) -> bool:
        """Put the node where it belongs in its parent's heap. Whether that has changed."""
        if node.parent is None:
            return False
        oldest = self._oldest(node)
        if oldest >= 0 and not node.blocked:
            return self._place(node, oldest)
        was, node.key = node.key, None
        return was is not None

    def _place(self, node: Node, oldest: int) -> bool:
        used, weight, parent, before = node.used, node.weight, node.parent, node.key
        assert parent is not None
        key = node.key = (weight <= 0, used / weight if weight > 0 else used, oldest, node.name)
        if key == before:
            return False
        heappush(parent.heap, key)
        if before is None or before[2] != oldest:
            heappush(parent.ages, (oldest, node.name))
        if len(parent.heap) > 64 and len(parent.heap) > 4 * len(parent.children):
            self._sweep(parent)
        return True

    def _sweep(self, node: Node) -> None:
        """Drop the stale entries of both heaps, before they outgrow the children."""
        keys = [child.key for child in node.children.values() if child.key is not None]
        node.heap, node.ages = keys, [(oldest, name) for _, _, oldest, name in keys]
        heapify(node.heap)
        heapify(node.ages)

    # the tree

    def set_shares(self, shares: Shares) -> None:
        """New weights, accounts and allocations, at once; usage and queue stay."""
        charges, waiting = list(self._charges), list(self.waiting.values())
        used = {path: leaf.used for path, leaf in self._users.items()}
        paths = {id(leaf): path for path, leaf in self._users.items()}
        self.shares = shares
        self.waiting = {}
        self._root = Node("root", "", None, 1.0)
        self._projects, self._users, self._limited, self._spent = {}, {}, {}, set()
        for (project, user), amount in used.items():
            self._spend(self._user(project, user), amount)
        self._charges = deque((at, self._user(*paths[id(leaf)]), s) for at, leaf, s in charges)
        for job in sorted(waiting):
            self.add(job)

    def _user(self, project: str, user: str) -> Node:
        found = self._users.get((project, user))
        if found is None:
            above = self._project(project)
            weight = self.shares.user_weight(project, user)
            found = self._users[project, user] = above.children[user] = Node("user", user, above, weight)
        return found

    def _project(self, project: str) -> Node:
        found = self._projects.get(project)
        if found is None:
            share = self.shares.project(project)
            account = self._root.children.get(share.account)
            if account is None:
                weight = self.shares.account_weight(share.account)
                account = Node("account", share.account, self._root, weight)
                self._root.children[share.account] = account
            found = self._projects[project] = Node("project", project, account, share.weight)
            account.children[project] = found
            if share.allocation is not None:
                self._limited[project] = found
                self._check_allocation(found)
        return found

    def _check_allocation(self, node: Node) -> None:
        allocation = self.shares.project(node.name).allocation
        node.blocked = allocation is not None and self._seconds(node) >= allocation
        (self._spent.add if node.blocked else self._spent.discard)(node.name)

    def _nodes(self) -> list[Node]:
        """Leaves first."""
        accounts = self._root.children.values()
        return [*self._users.values(), *self._projects.values(), *accounts, self._root]
