"""Webhooks of a running service: signed, in order, at least once, each receiver by itself, and only where the
operator allows."""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sojourn.config import WebhookSettings
from sojourn.service.errors import BadRequest, Conflict, Expired, Forbidden, NotFound
from sojourn.service.projects.projects import MemberChange, ProjectChange
from sojourn.service.views import Principal
from sojourn.service.webhooks.messages import signature
from sojourn.service.webhooks.webhooks import WebhookView
from sojourn.store import history
from sojourn.store.history import Kind
from tests.harness.programs import job_body
from tests.harness.service import ServiceHarness
from tests.integration.service.operations import operator

RunService = Callable[..., None]
HERE = {"webhooks": WebhookSettings(allow=("127.0.0.0/8", "::1/128"), disable_after=3, timeout_seconds=5.0)}
PATIENCE = 60.0


class Got:
    """A request as a receiver has it."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path, self.headers, self.body = path, headers, body
        self.data: dict[str, Any] = json.loads(body)["data"]

    def verify(self, secret: str) -> None:
        named = (self.headers["webhook-id"], self.headers["webhook-timestamp"])
        assert self.headers["webhook-signature"] == signature(secret, *named, self.body)

    @property
    def change(self) -> tuple[str, str, str | None, str]:
        return self.data["kind"], self.data["subject"], self.data["before"], self.data["after"]


class Receiver:
    """Answers with the statuses of `answers`, one after the other, and then with 204."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[int] = []
        self.got: queue.SimpleQueue[Got] = queue.SimpleQueue()

    async def next(self) -> Got:
        return await asyncio.to_thread(self.got.get, True, PATIENCE)


