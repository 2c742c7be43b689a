"""Held polls: who is answered when. Loop time is virtual: it leaps when everybody waits.

The kind: whatever a program does between its questions (wait with or without a time-out, show progress, ask
for several facts, look now and then, ask without a pause, wait for many jobs, be one of a thousand), it is
served about as if every question were answered at once, and the server is asked less often.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from sojourn.core import Job, JobState
from sojourn.service.jobs.polling import Polls
from sojourn.service.lanes.records import JobRecord
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


Body = Callable[[], Coroutine[Any, Any, None]]


def leap(body: Body) -> None:
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        runner.run(body())


def record(state: JobState = JobState.QUEUED, session: str | None = None) -> JobRecord:
    job = Job("j", 1, "ann", "p", "sampler", 0.0, 10.0, session_id=session, state=state)
    return JobRecord("device", job, JobMeta())


def move(job: JobRecord, state: JobState) -> None:
    job.job.state = state
    if state.final:
        job.job.ended_at = asyncio.get_running_loop().time()
    job.wake()


async def ask(polls: Polls, job: JobRecord, *, is_next: bool = False, caller: str = "ann") -> float:
    """Seconds until the poll is answered."""
    loop = asyncio.get_running_loop()
    before = loop.time()
    await polls.news(job, caller, lambda: is_next)
    return loop.time() - before


def after(seconds: float, action: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, action)


PAUSE = {None: 0.505, "s": 0.105}
"""Seconds between an answer and the client's next question: outside of sessions, and in a session."""


