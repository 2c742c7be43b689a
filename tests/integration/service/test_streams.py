"""The event stream of a running service: every committed change, once, in order, for whom may see it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection
from starlette.types import Message

from sojourn.api.v1.events.sse import EventStream
from sojourn.config import LimitsSettings, RetentionSettings
from sojourn.service.errors import BadRequest, Busy, Expired, TooMany
from sojourn.service.events import streams
from sojourn.service.events.events import Event
from sojourn.service.events.streams import End, Stream
from sojourn.service.views import Principal
from sojourn.store import history
from sojourn.store.history import Kind, Wanted
from tests.harness.programs import job_body
from tests.harness.service import ServiceHarness
from tests.integration.service.operations import AT_ONCE, book, calibrated, operator

RunService = Callable[..., None]
DAY = 86_400.0
Line = tuple[str, str, str | None, str]


async def opened(
    h: ServiceHarness, who: Principal, last: int | None = None, *, follow: bool = True, **wanted: Any
) -> Stream:
    return await h.service.streams.open(who, Wanted(**wanted), last, follow=follow)


async def live(h: ServiceHarness, who: Principal, **wanted: Any) -> Stream:
    """One that has reached the present."""
    stream = await opened(h, who, **wanted)
    assert await stream.next() == []
    return stream


async def read(stream: Stream, until: Callable[[Event], bool]) -> list[Event]:
    found: list[Event] = []
    while not any(map(until, found)):
        assert stream.ended is None
        found += await stream.next()
    return found


async def past(h: ServiceHarness, who: Principal, last: int = 0, **wanted: Any) -> list[Event]:
    """Everything behind that id, up to now."""
    stream = await opened(h, who, last, follow=False, **wanted)
    found: list[Event] = []
    while stream.ended is None:
        found += await stream.next()
    assert stream.ended.reason is End.COMPLETE
    stream.close()
    return found


def lines(events: list[Event]) -> list[Line]:
    return [(e.entry.kind, e.entry.entity, e.entry.before, e.entry.after) for e in events]


def ids(events: list[Event]) -> list[int]:
    return [event.entry.id for event in events]


def ends(job_id: str) -> Callable[[Event], bool]:
    return lambda e: e.entry.entity == job_id and e.entry.after in ("completed", "failed", "cancelled")


def test_a_stream_tells_each_change_once_and_resumes_from_every_one_of_them(run_service: RunService) -> None:
    seen: list[Event] = []

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        stream = await live(h, ann, kinds=frozenset({Kind.JOB}))
        job = await h.submit(ann, job_body())
        seen.extend(await read(stream, ends(job.id)))
        assert lines(seen) == [
            ("job", job.id, None, "accepted"),
            ("job", job.id, "accepted", "queued"),
            ("job", job.id, "queued", "running"),
            ("job", job.id, "running", "completed"),
        ]
        assert ids(seen) == sorted(set(ids(seen)))
        assert {(e.user, e.project, e.entry.device) for e in seen} == {("ann", "anns", "mock")}
        for number, event in enumerate(seen):
            rest = await past(h, ann, event.entry.id, kinds=frozenset({Kind.JOB}))
            assert ids(rest) == ids(seen[number + 1 :])
        stream.close()

    async def after_a_restart(h: ServiceHarness) -> None:
        ann = h.service.accounts.principal(h.service.accounts.user_id("ann"), None)
        stream = await opened(h, ann, ids(seen)[1], kinds=frozenset({Kind.JOB}))
        assert ids(await stream.next()) == ids(seen)[2:]
        job = await h.submit(ann, job_body())
        assert len(await read(stream, ends(job.id))) == 4
        stream.close()

    run_service(body, after_a_restart)


def test_everybody_is_told_what_they_may_see_and_nothing_else(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob, op = await h.user("ann"), await h.user("bob"), operator(h)
        everybody = {who.user: await live(h, who) for who in (ann, bob, op)}
        of_ann = await h.submit(ann, job_body())
        session = await h.service.sessions.open(bob, device="mock", mode="batch", max_time=None)
        made = await book(h, op, project="anns", start=h.clock.now() + DAY)
        await h.service.control.halt(op, "slow", "paused", "cold")
        assert made.id is not None
        told = {
            name: await read(stream, lambda e: e.entry.after == "paused")
            for name, stream in everybody.items()
        }
        subjects = {
            name: {(e.entry.kind, e.entry.entity) for e in events if e.entry.kind != "calibration"}
            for name, events in told.items()
        }
        paused = ("device", "slow")
        assert subjects["ann"] == {("job", of_ann.id), ("reservation", made.id), paused}
        assert subjects["bob"] == {("session", session.id), paused}
        assert subjects[op.user] >= subjects["ann"] | subjects["bob"]
        whole = {who.user: await past(h, who) for who in (ann, bob, op)}
        assert {e.user for e in whole["bob"]} == {"bob", None}
        assert {e.user for e in whole["ann"]} >= {"ann", None}
        assert "bob" not in {e.user for e in whole["ann"]}
        for name, events in told.items():  # live and past are the same
            assert set(ids(events)) <= set(ids(whole[name]))
        for stream in everybody.values():
            stream.close()

    run_service(body, sections=AT_ONCE)


def test_in_another_project_a_user_is_not_told_of_the_jobs_of_the_first(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.user("bob")
        key = await h.service.users.add("ann", "bobs")
        elsewhere = h.service.accounts.principal(ann.user_id, key.instance)
        assert elsewhere.project == "bobs"
        job = await h.submit(ann, job_body())
        await h.ended(ann, job.id)
        assert not [e for e in await past(h, elsewhere) if e.user]
        assert len([e for e in await past(h, ann) if e.user]) == 4

    run_service(body)


def test_a_calibration_and_its_job_are_told_to_operators_and_the_calibration_to_everybody(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.service.devices.description("mock")
        await h.settled()
        stream = await live(h, ann, device="mock")
        job = await calibrated(h, "mock")
        assert lines(await read(stream, lambda e: e.entry.kind == "calibration")) == [
            ("calibration", "cal-2", "cal-1", "cal-2")
        ]
        stream.close()
        seen = lines(await past(h, operator(h), device="mock"))
        assert ("job", job.id, "running", "completed") in seen
        assert ("calibration", "cal-1", None, "cal-1") in seen

    run_service(body)


@pytest.mark.parametrize(
    ("wanted", "kinds"),
    [
        ({"device": "mock"}, {"job", "session", "calibration"}),
        ({"device": "slow", "kinds": frozenset({Kind.DEVICE})}, {"device"}),
        ({"session": "the session"}, {"job", "session"}),
        ({"job": "the job"}, {"job"}),
        ({"project": "the project"}, {"job", "session"}),
    ],
    ids=["device", "kind", "session", "job", "project"],
)
def test_filters_are_the_same_for_the_past_and_the_present(
    run_service: RunService, wanted: dict[str, Any], kinds: set[str]
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob, op = await h.user("ann"), await h.user("bob"), operator(h)
        for device in ("mock", "slow"):
            await h.service.devices.description(device)
        session = await h.service.sessions.open(ann, device="mock", mode="batch", max_time=None)
        await h.service.control.halt(op, "mock", "paused")
        await h.service.control.resume(op, "mock")
        job = await h.submit(ann, job_body(session_id=session.id))
        ready = {"the session": session.id, "the job": job.id, "the project": ann.project_id}
        chosen: dict[str, Any] = {
            name: ready.get(value, value) if isinstance(value, str) else value
            for name, value in wanted.items()
        }

        newest = await h.service.parts.store.read(history.newest_id)
        stream = await opened(h, op, newest, **chosen)
        await h.submit(bob, job_body())
        await h.service.control.halt(op, "slow", "draining")
        await h.ended(ann, job.id)
        await h.service.sessions.close(ann, session.id)
        await h.settled()
        whole = await past(h, op, **chosen)
        expected = ids(await past(h, op, newest, **chosen))
        found: list[Event] = []
        while len(found) < len(expected):
            found += await stream.next()
        stream.close()
        assert ids(found) == expected
        assert {e.entry.kind for e in whole} - {"device"} <= kinds | {"device"}
        for event in whole:
            assert event.entry.device == chosen.get("device", event.entry.device)
            assert event.entry.session_id == chosen.get("session", event.entry.session_id)
            assert event.entry.project_id == chosen.get("project", event.entry.project_id)
        assert kinds <= {e.entry.kind for e in whole}

    run_service(body)


def test_streams_that_begin_at_any_moment_miss_nothing_and_hear_nothing_twice(
    run_service: RunService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kind: what lies at the change from the past to the present, with pages of a few entries."""
    monkeypatch.setattr(streams, "PAGE", 7)
    chance = random.Random(5)

    async def body(h: ServiceHarness) -> None:
        op, store, feed = operator(h), h.service.parts.store, h.service.parts.records._feed
        begin = await store.read(history.newest_id)
        last = begin + 600

        async def reader(number: int) -> None:
            for _ in range(number):
                await asyncio.sleep(0)
            newest = await store.read(history.newest_id)
            start = chance.randint(begin, newest)
            stream = await opened(h, op, start)
            found: list[int] = []
            while not found or found[-1] < last:
                found += ids(await stream.next())
                assert stream.ended is None
                if chance.random() < 0.02:  # it comes back, as after a cut
                    stream.close()
                    stream = await opened(h, op, found[-1] if found else start)
            stream.close()
            assert found[: last - start] == list(range(start + 1, last + 1))

        readers = [asyncio.ensure_future(reader(chance.randint(0, 400))) for _ in range(15)]
        for number in range(600):
            done = store.submit(_note(str(number)), lambda _: feed.publish())
            if chance.random() < 0.3:
                await done
        await asyncio.gather(*readers)
        assert h.service.streams.state()["held"] == 0

    run_service(body)


