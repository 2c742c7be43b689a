"""Recognises a submit that repeats an earlier one whose reply was lost (R54). Commits nothing.

A submit is a repetition only if the reply to an equal one is known to be lost (see `Exchange`), and each lost
reply is made good once. So two replies that were both received never name the same job, whatever the
connections, the proxies and the number of threads. A loss that the server did not see makes a second job.
docs/decisions/0002 has the reasons and a table of the cases.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from sojourn.service.requests.exchange import Exchange

Key = tuple[str, str]
"""A user's id and the digest of the instance and the body."""


class Submit:
    """A submit without an Idempotency-Key: its content, the job that comes of it, and its latest exchange."""

    __slots__ = ("exchange", "job", "key")

    def __init__(self, key: Key, exchange: Exchange) -> None:
        self.key = key
        self.exchange = exchange
        self.job: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def job_id(self) -> str | None:
        """The id of its committed job, if there is one by now."""
        done = self.job.done() and not self.job.cancelled() and self.job.exception() is None
        return self.job.result() if done else None

    @property
    def refused(self) -> bool:
        return self.job.done() and self.job_id is None


class Repeats:
    """Remembers the submits whose reply was lost, each for `window` seconds after the loss.

    `answered` is called with the id of each job whose submit is answered, before the reply is sent.
    """

    def __init__(self, window: float, answered: Callable[[str], None]) -> None:
        self._window = window
        self._answered = answered
        self._lost: dict[Submit, None] = {}  # in the order of the losses
        self._by_key: dict[Key, deque[Submit]] = {}
        self._by_job: dict[str, Submit] = {}

    def begin(self, user: str, digest: str, exchange: Exchange) -> Submit:
        """A submit that repeats none; `accepted` or `failed` has to be called for it later."""
        submit = Submit((user, digest), exchange)
        self._follow(submit)
        return submit

    def claim(self, user: str, digest: str, exchange: Exchange) -> Submit | None:
        """The submit that this exchange repeats, or None. It is given out again only after another loss."""
        self._expire(exchange.received)
        waiting = self._by_key.get((user, digest))
        if not waiting:
            return None
        submit = waiting[0]
        self._drop(submit)
        submit.exchange = exchange
        self._follow(submit)
        return submit

    def accepted(self, submit: Submit, job_id: str) -> None:
        """Its job is committed."""
        submit.job.set_result(job_id)
        if submit in self._lost:
            self._by_job[job_id] = submit

    def failed(self, submit: Submit, error: BaseException) -> None:
        """There is no job, so there is nothing that could be made twice."""
        self._drop(submit)
        submit.job.set_exception(error)
        submit.job.exception()  # nobody may be waiting for it

    def restore(self, user: str, digest: str, job_id: str, accepted: float) -> None:
        """A submit of before a restart, whose reply was not sent. `accepted` is as the exchanges' times."""
        submit = self.begin(user, digest, Exchange(accepted))
        self.accepted(submit, job_id)
        submit.exchange.lose(accepted)

    def named(self, job_id: str) -> None:
        """The owner knows the job, or it was deleted: from now on an equal submit means a new one."""
        if (submit := self._by_job.get(job_id)) is not None:
            self._drop(submit)

    def __len__(self) -> int:
        return len(self._lost) + len(self._by_key) + len(self._by_job)

    def _follow(self, submit: Submit) -> None:
        if submit.exchange.ended:
            self._end(submit)
        else:
            submit.exchange.on_end = lambda: self._end(submit)

    def _end(self, submit: Submit) -> None:
        job_id = submit.job_id
        if submit.exchange.answered:
            if job_id is not None:
                self._answered(job_id)
        elif not submit.refused:
            self._lost[submit] = None
            self._by_key.setdefault(submit.key, deque()).append(submit)
            if job_id is not None:
                self._by_job[job_id] = submit

    def _drop(self, submit: Submit) -> None:
        if submit not in self._lost:
            return
        del self._lost[submit]
        self._by_key[submit.key].remove(submit)
        if not self._by_key[submit.key]:
            del self._by_key[submit.key]
        if (job_id := submit.job_id) is not None:
            del self._by_job[job_id]

    def _expire(self, now: float) -> None:
        while self._lost:
            submit = next(iter(self._lost))
            lost_at = submit.exchange.lost_at
            if lost_at is not None and now - lost_at <= self._window:
                return
            self._drop(submit)
