"""The memory of recent submits (R54): it recognises a repetition, and it forgets."""

from __future__ import annotations

import asyncio

import pytest

from sojourn.execution.types import no_such_program
from sojourn.service.calls import Call
from sojourn.service.errors import BadRequest
from sojourn.service.submit import RecentSubmits, parse


def call(at: float) -> Call:
    return Call(connection="c", received=at)


def test_a_loop_that_submits_the_same_thing_leaves_no_more_behind_than_one_submit() -> None:
    async def body() -> None:
        recent = RecentSubmits(window=300.0)
        for number in range(1000):
            recent.named(f"job-{number - 1}")  # its result was fetched
            assert recent.repeats("ann", "digest", call(number / 100)) is None
            recent.succeeded(recent.begin("ann", "digest", call(number / 100)), f"job-{number}")
        assert len(recent) == 2  # the content and the job of the last one

    asyncio.run(body())


def test_everything_is_forgotten_after_the_window() -> None:
    async def body() -> None:
        recent = RecentSubmits(window=300.0)
        for number in range(10):
            recent.restore("ann", f"digest-{number % 5}", f"job-{number}", 1000.0 + number)
        slow = recent.begin("ann", "slow", call(1010.0))
        recent.begin("ann", "other", call(2000.0))
        recent.succeeded(slow, "late")  # its commit came after it was forgotten
        assert len(recent) == 1

    asyncio.run(body())


def test_a_repetition_within_the_window_is_recognised_until_its_job_is_named() -> None:
    async def body() -> None:
        recent = RecentSubmits(window=300.0)
        entry = recent.begin("ann", "digest", call(0.0))
        assert recent.repeats("ann", "digest", call(1.0)) is entry
        assert recent.repeats("bob", "digest", call(1.0)) is None
        recent.succeeded(entry, "job")
        assert recent.repeats("ann", "digest", call(299.0)) is entry
        recent.named("job")
        assert recent.repeats("ann", "digest", call(299.0)) is None

    asyncio.run(body())


def test_a_log_level_is_a_word() -> None:
    with pytest.raises(BadRequest, match="limit is 20"):
        parse(b'{"program_id": "sampler", "log_level": "' + b"x" * 100_000 + b'"}')


@pytest.mark.parametrize("program", ["nope", "executor", "noise-learner", "calibrate", "", "Sampler"])
def test_a_program_that_this_service_does_not_run_has_one_code_and_one_message(program: str) -> None:
    """The kind: any program but those that run here, whoever else runs it. A worker that is asked for one
    answers the same."""
    with pytest.raises(BadRequest) as caught:
        parse(b'{"program_id": "%s"}' % program.encode())
    assert caught.value.code == 1202
    assert f"There is no program {program!r} on this service" in caught.value.message
    assert "it runs sampler and estimator" in caught.value.message
    asked = no_such_program(program)
    assert (asked.message, asked.code) == (caught.value.message, caught.value.code)
