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

from sojourn.execution.engine import Crashed, RunOutcome, RunRequest, Stopped, WorkerPhase
from sojourn.execution.local.engine import LocalEngine
from sojourn.worker.protocol.types import Completed, Failed

pytestmark = pytest.mark.anyio
_ids = count()


async def run(engine: LocalEngine, program: str, params: bytes = b"", device: str = "a") -> RunOutcome:
    return await engine.run(device, RunRequest(f"run-{next(_ids)}", program, params))


async def result(engine: LocalEngine, program: str, params: bytes = b"", device: str = "a") -> bytes:
    outcome = await run(engine, program, params, device)
    assert isinstance(outcome, Completed), outcome
    return outcome.result


async def test_params_and_result_pass_through_unchanged(engine: LocalEngine) -> None:
    assert await result(engine, "echo", b'{"pubs": ["\\u00e9"]}\x00\xff') == b'{"pubs": ["\\u00e9"]}\x00\xff'


async def test_twenty_megabytes_pass_both_ways(engine: LocalEngine) -> None:
    body = os.urandom(1 << 20) * 20
    assert await result(engine, "echo", body) == body


async def test_a_thousand_quick_runs_answer_in_order(engine: LocalEngine) -> None:
    answers = await asyncio.gather(*(result(engine, "echo", str(n).encode()) for n in range(1000)))
    assert answers == [str(n).encode() for n in range(1000)]


async def test_a_failure_keeps_its_words(engine: LocalEngine) -> None:
    assert await run(engine, "fail") == Failed("user error", 1517, "Traceback: here", "log line")


async def test_a_machine_that_raises_fails_the_run_and_not_the_worker(engine: LocalEngine) -> None:
    before = await result(engine, "pid")
    outcome = await run(engine, "raise")
    assert isinstance(outcome, Failed)
    assert outcome.reason == "Internal error: RuntimeError: no way"
    assert "hosts.py" in outcome.detail
    assert await result(engine, "pid") == before


@pytest.mark.parametrize(
    ("program", "how"), [("segfault", "SIGSEGV"), ("exit", "exit 3"), ("quit", "exit 4")]
)
async def test_a_crash_fails_only_its_own_run(engine: LocalEngine, program: str, how: str) -> None:
    before = await result(engine, "pid")
    crash, after = await asyncio.gather(run(engine, program), run(engine, "pid"))
    assert crash == Crashed(how)
    assert isinstance(after, Completed)
    assert after.result != before


async def test_a_worker_killed_from_outside_crashes_the_run_and_the_next_one_runs(
    engine: LocalEngine,
) -> None:
    job = asyncio.create_task(run(engine, "hang"))
    pid = int(await result(engine, "pid", device="b"))  # `a` is busy by now
    state = engine.state("a")
    assert state.phase is WorkerPhase.BUSY
    assert state.pid not in (None, pid)
    os.kill(state.pid or 0, signal.SIGKILL)
    assert await job == Crashed("SIGKILL")
    assert await result(engine, "echo", b"next") == b"next"


async def test_a_kill_stops_the_run_and_the_device_is_ready_again(engine: LocalEngine) -> None:
    job = asyncio.create_task(engine.run("a", RunRequest("victim", "hang", b"")))
    await result(engine, "noop", device="b")
    assert engine.state("a").phase is WorkerPhase.BUSY
    engine.kill("a", "victim")
    engine.kill("a", "victim")  # repeating it is harmless
    assert await job == Stopped()
    assert await result(engine, "echo", b"next") == b"next"
    assert engine.state("a").phase is WorkerPhase.READY


async def test_killing_a_run_that_waits_for_its_turn_leaves_the_worker_alone(
    engine: LocalEngine, tmp_path: Path
) -> None:
    before = await result(engine, "pid")
    fifos = [str(tmp_path / "x"), str(tmp_path / "y")]
    for fifo in fifos:
        os.mkfifo(fifo)
    first = asyncio.create_task(run(engine, "meet", json.dumps(fifos).encode()))
    second = asyncio.create_task(engine.run("a", RunRequest("waiting", "hang", b"")))
    await asyncio.sleep(0)
    engine.kill("a", "waiting")
    await run(engine, "meet", json.dumps(fifos[::-1]).encode(), device="b")
    assert isinstance(await first, Completed)
    assert await second == Stopped()
    assert await result(engine, "pid") == before


async def test_killing_an_unknown_run_does_nothing(engine: LocalEngine) -> None:
    before = await result(engine, "pid")
    engine.kill("a", "nobody")
    assert await result(engine, "pid") == before


async def test_a_caller_that_is_cancelled_takes_its_run_along(engine: LocalEngine) -> None:
    before = await result(engine, "pid")
    job = asyncio.create_task(run(engine, "hang"))
    await result(engine, "noop", device="b")
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert await result(engine, "pid") != before


async def test_two_devices_run_at_the_same_time(engine: LocalEngine, tmp_path: Path) -> None:
    fifos = [str(tmp_path / "x"), str(tmp_path / "y")]
    for fifo in fifos:
        os.mkfifo(fifo)
    answers = await asyncio.gather(  # each waits for the other: alone neither would end
        result(engine, "meet", json.dumps(fifos).encode(), device="a"),
        result(engine, "meet", json.dumps(fifos[::-1]).encode(), device="b"),
    )
    assert list(answers) == [b"there", b"here"]


async def test_output_of_a_run_is_in_its_log(engine: LocalEngine) -> None:
    outcome = await run(engine, "print", "grüß dich\n".encode())
    assert isinstance(outcome, Completed)
    assert (
        outcome.logs == "own log\ngrüß dich\nfrom-a-child"
        or outcome.logs == "own log\nfrom-a-childgrüß dich\n"
    )
    quiet = await run(engine, "noop")
    assert isinstance(quiet, Completed)
    assert quiet.quantum_seconds == pytest.approx(0, abs=1)
    assert quiet == Completed(b"", quiet.quantum_seconds, "")


async def test_a_flood_of_output_blocks_nobody_and_is_cut(engine: LocalEngine) -> None:
    flood, other = await asyncio.gather(run(engine, "flood", b"20000"), run(engine, "echo", b"x", device="b"))
    assert isinstance(flood, Completed)
    assert isinstance(other, Completed)
    assert len(flood.logs) < 70_000
    assert "more characters of output left out" in flood.logs


async def test_ctrl_c_and_sigterm_are_left_to_the_server(engine: LocalEngine) -> None:
    assert await result(engine, "signals", b"still here") == b"still here"


async def test_workers_do_not_share_their_random_numbers(engine: LocalEngine) -> None:
    assert await result(engine, "random") != await result(engine, "random", device="b")


async def test_what_a_run_started_does_not_outlive_its_worker(engine: LocalEngine) -> None:
    child = int(await result(engine, "child"))
    assert await run(engine, "segfault") == Crashed("SIGSEGV")
    await result(engine, "noop")
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
