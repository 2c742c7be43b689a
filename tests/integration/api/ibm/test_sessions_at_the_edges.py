"""Sessions at the edges, as they look on the wire: the whole application in virtual time, real workers."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from sojourn.core import events as ev
from tests.integration.api.ibm.virtual import HOUR, House, Run, refusal

pytestmark = pytest.mark.timeout(60)


# max_time


def test_r19_d2_the_details_say_the_system_limit_until_the_root_starts_and_then_its_limit(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        for more, limit in (({}, 10_000), ({"cost": 120}, 120)):
            session = await ann.open("slow")
            assert (await ann.session(session))["max_ttl"] == 8 * HOUR
            job = await ann.submit("slow", session_id=session, **more)
            await ann.running(job["id"])
            details = await ann.session(session)
            assert details["max_ttl"] == details["active_ttl"] == limit
            assert details["started_at"] is not None
            await ann.close(session)
            await ann.cancel(job["id"])

    run(body)


def test_r20_a_time_above_the_limit_is_refused_with_the_limit(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        reply = await ann.http.post("/sessions", json={"backend": "slow", "max_ttl": 28801})
        assert "28800" in reply.json()["error"]["message"]
        assert reply.status_code == 400
        session = await ann.open("slow", max_ttl=60)
        message = refusal(await ann.post_job("slow", session_id=session, cost=61), 1219)
        assert "61 s" in message
        assert "60 s" in message

    run(body)


# implicit sessions of the 2023 client


def test_an_implicit_session_has_the_id_of_its_root_job(run: Run) -> None:
    async def body(h: House) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        root = await ann.submit("mock", start_session=True, session_time=600)
        assert root["session_id"] == root["id"]
        session = root["id"]
        details = await ann.session(session)
        assert (details["id"], details["mode"], details["max_ttl"]) == (session, "dedicated", 600)
        await ann.ended(session)
        foreign = await bob.submit("mock")
        later = await ann.submit("mock", session_id=session)
        assert later["session_id"] == session
        assert (await ann.ended(later["id"]))["state"]["status"] == "Completed"
        assert await bob.status(foreign["id"]) == "Queued"  # R2
        assert await ann.state(session) == "active"
        await h.advance(600)
        assert await ann.state(session) == "closed"
        assert "max_time of 600 s" in (await ann.session(session))["state_reason"]

    run(body)


def test_an_implicit_session_and_its_root_job_have_steps_of_their_own_in_every_view(run: Run) -> None:
    """They have one id. The list is read from the store, the details are in memory until a restart."""

    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = (await ann.submit("mock", start_session=True, session_time=600))["id"]
        await ann.ended(session)
        await ann.close(session)
        steps = (await ann.session(session))["timestamps"]
        assert [step["status"] for step in steps] == ["open", "active", "closed"]
        (listed,) = (await ann.ask("GET", "/sessions"))["sessions"]
        assert listed["timestamps"] == steps
        who = h.service.accounts.principal(ann.user_id, None)
        told = [line.after for line in await h.service.jobs.history(who, session)]
        assert told == ["accepted", "queued", "running", "completed"]

    run(body)


def test_an_implicit_session_without_a_time_lasts_as_its_root_may_run(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        root = await ann.submit("mock", start_session=True)
        await ann.ended(root["id"])
        assert (await ann.session(root["id"]))["max_ttl"] == 10_000

    run(body)


def test_a_refused_implicit_session_leaves_nothing_behind(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        too_long = await ann.post_job("mock", start_session=True, session_time=28801)
        assert "28800" in refusal(too_long, 1219)
        session = await ann.open("mock")
        both = await ann.post_job("mock", start_session=True, session_id=session)
        assert both.status_code == 400
        await ann.close(session)
        states = [s["state"] for s in (await ann.ask("GET", "/sessions"))["sessions"]]
        assert set(states) == {"closed"}

    run(body)


# ageing out


def test_r26_a_session_never_used_ends_and_says_why(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("mock")
        await h.advance(1799.999)
        assert await ann.state(session) == "open"
        await h.advance(0.001)
        assert await ann.state(session) == "closed"
        details = await ann.session(session)
        assert details["accepting_jobs"] is False
        assert "not used within 1800 s" in details["state_reason"]
        assert [s["status"] for s in details["timestamps"]] == ["open", "closed"]
        assert "not used" in refusal(await ann.post_job("mock", session_id=session), 1217)

    run(body)


def test_r23_r27_r28_deactivated_and_resumed_on_the_wire(run: Run) -> None:
    async def body(h: House) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        session = await ann.open("mock", max_ttl=4000)
        await ann.ended((await ann.submit("mock", session_id=session))["id"])
        foreign = await bob.submit("mock")
        await h.advance(300)
        await bob.ended(foreign["id"])
        assert await ann.state(session) == "inactive"
        await ann.ended((await ann.submit("mock", session_id=session))["id"])
        details = await ann.session(session)
        assert details["state"] == "active"
        assert details["active_ttl"] == 3700  # R17
        steps = [s["status"] for s in details["timestamps"]]
        assert steps == ["open", "active", "inactive", "active"]

    run(body)


# ends


def test_r34_a_job_that_was_not_queued_yet_goes_on_as_a_plain_one(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("mock")
        await ann.ended((await ann.submit("mock", session_id=session))["id"])
        with h.preparation_stopped():
            late = await ann.submit("mock", session_id=session, tags=["late"])
            assert (await ann.job(late["id"]))["state"]["status"] == "Queued"
            await ann.close(session)
            assert await ann.state(session) == "closed"
            assert (await ann.job(late["id"]))["state"]["status"] == "Queued"
        assert (await ann.ended(late["id"]))["state"]["status"] == "Completed"

    run(body)


def test_r34_it_fails_at_its_start_when_the_cached_data_has_expired(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("mock", max_ttl=60)
        await ann.ended((await ann.submit("mock", session_id=session))["id"])
        with h.preparation_stopped():
            late = await ann.submit("mock", session_id=session, tags=["later"])
            await h.advance(60 + HOUR + 1)
        state = (await ann.ended(late["id"]))["state"]
        assert (state["status"], state["reason_code"]) == ("Failed", 1221)
        assert session in state["reason"]

    run(body)


def test_r33_r36_r37_a_hard_close_is_pending_until_the_running_job_ends(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("slow", max_ttl=2000)
        jobs = [(await ann.submit("slow", session_id=session, cost=100))["id"] for _ in range(3)]
        await ann.running(jobs[0])
        await ann.close(session)
        await ann.close(session)  # R38
        assert await ann.state(session) == "pending_closed"
        for job in jobs[1:]:
            state = (await ann.job(job))["state"]
            assert (state["status"], state["reason_code"]) == ("Failed", 1217)
            assert session in state["reason"]
            assert "closed by the user" in state["reason"]
        assert await ann.status(jobs[0]) == "Running"
        assert "1217" in str((await ann.post_job("slow", session_id=session)).json())  # R35
        await h.advance(100)  # its own limit ends it
        assert (await ann.job(jobs[0]))["status"] == "Cancelled - Ran too long"
        assert await ann.state(session) == "closed"

    run(body)


def test_r38a_draining_runs_what_is_there_and_ends_at_once(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("slow", max_ttl=2000)
        one, two = [(await ann.submit("slow", session_id=session, cost=100))["id"] for _ in range(2)]
        await ann.running(one)
        await ann.drain(session)
        await ann.drain(session)
        details = await ann.session(session)
        assert (details["state"], details["accepting_jobs"]) == ("active", False)
        refusal(await ann.post_job("slow", session_id=session), 1217)
        again = await ann.http.patch(f"/sessions/{session}", json={"accepting_jobs": True})
        assert again.status_code == 409
        await ann.cancel(two)
        await h.advance(100)
        assert await ann.state(session) == "closed"
        assert "its last job was done" in (await ann.session(session))["state_reason"]

    run(body)


def test_a_batch_locks_the_device_and_is_closed_hard(run: Run) -> None:
    async def body(h: House) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        batch = await ann.open("slow", mode="batch", max_ttl=3600)
        jobs = [(await ann.submit("slow", session_id=batch, cost=10))["id"] for _ in range(3)]
        foreign = (await bob.submit("slow", cost=10))["id"]
        await ann.running(jobs[0])
        await h.advance(10)
        await ann.running(jobs[1])
        assert await bob.status(foreign) == "Queued"
        assert (await ann.session(batch))["mode"] == "batch"
        await ann.close(batch)
        await h.advance(10)
        assert (await ann.ended(jobs[2]))["state"]["status"] == "Failed"
        await bob.running(foreign)

    run(body)


# the root


@pytest.mark.parametrize("when", ["running", "queued"])
def test_r40_cancelling_the_root_ends_the_session_and_every_message_names_it(run: Run, when: str) -> None:
    async def body(h: House) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        if when == "queued":
            await bob.running((await bob.submit("slow"))["id"])
        session = await ann.open("slow")
        root, other = [(await ann.submit("slow", session_id=session))["id"] for _ in range(2)]
        if when == "running":
            await ann.running(root)
        await ann.cancel(root)
        assert await ann.status(root) == "Cancelled"
        state = (await ann.ended(other))["state"]
        assert (state["status"], state["reason_code"]) == ("Failed", 1220)
        assert f"first job {root} was cancelled" in state["reason"]
        assert await ann.state(session) == "closed"
        assert root in (await ann.session(session))["state_reason"]
        assert root in refusal(await ann.post_job("slow", session_id=session), 1217)
        assert root in str((await ann.http.get(f"/jobs/{other}/results")).text)

    run(body)


@pytest.mark.parametrize("when", ["running", "queued"])
def test_r40_deleting_the_root_is_cancelling_it_for_its_session(run: Run, when: str) -> None:
    async def body(h: House) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        if when == "queued":
            await bob.running((await bob.submit("slow"))["id"])
        session = await ann.open("slow")
        root, other = [(await ann.submit("slow", session_id=session))["id"] for _ in range(2)]
        if when == "running":
            await ann.running(root)
            h.clock.advance(30)
        await ann.ask("DELETE", f"/jobs/{root}")
        assert (await ann.http.get(f"/jobs/{root}")).status_code == 404
        state = (await ann.ended(other))["state"]
        assert (state["status"], state["reason_code"]) == ("Failed", 1220)
        assert f"first job {root} was cancelled" in state["reason"]
        assert await ann.state(session) == "closed"
        assert root in (await ann.session(session))["state_reason"]
        assert root in refusal(await ann.post_job("slow", session_id=session), 1217)

    run(body)


def test_deleting_another_job_of_a_session_leaves_the_session(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("slow")
        root, second, third = [(await ann.submit("slow", session_id=session))["id"] for _ in range(3)]
        await ann.running(root)
        await ann.ask("DELETE", f"/jobs/{second}")
        assert await ann.state(session) == "active"
        await ann.cancel(third)
        assert await ann.status(root) == "Running"

    run(body)


def test_r41_a_root_that_could_not_be_prepared_counts_as_cancelled(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("mock")
        with h.preparation_stopped():
            root = await ann.submit("mock", session_id=session, params={"pubs": 3})
            other = await ann.submit("mock", session_id=session)
        assert (await ann.ended(root["id"]))["state"]["status"] == "Failed"
        state = (await ann.ended(other["id"]))["state"]
        assert (state["status"], state["reason_code"]) == ("Failed", 1220)
        assert f"first job {root['id']} failed before its data was prepared" in state["reason"]
        assert root["id"] in refusal(await ann.post_job("mock", session_id=session), 1217)

    run(body)


def test_r41_a_root_that_was_stopped_at_its_limit_leaves_a_usable_session(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("slow", max_ttl=2000)
        root = await ann.submit("slow", session_id=session, cost=10)
        await ann.running(root["id"])
        await h.advance(10)
        await ann.ended(root["id"])
        await ann.running((await ann.submit("slow", session_id=session))["id"])
        assert await ann.state(session) == "active"

    run(body)


# reservations


def test_d12_at_a_windows_end_a_session_with_a_running_job_is_pending_inactive(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        start = h.clock.now() + 10
        booked = ev.ReservationBooked(f"r{uuid.uuid4().hex}", ann.project_id, ann.user_id, start, start + 900)
        await h.service.parts.lanes.dispatchers["slow"].feed(booked)
        await h.advance(10)
        session = await ann.open("slow", max_ttl=20_000)
        one, two = [(await ann.submit("slow", session_id=session, cost=1000))["id"] for _ in range(2)]
        await ann.running(one)
        await h.advance(900)
        assert await ann.state(session) == "pending_inactive"
        state = (await ann.ended(two))["state"]
        assert (state["status"], state["reason_code"]) == ("Failed", 1222)
        assert booked.reservation_id in state["reason"]
        operator = await h.service.sessions.find(
            replace(h.service.accounts.principal(ann.user_id, None), operator=True), 5
        )
        assert session in {view.id for view in operator}
        await h.advance(100)
        assert await ann.state(session) == "inactive"

    run(body)


# accounts


def test_d15_elapsed_time_is_the_sum_of_the_ledger_rows(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("slow", max_ttl=5000)
        for length in (10, 25):
            job = await ann.submit("slow", session_id=session, cost=length)
            await ann.running(job["id"])
            worker = h.worker("slow")
            await h.advance(length)
            ended = await ann.ended(job["id"])
            assert ended["usage"]["quantum_seconds"] == length
            await h.follows("slow", worker)  # nobody pays for a device that is not there
            await h.advance(40)  # held
        assert (await ann.session(session))["elapsed_time"] == 10 + 40 + 25 + 40  # the hold is under way
        await ann.close(session)
        rows = await h.rows(session)
        assert sorted(rows) == [("held", 40), ("held", 40), ("job", 10), ("job", 25)]
        assert (await ann.session(session))["elapsed_time"] == 115
        used = await ann.ask("GET", "/instances/usage")
        assert used["usage_consumed_seconds"] == 115

    run(body)