def test_what_a_reader_had_before_the_stream_was_told_of_it_is_not_told_again(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        op, store, feed = operator(h), h.service.parts.store, h.service.parts.records._feed
        begin = await store.read(history.newest_id)
        first = await opened(h, op, begin)
        assert await first.next() == []  # it is live, and the pump stands at `begin`
        await store.submit(_note("known"))  # committed, and not announced yet
        second = await opened(h, op, begin + 1)
        assert await second.next() == []
        await store.submit(_note("new"), lambda _: feed.publish())
        for stream, missed in ((first, 1), (second, 2)):
            found: list[int] = []
            while begin + 2 not in found:
                found += ids(await stream.next())
            assert found == list(range(begin + missed, begin + 3))
            stream.close()

    run_service(body)


def _note(name: str) -> Callable[[Connection], None]:
    return lambda c: history.add(
        c, Kind.DEVICE, name, at=0.0, device="mock", cause="x", before="a", after="b"
    )


def test_a_reader_that_does_not_keep_up_is_ended_and_resumes_where_it_was(
    run_service: RunService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_WAITING", 20)

    async def body(h: ServiceHarness) -> None:
        ann, store = await h.user("ann"), h.service.parts.store
        slow, quick = await live(h, ann), await live(h, ann)
        start = slow.cursor
        got: list[Event] = []
        for number in range(60):
            await store.write(_note(str(number)))
            h.service.parts.records._feed.publish()
            while len(got) <= number:
                got += await quick.next()
        assert await slow.next() == []
        assert slow.ended is not None
        assert slow.ended.reason is End.SLOW
        assert slow.cursor == start
        again = ids(await past(h, ann, slow.cursor))  # and what the workers have found since
        assert again[: len(got)] == ids(got)
        assert quick.ended is None
        slow.close()
        quick.close()

    run_service(body)


def test_one_more_stream_than_a_user_or_the_server_may_have_is_refused_until_one_is_closed(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        first = await opened(h, ann)
        await opened(h, ann)
        with pytest.raises(TooMany, match=r"User ann has 2 event streams .* limit is 2 \(streams_per_user\)"):
            await opened(h, ann)
        with pytest.raises(BadRequest):  # it takes no place
            await opened(h, bob, 10**6)
        await opened(h, bob)
        with pytest.raises(Busy, match=r"has 3 event streams open, the most that it takes \(streams\)"):
            await opened(h, bob)
        first.close()
        first.close()
        await opened(h, bob)
        assert h.service.streams.state() == {"held": 3, "of": 3}

    run_service(body, sections={"limits": LimitsSettings(streams_per_user=2)}, server={"streams": 3})


def test_a_past_that_retention_has_deleted_is_expired_and_one_that_is_not_there_yet_refused(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        await h.ended(ann, (await h.submit(ann, job_body())).id)
        old = ids(await past(h, ann))
        h.clock.advance(3 * DAY)
        await h.ended(ann, (await h.submit(ann, job_body())).id)
        await h.service.parts.retention.run()
        gone, newest = await h.service.parts.store.read(history.ends)
        assert old[-1] <= gone < newest
        with pytest.raises(
            Expired, match=f"up to the id {gone} have been deleted.* from {gone} on"
        ) as refusal:
            await opened(h, ann, old[0])
        assert refusal.value.code == 1292
        assert len([e for e in await past(h, ann, gone) if e.user]) == 4
        with pytest.raises(BadRequest, match=f"no event {newest + 1} yet: the newest has the id {newest}"):
            await opened(h, ann, newest + 1)

    run_service(body, sections={"retention": RetentionSettings(story_days=2)})


def test_who_is_told_of_the_end_of_a_job_is_not_shown_an_older_state(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        stream = await live(h, ann, kinds=frozenset({Kind.JOB}))
        jobs = {(await h.submit(ann, job_body())).id for _ in range(20)}
        while jobs:
            for event in await stream.next():
                view = await h.service.jobs.get(ann, event.entry.entity)
                if event.entry.after == "completed":
                    assert view.state == "completed"
                    jobs.discard(event.entry.entity)
        stream.close()

    run_service(body)


def test_streams_end_when_the_service_stops_and_no_new_ones_begin(run_service: RunService) -> None:
    found: list[Stream] = []

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        found.append(await live(h, ann))
        found.append(await opened(h, ann, 0))
        waiting = asyncio.ensure_future(found[0].next())
        await asyncio.sleep(0)
        h.service.streams.release()
        assert await waiting == []
        with pytest.raises(Busy, match="stopping"):
            await opened(h, ann)

    run_service(body)
    assert [stream.ended and stream.ended.reason for stream in found] == [End.STOPPING] * 2


def test_a_stream_without_events_gives_a_sign_of_life_from_which_it_can_resume(
    run_service: RunService,
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        stream = await live(h, ann, kinds=frozenset({Kind.JOB}))
        start = stream.cursor
        await h.ended(bob, (await h.submit(bob, job_body())).id)
        while stream.cursor == start:
            assert await stream.next() == []  # after a second each
        assert stream.cursor >= start + 4
        stream.close()

    run_service(body, server={"heartbeat_seconds": 1.0})


class Wire:
    """The far end of one answer: what has come, and whether it takes more."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.open = asyncio.Event()
        self.open.set()
        self.gone = asyncio.Event()

    async def send(self, message: Message) -> None:
        await self.open.wait()
        self.parts.append(message.get("body", b""))

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}


def test_a_connection_that_takes_nothing_is_told_when_it_does_again_and_can_resume(
    run_service: RunService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_WAITING", 20)

    async def body(h: ServiceHarness) -> None:
        op, store, feed = operator(h), h.service.parts.store, h.service.parts.records._feed
        stream, wire = await opened(h, op, kinds=frozenset({Kind.DEVICE})), Wire()
        answer = asyncio.ensure_future(EventStream(stream, lambda: op)({}, wire.receive, wire.send))
        while len(wire.parts) < 3:  # the head, when to come back, where it is
            await h.settled()
        wire.open.clear()
        while stream.ended is None:
            await store.write(_note("x"))
            feed.publish()
        wire.open.set()
        await answer
        *told, end, last = wire.parts[3:]
        assert last == b""
        table = json.loads(end.split(b"data: ")[1])
        assert (end.startswith(b"event: end\n"), table["reason"]) == (True, "slow")
        got = [int(line[4:]) for part in told for line in part.split(b"\n") if line.startswith(b"id: ")]
        assert table["last_event_id"] == (got[-1] if got else int(wire.parts[2].split(b"id: ")[1]))
        rest = await past(h, op, table["last_event_id"], kinds=frozenset({Kind.DEVICE}))
        whole = ids(await past(h, op, kinds=frozenset({Kind.DEVICE})))
        assert got + ids(rest) == whole
        assert h.service.streams.state()["held"] == 0

    run_service(body)


def test_a_connection_that_ends_gives_its_place_back_at_once(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        stream, wire = await opened(h, ann), Wire()
        answer = asyncio.ensure_future(EventStream(stream, lambda: ann)({}, wire.receive, wire.send))
        while len(wire.parts) < 3:
            await h.settled()
        wire.gone.set()
        await answer
        assert h.service.streams.state()["held"] == 0
        assert stream.ended is not None

    run_service(body)
