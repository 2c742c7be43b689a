"""Held polls: who is answered when. Loop time is virtual: it leaps when everybody waits."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sojourn.core import Job, JobState
from sojourn.service.polls import Polls
from sojourn.service.records import JobRecord
from sojourn.store import JobMeta


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer as soon as nothing else is left to do."""

    def __init__(self) -> None:
        super().__init__(_NoWait(self))
        self.leapt = 0.0

    def time(self) -> float:
        return self.leapt


class _NoWait(selectors.SelectSelector):
    def __init__(self, loop: LeapingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout:
            self._loop.leapt += timeout
        return ready


Body = Callable[[], Awaitable[None]]


def leap(body: Body) -> None:
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        runner.run(body())  # type: ignore[arg-type]


def record(state: JobState = JobState.QUEUED) -> JobRecord:
    return JobRecord("device", Job("j", 1, "ann", "p", "sampler", 0.0, 10.0, state=state), JobMeta())


def move(job: JobRecord, state: JobState) -> None:
    job.job.state = state
    job.wake()


async def ask(polls: Polls, job: JobRecord, *, is_next: bool = False, caller: str = "ann") -> float:
    """Seconds until the poll is answered."""
    loop = asyncio.get_running_loop()
    before = loop.time()
    await polls.news(job, caller, lambda: is_next)
    return loop.time() - before


def after(seconds: float, action: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, action)


def test_a_short_job_costs_one_poll() -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record()
        polls.submitted(job, "ann")
        after(0.1, lambda: move(job, JobState.RUNNING))
        after(0.6, lambda: move(job, JobState.COMPLETED))
        assert await ask(polls, job, is_next=True) == pytest.approx(0.6)

    leap(body)


def test_the_first_hold_ends_one_second_after_the_first_poll() -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record(JobState.RUNNING)
        polls.submitted(job, "ann")
        assert await ask(polls, job) == pytest.approx(1.0)

    leap(body)


def test_looking_once_at_each_of_a_hundred_waiting_jobs_is_not_slowed() -> None:
    async def body() -> None:
        polls = Polls(2.0)
        jobs = [record() for _ in range(100)]
        for job in jobs:
            polls.submitted(job, "ann")
        assert [await ask(polls, job) for job in jobs] == [0.0] * 100

    leap(body)


def test_looking_once_at_each_of_a_hundred_short_jobs_is_not_slowed_as_they_end_one_by_one() -> None:
    """Each job that the program comes to is the running one; all of them together cost the first hold."""

    async def body() -> None:
        polls, jobs = Polls(2.0), [record() for _ in range(100)]
        for number, job in enumerate(jobs):
            polls.submitted(job, "ann")
            after(0.9 * number, lambda job=job: move(job, JobState.RUNNING))  # type: ignore[misc]
            after(0.9 * number + 0.9, lambda job=job: move(job, JobState.COMPLETED))  # type: ignore[misc]
        await asyncio.sleep(0.01)
        spent = [await ask(polls, job, is_next=True) for job in jobs]
        assert sum(spent) == pytest.approx(1.0)
        assert max(spent) < 0.9

    leap(body)


def test_each_iteration_of_a_loop_has_a_first_hold_of_its_own() -> None:
    async def body() -> None:
        polls = Polls(2.0)
        for _ in range(20):
            job = record(JobState.RUNNING)
            polls.submitted(job, "ann")
            after(0.8, lambda job=job: move(job, JobState.COMPLETED))  # type: ignore[misc]
            assert await ask(polls, job) == pytest.approx(0.8)
            await asyncio.sleep(0.05)

    leap(body)


def test_a_waiting_loop_is_held_until_the_state_changes_or_two_seconds_are_over() -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record()
        polls.submitted(job, "ann")
        assert await ask(polls, job) == 0.0
        await asyncio.sleep(0.5)
        assert await ask(polls, job) == pytest.approx(2.0)
        await asyncio.sleep(0.1)
        after(0.3, lambda: move(job, JobState.RUNNING))
        assert await ask(polls, job) == pytest.approx(0.3)
        await asyncio.sleep(0.1)
        after(1.2, lambda: move(job, JobState.COMPLETED))
        assert await ask(polls, job) == pytest.approx(1.2)

    leap(body)


def test_who_looks_now_and_then_is_never_held() -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record()
        polls.submitted(job, "ann")
        for _ in range(5):
            assert await ask(polls, job) == 0.0
            await asyncio.sleep(0.8)

    leap(body)


def test_asking_for_several_facts_of_a_waiting_job_in_a_row_is_not_slowed() -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record()
        polls.submitted(job, "ann")
        for _ in range(5):
            assert await ask(polls, job) == 0.0
            await asyncio.sleep(0.005)

    leap(body)


def test_a_loop_without_a_pause_is_held_like_any_other() -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record()
        polls.submitted(job, "ann")
        waits = [await ask(polls, job) for _ in range(8)]
        assert waits[:5] == [0.0] * 5
        assert waits[5:] == pytest.approx([2.0] * 3)

    leap(body)


def test_a_service_that_stops_answers_everybody() -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record(JobState.RUNNING)
        polls.submitted(job, "ann")
        after(0.2, polls.release)
        assert await ask(polls, job) == pytest.approx(0.2)
        assert await ask(polls, job) == 0.0

    leap(body)


def test_a_caller_who_was_told_nothing_yet_is_answered_at_once() -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record(JobState.RUNNING)
        polls.submitted(job, "ann")
        assert await ask(polls, job, caller="bob") == 0.0

    leap(body)


def test_a_final_job_is_answered_at_once() -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record(JobState.COMPLETED)
        polls.submitted(job, "ann")
        assert await ask(polls, job) == 0.0

    leap(body)


def test_from_accepted_to_queued_is_no_news() -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record(JobState.ACCEPTED)
        polls.submitted(job, "ann")
        await ask(polls, job)
        await asyncio.sleep(0.1)
        after(0.5, lambda: move(job, JobState.QUEUED))
        assert await ask(polls, job) == pytest.approx(2.0)

    leap(body)


def test_a_hold_of_zero_answers_every_poll_at_once() -> None:
    async def body() -> None:
        polls, job = Polls(0.0), record(JobState.RUNNING)
        polls.submitted(job, "ann")
        for _ in range(3):
            assert await ask(polls, job, is_next=True) == 0.0

    leap(body)


def test_a_thousand_waiters_leave_nothing_behind() -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record(JobState.RUNNING)
        callers = [str(i) for i in range(1000)]
        for caller in callers:
            polls.submitted(job, caller)
        after(0.2, lambda: move(job, JobState.COMPLETED))
        waits = await asyncio.gather(*(ask(polls, job, caller=c) for c in callers))
        assert max(waits) == pytest.approx(0.2)
        assert job.waiters == set()

    leap(body)
