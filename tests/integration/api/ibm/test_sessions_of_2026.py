"""Sessions under the profile ibm2026, as they look on the wire."""

from __future__ import annotations

from dataclasses import replace

from tests.integration.api.ibm.virtual import HOUR, House, Run, refusal


def test_ibm2026_ttl_and_default_max_time(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        for mode, ttl in (("dedicated", 60), ("batch", 1)):
            session = await ann.open("ibm", mode=mode)
            assert (await ann.session(session))["interactive_ttl"] == ttl
            await ann.ended((await ann.submit("ibm", session_id=session, cost=30))["id"])
            assert (await ann.session(session))["max_ttl"] == 8 * HOUR
            await h.advance(ttl - 0.001)
            assert await ann.state(session) == "active"
            await h.advance(0.001)
            assert await ann.state(session) == "inactive"
            # only a dedicated session pays for its holds
            assert [k for k, _ in await h.rows(session) if k == "held"] == ["held"] * (mode == "dedicated")
            await ann.close(session)

    run(body)


def test_ibm2026_a_hard_close_cancels_queued_jobs(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("ibm-slow")
        one, two = [(await ann.submit("ibm-slow", session_id=session))["id"] for _ in range(2)]
        await ann.running(one)
        await ann.close(session)
        state = (await ann.ended(two))["state"]
        assert (state["status"], state["reason_code"]) == ("Cancelled", 1217)
        assert await ann.state(session) == "pending_closed"

    run(body)


def test_ibm2026_a_cancelled_root_leaves_the_session(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        session = await ann.open("ibm-slow")
        root, other = [(await ann.submit("ibm-slow", session_id=session))["id"] for _ in range(2)]
        await ann.running(root)
        await ann.cancel(root)
        await ann.running(other)
        assert await ann.state(session) == "active"

    run(body)


def test_ibm2026_a_session_whose_only_job_was_cancelled_while_queued_still_ages_out(run: Run) -> None:
    async def body(h: House) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        await bob.running((await bob.submit("ibm-slow"))["id"])
        session = await ann.open("ibm-slow")
        await ann.cancel((await ann.submit("ibm-slow", session_id=session))["id"])
        assert await ann.state(session) == "open"
        await h.advance(1800)
        assert await ann.state(session) == "closed"

    run(body)


def test_ibm2026_a_project_on_the_open_plan_has_no_sessions(run: Run) -> None:
    async def body(h: House) -> None:
        ann = await h.user("ann")
        project = h.service.accounts.project(ann.project_id)
        await h.service.accounts.put(projects=[replace(project, plan="open")])
        opened = await ann.http.post("/sessions", json={"backend": "ibm", "mode": "batch"})
        assert ann.project in refusal(opened, 1352)
        assert opened.status_code == 400
        refusal(await ann.post_job("ibm", start_session=True), 1352)
        await ann.ended((await ann.submit("ibm"))["id"])  # job mode is open
        await ann.open("mock")  # and so are devices whose profile says so

    run(body)
