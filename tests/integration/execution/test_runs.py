"""Runs on a device's worker: results come back whole, and a death costs one run only."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from itertools import count
from pathlib import Path

import psutil
import pytest

from sojourn.execution.local.fleet import Fleet
from sojourn.worker.protocol.types import (
    Completed,
    Crashed,
    Failed,
    RunOutcome,
    RunRequest,
    Stopped,
    WorkerPhase,
)

pytestmark = pytest.mark.anyio
_ids = count()


async def run(fleet: Fleet, program: str, params: bytes = b"", device: str = "a") -> RunOutcome:
    return await fleet.run(device, RunRequest(f"run-{next(_ids)}", program, params))


async def result(fleet: Fleet, program: str, params: bytes = b"", device: str = "a") -> bytes:
    outcome = await run(fleet, program, params, device)
    assert isinstance(outcome, Completed), outcome
    return outcome.result


async def test_params_and_result_pass_through_unchanged(fleet: Fleet) -> None:
    assert await result(fleet, "echo", b'{"pubs": ["\\u00e9"]}\x00\xff') == b'{"pubs": ["\\u00e9"]}\x00\xff'


async def test_twenty_megabytes_pass_both_ways(fleet: Fleet) -> None:
    body = os.urandom(1 << 20) * 20
    assert await result(fleet, "echo", body) == body


async def test_a_thousand_quick_runs_answer_in_order(fleet: Fleet) -> None:
    answers = await asyncio.gather(*(result(fleet, "echo", str(n).encode()) for n in range(1000)))
    assert answers == [str(n).encode() for n in range(1000)]


async def test_a_failure_keeps_its_words(fleet: Fleet) -> None:
    assert await run(fleet, "fail") == Failed("user error", 1517, "Traceback: here", "log line")


async def test_a_machine_that_raises_fails_the_run_and_not_the_worker(fleet: Fleet) -> None:
    before = await result(fleet, "pid")
    outcome = await run(fleet, "raise")
    assert isinstance(outcome, Failed)
    assert outcome.reason == "Internal error: RuntimeError: no way"
    assert "machines.py" in outcome.detail
    assert await result(fleet, "pid") == before


@pytest.mark.parametrize(
    ("program", "how"), [("segfault", "SIGSEGV"), ("exit", "exit 3"), ("quit", "exit 4")]
)
async def test_a_crash_fails_only_its_own_run(fleet: Fleet, program: str, how: str) -> None:
    before = await result(fleet, "pid")
    crash, after = await asyncio.gather(run(fleet, program), run(fleet, "pid"))
    assert crash == Crashed(how)
    assert isinstance(after, Completed)
    assert after.result != before


async def test_a_worker_killed_from_outside_crashes_the_run_and_the_next_one_runs(fleet: Fleet) -> None:
    job = asyncio.create_task(run(fleet, "hang"))
    pid = int(await result(fleet, "pid", device="b"))  # `a` is busy by now
    state = fleet.state("a")
    assert state.phase is WorkerPhase.BUSY
    assert state.pid not in (None, pid)
    os.kill(state.pid or 0, signal.SIGKILL)
    assert await job == Crashed("SIGKILL")
    assert await result(fleet, "echo", b"next") == b"next"


async def test_a_kill_stops_the_run_and_the_device_is_ready_again(fleet: Fleet) -> None:
    job = asyncio.create_task(fleet.run("a", RunRequest("victim", "hang", b"")))
    await result(fleet, "noop", device="b")
    assert fleet.state("a").phase is WorkerPhase.BUSY
    fleet.kill("a", "victim")
    fleet.kill("a", "victim")  # repeating it is harmless
    assert await job == Stopped()
    assert await result(fleet, "echo", b"next") == b"next"
    assert fleet.state("a").phase is WorkerPhase.READY


async def test_killing_a_run_that_waits_for_its_turn_leaves_the_worker_alone(
    fleet: Fleet, tmp_path: Path
) -> None:
    before = await result(fleet, "pid")
    fifos = [str(tmp_path / "x"), str(tmp_path / "y")]
    for fifo in fifos:
        os.mkfifo(fifo)
    first = asyncio.create_task(run(fleet, "meet", json.dumps(fifos).encode()))
    second = asyncio.create_task(fleet.run("a", RunRequest("waiting", "hang", b"")))
    await asyncio.sleep(0)
    fleet.kill("a", "waiting")
    await run(fleet, "meet", json.dumps(fifos[::-1]).encode(), device="b")
    assert isinstance(await first, Completed)
    assert await second == Stopped()
    assert await result(fleet, "pid") == before


async def test_killing_an_unknown_run_does_nothing(fleet: Fleet) -> None:
    before = await result(fleet, "pid")
    fleet.kill("a", "nobody")
    assert await result(fleet, "pid") == before


async def test_a_caller_that_is_cancelled_takes_its_run_along(fleet: Fleet) -> None:
    before = await result(fleet, "pid")
    job = asyncio.create_task(run(fleet, "hang"))
    await result(fleet, "noop", device="b")
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert await result(fleet, "pid") != before


async def test_two_devices_run_at_the_same_time(fleet: Fleet, tmp_path: Path) -> None:
    fifos = [str(tmp_path / "x"), str(tmp_path / "y")]
    for fifo in fifos:
        os.mkfifo(fifo)
    answers = await asyncio.gather(  # each waits for the other: alone neither would end
        result(fleet, "meet", json.dumps(fifos).encode(), device="a"),
        result(fleet, "meet", json.dumps(fifos[::-1]).encode(), device="b"),
    )
    assert answers == [b"there", b"here"]


async def test_output_of_a_run_is_in_its_log(fleet: Fleet) -> None:
    outcome = await run(fleet, "print", "grüß dich\n".encode())
    assert isinstance(outcome, Completed)
    assert (
        outcome.logs == "own log\ngrüß dich\nfrom-a-child"
        or outcome.logs == "own log\nfrom-a-childgrüß dich\n"
    )
    assert (await run(fleet, "noop")) == Completed(b"", pytest.approx(0, abs=1), "")


async def test_a_flood_of_output_blocks_nobody_and_is_cut(fleet: Fleet) -> None:
    flood, other = await asyncio.gather(run(fleet, "flood", b"20000"), run(fleet, "echo", b"x", device="b"))
    assert isinstance(flood, Completed)
    assert isinstance(other, Completed)
    assert len(flood.logs) < 70_000
    assert "more characters of output left out" in flood.logs


async def test_ctrl_c_and_sigterm_are_left_to_the_server(fleet: Fleet) -> None:
    assert await result(fleet, "signals", b"still here") == b"still here"


async def test_workers_do_not_share_their_random_numbers(fleet: Fleet) -> None:
    assert await result(fleet, "random") != await result(fleet, "random", device="b")


async def test_what_a_run_started_does_not_outlive_its_worker(fleet: Fleet) -> None:
    child = int(await result(fleet, "child"))
    assert await run(fleet, "segfault") == Crashed("SIGSEGV")
    await result(fleet, "noop")
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