@contextmanager
def receiving() -> Iterator[Receiver]:
    made = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status = made.answers.pop(0) if made.answers else 204
            made.got.put(Got(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", f"{made.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


async def added(h: ServiceHarness, url: str, project: str = "anns", *kinds: Kind) -> WebhookView:
    made = await h.service.webhooks.add(operator(h), project, url, kinds or (Kind.JOB,))
    assert made.secret is not None
    return made


async def seen(h: ServiceHarness, hook: WebhookView, done: Callable[[WebhookView], bool]) -> WebhookView:
    """The webhook, once something is so."""
    while True:
        found = {v.id: v for v in h.service.webhooks.of_project(operator(h), hook.project)}[hook.id]
        if done(found):
            return found
        await h.settled()


async def ended(h: ServiceHarness, who: Principal) -> str:
    job = await h.submit(who, job_body())
    await h.ended(who, job.id)
    return job.id


STEPS = [(None, "accepted"), ("accepted", "queued"), ("queued", "running"), ("running", "completed")]


def changes(job_id: str) -> list[tuple[str, str, str | None, str]]:
    return [("job", job_id, before, after) for before, after in STEPS]


def test_the_events_of_a_project_are_delivered_in_order_and_signed(
    run_service: RunService, receiver: Receiver
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob = await h.user("ann"), await h.user("bob")
        await ended(h, ann)  # before it was made
        hook = await added(h, receiver.url)
        await ended(h, bob)
        job = await ended(h, ann)
        got = [await receiver.next() for _ in range(4)]
        assert [each.change for each in got] == changes(job)
        for each in got:
            assert hook.secret is not None
            each.verify(hook.secret)
            assert each.path == "/hook"
            assert each.headers["content-type"] == "application/json"
            assert (each.data["user"], each.data["project"], "reason" in each.data) == ("ann", "anns", False)
            assert abs(int(each.headers["webhook-timestamp"]) - h.clock.date()) < 2
        found = await seen(h, hook, lambda v: v.last_event_id >= got[-1].data["id"])
        assert (found.failures, found.error, found.secret) == (0, None, None)

    run_service(body, sections=HERE)


def test_what_failed_is_delivered_again_after_a_pause_and_nothing_overtakes_it(
    run_service: RunService, receiver: Receiver
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        hook = await added(h, receiver.url)
        receiver.answers = [204, 500, 503]
        job = await ended(h, ann)
        first, failed = await receiver.next(), await receiver.next()
        found = await seen(h, hook, lambda v: v.failures == 1)
        assert found.error == "It answered 500."
        assert found.next_attempt is not None
        assert 3.9 <= found.next_attempt - h.clock.now() <= 6.1
        assert receiver.got.empty()
        h.clock.advance(6.1)
        again = await receiver.next()
        found = await seen(h, hook, lambda v: v.failures == 2)
        assert found.next_attempt is not None
        assert found.next_attempt - h.clock.now() > 7.9
        h.clock.advance(13)
        rest = [await receiver.next() for _ in range(3)]
        assert failed.headers["webhook-id"] == again.headers["webhook-id"] == rest[0].headers["webhook-id"]
        assert failed.body == again.body == rest[0].body
        assert [each.change for each in (first, *rest)] == changes(job)
        assert (await seen(h, hook, lambda v: v.failures == 0)).error is None

    run_service(body, sections=HERE)


def test_a_receiver_that_is_dead_holds_up_no_other_and_is_disabled_with_a_reason(
    run_service: RunService, receiver: Receiver
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{nobody.getsockname()[1]}/"

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        lost, well = await added(h, dead), await added(h, receiver.url)
        jobs = []
        for failures in (1, 2, 3):
            jobs.append(await ended(h, ann))
            assert [(await receiver.next()).change for _ in range(4)] == changes(jobs[-1])
            found = await seen(h, lost, lambda v, failures=failures: v.failures == failures)  # type: ignore[misc]
            assert "cannot be reached" in (found.error or "")
            h.clock.advance(60)
        found = await seen(h, lost, lambda v: v.disabled is not None)
        assert "Disabled after 3 failed attempts in a row; the last: It cannot be reached" in (
            found.disabled or ""
        )
        entries = await h.service.audit.find(action="webhook.disabled")
        assert [entry.subject for entry in entries] == [f"webhook {lost.id}"]
        assert (await seen(h, well, lambda v: v.failures == 0)).disabled is None
        with pytest.raises(Conflict, match="is disabled"):
            await h.service.webhooks.replay(operator(h), "anns", lost.id, 0)
        await h.service.webhooks.change(operator(h), "anns", lost.id, url=receiver.url, enabled=True)
        late = [(await receiver.next()).change for _ in range(12)]
        assert late == [change for job in jobs for change in changes(job)]

    run_service(body, sections=HERE)


def test_operators_see_how_many_receivers_fail_and_how_many_messages_came_through(
    run_service: RunService, receiver: Receiver
) -> None:
    async def body(h: ServiceHarness) -> None:
        webhooks, ann = h.service.webhooks, await h.user("ann")
        receiver.answers = [204, 500]
        hook = await added(h, receiver.url)
        off = await added(h, receiver.url)
        await webhooks.change(operator(h), "anns", off.id, enabled=False)
        assert webhooks.state() == {"working": 1, "failing": 0, "disabled": 1}
        await ended(h, ann)
        await seen(h, hook, lambda v: v.failures == 1)
        assert webhooks.state() == {"working": 0, "failing": 1, "disabled": 1}
        assert webhooks.attempts() == {"delivered": 1, "failed": 1}

    run_service(body, sections=HERE)


def test_after_a_restart_delivery_goes_on_where_it_was(run_service: RunService, receiver: Receiver) -> None:
    job: list[str] = []

    async def before(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        receiver.answers = [204, 204, 500]
        hook = await added(h, receiver.url)
        job.append(await ended(h, ann))
        for _ in range(3):
            await receiver.next()
        await seen(h, hook, lambda v: v.failures == 1)
        await h.settled()

    async def after(h: ServiceHarness) -> None:
        h.clock.advance(10)
        assert [(await receiver.next()).change for _ in range(2)] == changes(job[0])[2:]
        (hook,) = h.service.webhooks.of_project(operator(h), "anns")
        await seen(h, hook, lambda v: v.failures == 0)
        assert receiver.got.empty()

    run_service(before, after, sections=HERE)


def test_a_replay_delivers_once_more_what_is_behind_an_event(
    run_service: RunService, receiver: Receiver
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, op, webhooks = await h.user("ann"), operator(h), h.service.webhooks
        hook = await added(h, receiver.url)
        await ended(h, ann)
        got = [await receiver.next() for _ in range(4)]
        await webhooks.replay(op, "anns", hook.id, got[1].data["id"])
        again = [await receiver.next() for _ in range(2)]
        assert [each.headers["webhook-id"] for each in again] == [
            each.headers["webhook-id"] for each in got[2:]
        ]
        newest = await h.service.parts.store.read(history.newest_id)
        with pytest.raises(BadRequest, match=f"no event {newest + 1} yet"):
            await webhooks.replay(op, "anns", hook.id, newest + 1)
        await h.service.parts.store.write(history.remove, [1])
        with pytest.raises(Expired, match="Replay from 1 on"):
            await webhooks.replay(op, "anns", hook.id, 0)

    run_service(body, sections=HERE)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_an_address_that_the_operator_does_not_allow_is_refused_also_behind_a_name(
    run_service: RunService, receiver: Receiver, host: str
) -> None:
    """The kind: a request that somebody else makes the server send into its own network."""

    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        url = receiver.url.replace("127.0.0.1", host)
        if host == "127.0.0.1":
            with pytest.raises(BadRequest, match="not a public address"):
                await added(h, url)
            return
        hook = await added(h, url)
        await ended(h, ann)
        found = await seen(h, hook, lambda v: v.failures > 0)
        assert "is not a public address, and not one of those that the operator allows" in (found.error or "")
        assert receiver.got.empty()

    run_service(body)


def test_a_name_of_an_allowed_address_is_used_and_a_redirect_is_not(
    run_service: RunService, receiver: Receiver
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann = await h.user("ann")
        receiver.answers = [307]
        hook = await added(h, receiver.url.replace("127.0.0.1", "localhost"))
        await ended(h, ann)
        assert (await receiver.next()).path == "/hook"
        found = await seen(h, hook, lambda v: v.failures == 1)
        assert found.error == "It answered 307. Redirects are not followed."
        assert receiver.got.empty()

    run_service(body, sections=HERE)


def test_a_receiver_that_does_not_answer_in_time_has_failed(run_service: RunService) -> None:
    slow = {"webhooks": WebhookSettings(allow=("127.0.0.0/8",), timeout_seconds=0.5)}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"

        async def body(h: ServiceHarness) -> None:
            ann = await h.user("ann")
            hook = await added(h, url)
            await ended(h, ann)
            found = await seen(h, hook, lambda v: v.failures == 1)
            assert found.error == "It did not answer within 0.5 s."

        run_service(body, sections=slow)


def test_admins_and_operators_manage_the_webhooks_of_a_project_and_nobody_else(
    run_service: RunService, receiver: Receiver
) -> None:
    async def body(h: ServiceHarness) -> None:
        ann, bob, op, webhooks = await h.user("ann"), await h.user("bob"), operator(h), h.service.webhooks
        with pytest.raises(Forbidden, match="its admins and for operators"):
            await webhooks.add(ann, "anns", receiver.url)
        admin = ProjectChange(members={"ann": MemberChange(None, True)})
        await h.service.projects.change(op, "anns", admin)
        made = await webhooks.add(ann, "anns", receiver.url, [Kind.RESERVATION])
        assert (made.by, made.kinds) == ("ann", ("reservation",))
        for act in (
            webhooks.change(bob, "anns", made.id, enabled=False),
            webhooks.replay(bob, "anns", made.id, 0),
            webhooks.remove(bob, "anns", made.id),
        ):
            with pytest.raises(NotFound, match="in no project 'anns'"):
                await act
        with pytest.raises(NotFound):
            webhooks.of_project(bob, "anns")
        with pytest.raises(NotFound, match="Project bobs has no webhook"):
            await webhooks.remove(op, "bobs", made.id)
        changed = await webhooks.change(ann, "anns", made.id, new_secret=True, kinds=[Kind.DEVICE])
        assert changed.secret not in (None, made.secret)
        await webhooks.change(op, "anns", made.id, enabled=False)
        (listed,) = webhooks.of_project(ann, "anns")
        assert (listed.disabled, listed.secret) == ("Disabled by operator", None)
        await webhooks.change(ann, "anns", made.id, enabled=True)
        await h.service.control.halt(op, "slow", "paused")
        got = await receiver.next()
        got.verify(changed.secret or "")
        assert got.change == ("device", "slow", "online", "paused")
        await webhooks.remove(ann, "anns", made.id)
        assert webhooks.of_project(op, "anns") == []
        audited = [entry for entry in await h.service.audit.find(action="webhook") if entry.by != "(service)"]
        assert {entry.action for entry in audited} == {
            f"webhook.{w}" for w in ("added", "changed", "removed")
        }
        assert not any("whsec_" in json.dumps(dict(entry.detail)) for entry in audited)

    run_service(body, sections=HERE)


def test_a_project_has_so_many_webhooks_and_no_more(run_service: RunService) -> None:
    async def body(h: ServiceHarness) -> None:
        await h.user("ann")
        first = await added(h, "https://example.org/")
        await added(h, "https://example.org/")
        with pytest.raises(
            BadRequest, match=r"has 2 webhooks; the limit is 2 \(per_project of \[webhooks\]\)"
        ):
            await added(h, "https://example.org/")
        await h.service.webhooks.remove(operator(h), "anns", first.id)
        await added(h, "https://example.org/")

    run_service(body, sections={"webhooks": WebhookSettings(per_project=2)})
