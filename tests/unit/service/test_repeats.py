"""R54, the judgement: an equal submit is a repetition only after a loss that the server saw.

The whole kind: any number of equal submits, in any order of arrivals, answers and losses, over any
connections. Two replies that were both received never name the same job, and each lost reply is made good
once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from sojourn.service.jobs.repeats import Repeats, Submit
from sojourn.service.requests.exchange import Exchange

WINDOW = 300.0


class Scene:
    """Equal submits of one user, each with a time of its own."""

    def __init__(self) -> None:
        self.answered: list[str] = []
        self.repeats = Repeats(WINDOW, self.answered.append)
        self.now = 1000.0
        self._jobs = 0

    def arrive(self, user: str = "ann", digest: str = "digest") -> tuple[Exchange, Submit, bool]:
        """The exchange, the submit that it belongs to, and whether that was there before."""
        self.now += 1
        exchange = Exchange(self.now)
        found = self.repeats.claim(user, digest, exchange)
        return exchange, found or self.repeats.begin(user, digest, exchange), found is not None

    def commit(self, submit: Submit) -> str:
        self._jobs += 1
        self.repeats.accepted(submit, f"job-{self._jobs}")
        return f"job-{self._jobs}"

    def lose(self, exchange: Exchange) -> None:
        self.now += 1
        exchange.lose(self.now)

    def lost(self, count: int = 1) -> list[str]:
        """The jobs of submits that arrived at the same time, were committed, and whose replies were lost."""
        open_ones = [self.arrive() for _ in range(count)]
        jobs = [self.commit(submit) for _, submit, _ in open_ones]
        for exchange, *_ in open_ones:
            self.lose(exchange)
        return jobs

    def repeated(self) -> str | None:
        """The job of the submit that an arriving one repeats; it is answered."""
        exchange, submit, again = self.arrive()
        job = submit.job_id if again else None
        if not again:
            self.commit(submit)
        exchange.answer()
        return job


@pytest.fixture
def scene() -> Callable[[Callable[[Scene], Awaitable[None]]], None]:
    def run(body: Callable[[Scene], Awaitable[None]]) -> None:
        async def inside() -> None:
            await body(Scene())

        asyncio.run(inside())

    return run


Run = Callable[[Callable[[Scene], Awaitable[None]]], None]


def test_r54_equal_submits_that_were_answered_are_jobs_of_their_own(scene: Run) -> None:
    async def body(s: Scene) -> None:
        assert [s.repeated() for _ in range(1000)] == [None] * 1000
        assert len(s.answered) == 1000
        assert len(s.repeats) == 0  # a loop leaves nothing behind

    scene(body)


def test_r54_equal_submits_under_way_at_the_same_time_are_jobs_of_their_own(scene: Run) -> None:
    async def body(s: Scene) -> None:
        open_ones = [s.arrive() for _ in range(5)]
        assert not any(again for *_, again in open_ones)

    scene(body)


def test_r54_a_submit_after_a_lost_reply_gets_the_job_of_the_first(scene: Run) -> None:
    async def body(s: Scene) -> None:
        (job,) = s.lost()
        assert s.arrive(user="bob")[2] is False
        assert s.arrive(digest="other")[2] is False
        assert s.repeated() == job
        assert s.answered == [job]

    scene(body)


def test_r54_a_lost_reply_is_made_good_once(scene: Run) -> None:
    """Otherwise a program that goes on after a repetition would get one job for ever."""

    async def body(s: Scene) -> None:
        (job,) = s.lost()
        assert [s.repeated() for _ in range(4)] == [job, None, None, None]

    scene(body)


def test_r54_a_repetition_that_is_lost_again_is_repeated_again(scene: Run) -> None:
    """As behind a proxy that gives up five times while the first submit is being checked."""

    async def body(s: Scene) -> None:
        exchange, first, _ = s.arrive()
        for _ in range(5):
            s.lose(exchange)
            s.now += WINDOW - 2  # each loss counts anew
            exchange, submit, again = s.arrive()
            assert again
            assert submit is first
        job = s.commit(first)
        exchange.answer()
        assert s.answered == [job]
        assert s.repeated() is None

    scene(body)


def test_r54_several_threads_that_lose_their_replies_get_their_several_jobs(scene: Run) -> None:
    async def body(s: Scene) -> None:
        jobs = s.lost(4)
        assert [s.repeated() for _ in range(4)] == jobs  # in the order of the losses
        assert s.repeated() is None

    scene(body)


def test_r54_a_repetition_joins_a_submit_that_is_still_being_checked(scene: Run) -> None:
    async def body(s: Scene) -> None:
        exchange, submit, _ = s.arrive()
        s.lose(exchange)
        second, joined, again = s.arrive()
        assert again
        job = s.commit(submit)
        assert await joined.job == job
        second.answer()
        assert s.answered == [job]
        assert len(s.repeats) == 0

    scene(body)


def test_a_submit_that_was_refused_is_judged_afresh(scene: Run) -> None:
    async def body(s: Scene) -> None:
        for lose_first in (True, False):
            exchange, submit, _ = s.arrive()
            if lose_first:
                s.lose(exchange)
            s.repeats.failed(submit, ValueError("the circuit does not fit"))
            s.lose(exchange)
            assert s.repeated() is None
            assert len(s.repeats) == 0

    scene(body)


def test_a_job_that_its_owner_knows_is_not_given_out_again(scene: Run) -> None:
    async def body(s: Scene) -> None:
        s.repeats.named(*s.lost())
        assert s.repeated() is None
        s.repeats.named("another")

    scene(body)


def test_what_was_lost_is_forgotten_after_the_window(scene: Run) -> None:
    async def body(s: Scene) -> None:
        s.lost(10)
        s.now += WINDOW + 1
        exchange, late, _ = s.arrive()
        s.lose(exchange)
        s.now += WINDOW + 1
        assert s.arrive(digest="other")[2] is False
        assert len(s.repeats) == 0
        s.commit(late)  # it was forgotten before its commit
        assert len(s.repeats) == 0

    scene(body)


def test_a_submit_of_before_a_restart_counts_as_lost_when_it_was_accepted(scene: Run) -> None:
    async def body(s: Scene) -> None:
        s.repeats.restore("ann", "digest", "old", s.now - WINDOW - 1)
        s.repeats.restore("ann", "digest", "new", s.now)
        assert s.repeated() == "new"
        assert s.repeated() is None

    scene(body)


@pytest.mark.parametrize("seed", range(50))
def test_r54_whatever_happens_no_two_replies_received_name_one_job(scene: Run, seed: int) -> None:
    """Random arrivals, commits, answers and losses; and no job is made while one waits for its client."""

    async def body(s: Scene) -> None:
        chance = random.Random(seed)
        open_ones: list[tuple[Exchange, Submit]] = []
        received: list[str] = []
        waiting: set[int] = set()  # submits whose reply was lost
        for _ in range(400):
            what = chance.choice(("arrive", "commit", "end", "end"))
            if what == "arrive":
                exchange, submit, again = s.arrive()
                assert again == bool(waiting)
                waiting.discard(id(submit))
                open_ones.append((exchange, submit))
            elif what == "commit" and (fresh := [x for _, x in open_ones if not x.job.done()]):
                s.commit(chance.choice(fresh))
            elif what == "end" and open_ones:
                exchange, submit = chance.choice(open_ones)
                if chance.random() < 0.5:
                    s.lose(exchange)
                    waiting.add(id(submit))
                elif submit.job_id is not None:
                    exchange.answer()
                    received.append(submit.job_id)
                else:
                    continue
                open_ones.remove((exchange, submit))
        assert len(set(received)) == len(received) > 10
        assert s.answered == received

    scene(body)


def test_an_exchange_ends_once() -> None:
    told: list[str] = []
    first, second = Exchange(1.0), Exchange(1.0)
    first.on_end = lambda: told.append("first")
    second.on_end = lambda: told.append("second")
    first.answer()
    first.lose(2.0)
    assert (first.answered, first.lost_at, first.ended) == (True, None, True)
    second.lose(3.0)
    second.answer()
    second.lose(4.0)
    assert (second.answered, second.lost_at, second.ended) == (False, 3.0, True)
    assert told == ["first", "second"]