async def result(polls: Polls, job: JobRecord, timeout: float) -> float:
    """What the client's `result(timeout)` does with a job that does not end; seconds until it raises."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    await ask(polls, job)
    while loop.time() - start < timeout:
        await asyncio.sleep(PAUSE[job.job.session_id])
        await ask(polls, job)
    return loop.time() - start


async def looks(polls: Polls, job: JobRecord, pause: float, seconds: float, each: int = 1) -> int:
    """How often a progress loop goes round in that time; it asks `each` times and then sleeps."""
    loop = asyncio.get_running_loop()
    start, rounds = loop.time(), 0
    while loop.time() - start < seconds:
        for _ in range(each):
            await ask(polls, job)
            await asyncio.sleep(0.004)
        await asyncio.sleep(pause)
        rounds += 1
    return rounds


@pytest.mark.parametrize("session", [None, "s"])
def test_a_short_job_costs_one_poll(session: str | None) -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record(session=session)
        polls.submitted(job, "ann")
        after(0.1, lambda: move(job, JobState.RUNNING))
        after(0.4, lambda: move(job, JobState.COMPLETED))
        assert await ask(polls, job, is_next=True) == pytest.approx(0.4)

    leap(body)


def test_the_first_hold_ends_half_a_second_after_the_first_poll() -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record(JobState.RUNNING)
        polls.submitted(job, "ann")
        assert await ask(polls, job) == pytest.approx(0.5)

    leap(body)


def test_a_loop_of_jobs_of_most_of_a_second_costs_one_poll_each_from_the_second_on() -> None:
    async def body() -> None:
        polls, loop = Polls(2.0), asyncio.get_running_loop()
        polled = []
        for _ in range(5):
            job = record(JobState.RUNNING)
            job.job.accepted_at = loop.time()
            polls.submitted(job, "ann")
            after(0.8, partial(move, job, JobState.COMPLETED))
            polled.append([await ask(polls, job)])
            while not job.job.state.final:
                await asyncio.sleep(0.505)
                polled[-1].append(await ask(polls, job))
        assert [len(waits) for waits in polled] == [2, 1, 1, 1, 1]
        assert polled[1:] == [[pytest.approx(0.8)]] * 4

    leap(body)


@pytest.mark.parametrize("length", [0.02, 30.0])
def test_after_a_very_short_or_a_long_job_the_first_hold_is_the_short_one(length: float) -> None:
    async def body() -> None:
        polls, first, second = Polls(2.0), record(JobState.RUNNING), record(JobState.RUNNING)
        polls.submitted(first, "ann")
        after(length, lambda: move(first, JobState.COMPLETED))
        await asyncio.sleep(length + 1)
        await ask(polls, first)
        polls.submitted(second, "ann")
        assert await ask(polls, second) == pytest.approx(0.5)

    leap(body)


@pytest.mark.parametrize("session", [None, "s"])
@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
@pytest.mark.parametrize("timeout", [0.1, 0.3, 0.6, 1.0, 5.0, 30.0, 300.0])
def test_a_time_out_ends_late_by_a_pause_and_a_quarter_of_it_at_most(
    timeout: float, state: JobState, session: str | None
) -> None:
    """A held poll must not make `result(timeout=...)` and its kin late, whatever the time-out."""

    async def body() -> None:
        polls, job = Polls(2.0), record(state, session)
        polls.submitted(job, "ann")
        pause = PAUSE[session]
        # With every poll answered at once it would end at a multiple of the pause.
        latest = timeout + min(pause + max(timeout / 4, 0.1), 1.0)
        first_hold = 0.5 if state is JobState.RUNNING else 0.0
        took = await result(polls, job, timeout)
        assert timeout <= took <= max(latest, first_hold) + 1e-6

    leap(body)


@pytest.mark.parametrize("session", [None, "s"])
def test_time_outs_one_after_another_are_each_on_time(session: str | None) -> None:
    """`while True: try: job.result(timeout=1) except ...: print(...)` is a progress loop, too."""

    async def body() -> None:
        polls, job = Polls(2.0), record(session=session)
        polls.submitted(job, "ann")
        for _ in range(60):
            assert await result(polls, job, 1.0) <= 1.25 + PAUSE[session]
            await asyncio.sleep(0.004)

    leap(body)


PROGRESS = [
    (pause, each, session)
    for pause in (0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 5.0)
    for each in (1, 2, 3)
    for session in (None, "s")
    if (pause, each, session) not in ((0.1, 1, None), (0.5, 1, None), (0.1, 1, "s"))  # see the next test
]


@pytest.mark.parametrize(("pause", "each", "session"), PROGRESS)
def test_a_progress_loop_gets_all_its_looks(pause: float, each: int, session: str | None) -> None:
    """`each` 2 is `while not job.in_final_state(): print(job.status()); sleep(...)`."""

    async def body() -> None:
        polls, job = Polls(2.0), record(session=session)
        polls.submitted(job, "ann")
        assert await looks(polls, job, pause, 60.0, each) == math.ceil(60.0 / (pause + 0.004 * each))

    leap(body)


@pytest.mark.parametrize(("session", "pause"), [(None, 0.1), (None, 0.5), ("s", 0.1)])
def test_a_progress_loop_with_the_clients_own_pause_looks_every_second_at_least(
    session: str | None, pause: float
) -> None:
    """With one question at a time it cannot be told from `result()`."""

    async def body() -> None:
        polls, job = Polls(2.0), record(session=session)
        polls.submitted(job, "ann")
        assert await looks(polls, job, pause, 60.0) >= 58

    leap(body)


def test_a_loop_that_shows_more_than_the_state_is_not_held() -> None:
    """Such as `job.metrics()["position_in_queue"]`: the client asks for nothing else while it waits."""

    async def body() -> None:
        polls, job = Polls(2.0), record()
        polls.submitted(job, "ann")
        for _ in range(20):
            assert await ask(polls, job) == 0.0
            polls.asked_aside(job, "ann")
            await asyncio.sleep(0.5)

    leap(body)


@pytest.mark.parametrize(("clients", "session"), [(20, "s"), (100, "s"), (1000, "s"), (1000, None)])
def test_many_waiting_clients_ask_400_times_a_second_in_all(clients: int, session: str | None) -> None:
    async def body() -> None:
        polls, asked = Polls(2.0), 0

        async def wait(job: JobRecord) -> None:
            nonlocal asked
            while True:
                await ask(polls, job)
                asked += 1
                await asyncio.sleep(PAUSE[session])

        tasks = []
        for _ in range(clients):
            job = record(session=session)
            polls.submitted(job, "ann")
            tasks.append(asyncio.ensure_future(wait(job)))
        await asyncio.sleep(5)
        asked = 0
        await asyncio.sleep(30)
        assert asked / 30 <= 480  # of a thousand by the longest hold: 2 s and the pause
        assert asked / 30 <= 1.3 * clients
        for task in tasks:
            task.cancel()

    leap(body)


def test_progress_loops_are_held_too_when_there_are_very_many() -> None:
    async def body() -> None:
        polls, jobs = Polls(2.0), [record() for _ in range(1000)]
        for job in jobs:
            polls.submitted(job, "ann")
        rounds = await asyncio.gather(*(looks(polls, job, 0.2, 20.0) for job in jobs))
        assert sum(rounds) / 20 <= 600

    leap(body)


def test_when_many_have_gone_a_loop_is_held_as_if_it_were_alone() -> None:
    async def body() -> None:
        polls, jobs = Polls(2.0), [record() for _ in range(1000)]
        for job in jobs:
            polls.submitted(job, "ann")
        await asyncio.gather(*(looks(polls, job, 0.2, 5.0) for job in jobs))
        await asyncio.sleep(5)
        assert await looks(polls, jobs[0], 0.2, 20.0) >= 95

    leap(body)


@pytest.mark.parametrize("session", [None, "s"])
def test_a_waiting_loop_is_told_of_a_change_at_once_when_it_is_held(session: str | None) -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record(session=session)
        polls.submitted(job, "ann")
        await result(polls, job, 20.0)
        await asyncio.sleep(PAUSE[session])
        after(0.05, lambda: move(job, JobState.RUNNING))
        assert await ask(polls, job) == pytest.approx(0.05)
        await asyncio.sleep(PAUSE[session])
        after(0.07, lambda: move(job, JobState.COMPLETED))
        assert await ask(polls, job) == pytest.approx(0.07)

    leap(body)


@pytest.mark.parametrize("session", [None, "s"])
@pytest.mark.parametrize("tenths", range(1, 60, 3))
def test_the_end_is_known_no_later_than_without_held_polls(tenths: int, session: str | None) -> None:
    """Each job ends in a held poll or in a pause of the client's own."""

    async def body() -> None:
        polls, job, pause = Polls(2.0), record(JobState.RUNNING, session), PAUSE[session]
        loop = asyncio.get_running_loop()
        polls.submitted(job, "ann")
        after(tenths / 10, lambda: move(job, JobState.COMPLETED))
        await ask(polls, job)
        while not job.job.state.final:
            await asyncio.sleep(pause)
            await ask(polls, job)
        assert loop.time() <= tenths / 10 + pause + 1e-6

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
            after(0.9 * number, partial(move, job, JobState.RUNNING))
            after(0.9 * number + 0.9, partial(move, job, JobState.COMPLETED))
        await asyncio.sleep(0.01)
        spent = [await ask(polls, job, is_next=True) for job in jobs]
        assert sum(spent) == pytest.approx(0.5)
        assert max(spent) < 0.9

    leap(body)


