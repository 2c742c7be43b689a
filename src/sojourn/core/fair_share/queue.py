"""The fair-share queue of one lane: waiting jobs, what their owners have used, the next job (R48-R50).

Has nothing to do with sessions. The order is that of the share tree; this module keeps its usage, and takes
projects out whose allocation is used up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import log2

from sojourn.core.calendar import Gap
from sojourn.core.fair_share import ranks
from sojourn.core.fair_share.ranks import Counts
from sojourn.core.fair_share.shares import EVEN, Shares
from sojourn.core.fair_share.tree import Node, Waiting
from sojourn.core.fair_share.usage import UsageWindow
from sojourn.core.model import Job

__all__ = ["FairShareQueue", "Waiting"]

ANY = Gap()


class FairShareQueue:
    """Waiting jobs and the usage that orders them.

    `window` is how long a charge counts, in seconds from its end, give or take a step. With a `half_life` a
    charge fades instead of ending. `now` must not go backwards. Nodes keep their sums in the amounts of
    `UsageWindow`.
    """

    def __init__(self, window: float, half_life: float | None = None, shares: Shares = EVEN) -> None:
        self.shares = shares
        self.waiting: dict[str, Waiting] = {}
        self._root = Node()
        self._projects: dict[str, Node] = {}
        self._users: dict[tuple[str, str], Node] = {}
        self._usage: UsageWindow[Node] = UsageWindow(window, half_life, self._rescale)
        self._limited: dict[str, Node] = {}  # projects with an allocation
        self._spent: set[str] = set()  # those of them that have used it up

    @property
    def step(self) -> float:
        """Charges within a step of so many seconds count as one (D18)."""
        return self._usage.step

    @property
    def memory(self) -> float:
        """For how many seconds a charge can count."""
        return self._usage.memory

    def __len__(self) -> int:
        return len(self.waiting)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self.waiting

    # who waits

    def add(self, job: Waiting) -> None:
        self.waiting[job.job_id] = job
        self._user(job.project, job.user).add(job)

    def remove(self, job_id: str) -> None:
        job = self.waiting.pop(job_id)
        self._users[job.project, job.user].remove(job)

    # what was used

    def charge(self, project: str, user: str, seconds: float, at: float) -> None:
        """Device seconds that ended at `at`, perhaps on another device of the pool."""
        leaf = self._user(project, user)
        self._spend(leaf, self._usage.charge(at, leaf, seconds))

    def expire(self, now: float) -> None:
        """Forget the charges that have left the window."""
        for leaf, amount in self._usage.leave(now):
            self._spend(leaf, -amount)
        if self._usage.half_life is not None:
            for project in [self._limited[name] for name in self._spent]:  # usage fades without an event
                self._spend(project, 0)

    def jump(self, seconds: float) -> None:
        """Time has gone forward by so much without having passed: nothing fades and nothing ends for it."""
        self._usage.jump(seconds)

    def used(self, project: str, user: str | None = None) -> float:
        """Device seconds of a project, or of a user in it, that count now."""
        node = self._projects.get(project) if user is None else self._users.get((project, user))
        return self._usage.seconds(node.used) if node is not None else 0.0

    def used_by_everybody(self) -> Iterator[tuple[str, str, float]]:
        """(project, user, device seconds) of all whose use counts now."""
        seconds = self._usage.seconds
        return ((*path, seconds(node.used)) for path, node in self._users.items() if node.used)

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
                node.refresh()
            elif node.key is not None:
                node.place(node.key[2])
            node = node.parent

    def _rescale(self, unit: float) -> None:
        for node in self._nodes():
            node.used /= unit
            node.refresh()

    # choosing

    def first(
        self,
        now: float,
        gap: Gap = ANY,
        project: str | None = None,
        wanted: Callable[[Waiting], bool] | None = None,
    ) -> str | None:
        """The job that starts next, or None: the first that fits, perhaps only of one project, or a wanted
        one (R46, R47). Those before it are passed over.
        """
        self.expire(now)
        node = self._root if project is None else self._projects.get(project)
        head = node.first() if node is not None and not node.blocked else None
        if node is None or head is None:
            return None
        if head.limit <= gap.of(head.project) and (wanted is None or wanted(head)):
            return head.job_id
        most = gap.of(project) if project is not None else self._most(gap)
        if node.shortest > most:
            return None
        fitting = (job for _, job in node.walk(gap.of, most))
        return next((job.job_id for job in fitting if wanted is None or wanted(job)), None)

    def _most(self, gap: Gap) -> float:
        """The room of the holder of the next window counts only while he waits."""
        holder = self._projects.get(gap.holder)
        waits = holder is not None and holder.key is not None
        return max(gap.others, gap.holders) if waits else gap.others

    def order(self, now: float) -> Iterator[str]:
        """All who may start, in the order of `first` as things stand: nothing is charged meanwhile.

        Nothing may be changed before it has come to its end, or is dropped.
        """
        self.expire(now)
        return (job.job_id for _, job in self._root.walk(ANY.of))

    # where jobs stand, as of the latest time that was given

    def leaf(self, project: str, user: str) -> Node:
        """A user who has waited here."""
        return self._users[project, user]

    def before(self, job: Job) -> Counts:
        """Who goes before a waiting job whose project may start, in the order of `order`."""
        return ranks.before(self._users[job.project, job.user], job.seq)

    def everybody(self) -> Counts:
        """All who may start."""
        return ranks.everybody(self._root)

    def all_of(self, project: str) -> Counts:
        """All who may start of one project."""
        node = self._projects.get(project)
        return {} if node is None or node.key is None else {node: node.size}

    def spent_before(self, seq: int) -> Counts:
        """Who waits with a lower number in projects whose allocations are used up."""
        users = (user for name in self._spent for user in self._projects[name].children.values())
        return {user: count for user in users if (count := user.older(seq))}

    def waiting_projects(self) -> set[str]:
        """Those with a job here, whether it may start or not."""
        return {name for name, node in self._projects.items() if node.size}

    def blocked(self, project: str) -> bool:
        """R50: the project's allocation is used up; its jobs wait until usage leaves the window."""
        node = self._projects.get(project)
        return node.blocked if node is not None else self.shares.project(project).allocation == 0

    def release_at(self) -> float | None:
        """When a project that waits with its allocation used up may go on; may be early, is never late.

        None when nobody waits so, or when only new shares can help.
        """
        waiting = [p for p in map(self._projects.__getitem__, self._spent) if p.oldest() >= 0]
        if not waiting:
            return None
        if self._usage.half_life is None:
            return self._usage.next_leave()
        times = []
        for project in waiting:
            if allocation := self.shares.project(project.name).allocation:
                fades = self._usage.half_life * log2(self._usage.seconds(project.used) / allocation)
                times.append(self._usage.now + fades + 1.0)  # a second, as it must have faded below the limit
        return min(times, default=None)

    # the tree

    def set_shares(self, shares: Shares) -> None:
        """New weights, accounts and allocations, at once; usage and queue stay."""
        users = self._users
        self.shares = shares
        self._root = Node()
        self._projects, self._users, self._limited, self._spent = {}, {}, {}, set()
        for path, leaf in users.items():
            self._spend(self._user(*path), leaf.used)
        self._usage.replace({leaf: self._users[path] for path, leaf in users.items()})
        for path, leaf in users.items():
            if leaf.jobs:
                self._users[path].take_over(leaf)

    def _user(self, project: str, user: str) -> Node:
        found = self._users.get((project, user))
        if found is None:
            weight = self.shares.user_weight(project, user)
            found = self._users[project, user] = Node("user", user, self._project(project), weight)
        return found

    def _project(self, project: str) -> Node:
        found = self._projects.get(project)
        if found is None:
            share = self.shares.project(project)
            account = self._root.children.get(share.account)
            if account is None:
                weight = self.shares.account_weight(share.account)
                account = Node("account", share.account, self._root, weight)
            found = self._projects[project] = Node("project", project, account, share.weight)
            if share.allocation is not None:
                self._limited[project] = found
                self._check_allocation(found)
        return found

    def _check_allocation(self, node: Node) -> None:
        allocation = self.shares.project(node.name).allocation
        node.blocked = allocation is not None and self._usage.seconds(node.used) >= allocation
        (self._spent.add if node.blocked else self._spent.discard)(node.name)

    def _nodes(self) -> list[Node]:
        """Leaves first."""
        accounts = self._root.children.values()
        return [*self._users.values(), *self._projects.values(), *accounts, self._root]
