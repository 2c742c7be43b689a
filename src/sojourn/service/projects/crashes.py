"""Whose jobs have ended their worker's process lately, and when they have done it too often.

Counts in memory, from what the lanes take for a crash (D23); after a restart from the jobs' history. A job
that has been deleted meanwhile does not count any more then.
"""

from __future__ import annotations

from collections import deque

import structlog

from sojourn.core.model import Job, JobKind
from sojourn.service.accounts.directory import Directory
from sojourn.service.errors import TooMany
from sojourn.service.timing.clock import Clock
from sojourn.service.timing.steps import Steps
from sojourn.service.views import Principal
from sojourn.store import Database, history

WINDOW = 3600.0
"""Seconds for which a death of a worker counts against the user whose job ran on it."""

log = structlog.get_logger("sojourn.crashes")


class Crashes:
    """By user, in all projects: who has many keys or projects has not many chances.

    An hour is one that has passed: times are of the monotonic clock, which nobody sets.
    """

    def __init__(self, store: Database, clock: Clock, steps: Steps, accounts: Directory) -> None:
        self._store = store
        self._clock = clock
        self._steps = steps
        self._accounts = accounts
        self._of: dict[str, deque[float]] = {}

    async def load(self) -> None:
        """Count again what the last hour has seen."""
        clock, steps = self._clock, self._steps
        now, here = clock.now(), clock.monotonic()
        since = steps.before(now, WINDOW)
        rows = await self._store.read(history.crashes, since)
        for user, at in rows:
            self._of.setdefault(user, deque()).append(here - (now - steps.restated(at)))

    def note(self, device: str, job: Job, how: str) -> None:
        """A worker of `device` died while it ran `job`."""
        if job.kind is not JobKind.USER:
            return
        self._of.setdefault(job.user, deque()).append(self._clock.monotonic())
        accounts = self._accounts
        log.warning(
            "job.killed_worker",
            device=device,
            job=job.id,
            user=accounts.user_name(job.user),
            project=accounts.project_name(job.project),
            how=how,
            of_this_job=job.crashes,
            of_this_user=self.count(job.user),
            charged=job.charged,
        )

    def count(self, user_id: str) -> int:
        """How often in the last hour."""
        return len(self._lately(user_id))

    def check(self, who: Principal, limit: int) -> None:
        """Refuse a user whose jobs have done it `limit` times in an hour; 0 is no limit. Raises TooMany."""
        if not limit or who.user_id not in self._of:
            return
        lately = self._lately(who.user_id)
        if len(lately) < limit:
            return
        wait = max(1.0, lately[-limit] + WINDOW - self._clock.monotonic())
        raise TooMany(
            f"Jobs of user {who.user} have ended the worker process of a device {len(lately)} times within "
            f"an hour; the limit is {limit} (crashes_per_hour). Look at the reasons of those that failed, "
            f"cancel those like them that wait, and submit smaller ones in {wait:.0f} s.",
            retry_after=wait,
        )

    def _lately(self, user_id: str) -> deque[float]:
        found = self._of.get(user_id)
        if found is None:
            return deque()
        since = self._clock.monotonic() - WINDOW
        while found and found[0] <= since:
            found.popleft()
        if not found:
            del self._of[user_id]
        return found