def test_each_iteration_of_a_loop_has_a_first_hold_of_its_own() -> None:
    async def body() -> None:
        polls = Polls(2.0)
        for _ in range(20):
            job = record(JobState.RUNNING)
            polls.submitted(job, "ann")
            after(0.4, partial(move, job, JobState.COMPLETED))
            assert await ask(polls, job) == pytest.approx(0.4)
            await asyncio.sleep(0.05)

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


def test_a_loop_without_a_pause_gets_five_looks_a_second() -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record()
        polls.submitted(job, "ann")
        waits = [await ask(polls, job) for _ in range(20)]
        assert waits[:5] == [0.0] * 5
        assert waits[5:] == pytest.approx([0.2] * 15)

    leap(body)


def test_from_accepted_to_queued_is_no_news() -> None:
    async def body() -> None:
        polls, job = Polls(2.0), record(JobState.ACCEPTED)
        polls.submitted(job, "ann")
        await ask(polls, job)
        await asyncio.sleep(0.5)
        after(0.05, lambda: move(job, JobState.QUEUED))
        assert await ask(polls, job) == pytest.approx(0.125)

    leap(body)


def test_nobody_is_held_for_longer_than_the_policy_allows() -> None:
    async def body() -> None:
        polls, job = Polls(0.3), record(JobState.RUNNING)
        polls.submitted(job, "ann")
        for _ in range(20):
            assert await ask(polls, job) <= 0.3 + 1e-6
            await asyncio.sleep(0.5)

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
