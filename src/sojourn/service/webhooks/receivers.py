"""Delivers to each receiver in its own time: a task for each, which follows the history from where it is.

A message is delivered at least once: the position is written down after the delivery. After a failure the
receiver is left alone for a while, longer each time, and the others are not held up by it; after too many
failures in a row it is disabled.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from sojourn.service.accounts.audit import Audit
from sojourn.service.accounts.directory import Directory
from sojourn.service.events.events import Event
from sojourn.service.events.streams import Streams
from sojourn.service.ids import sha256
from sojourn.service.timing.clock import Clock
from sojourn.service.views import Principal
from sojourn.service.webhooks.messages import message_of
from sojourn.service.webhooks.sender import Sender
from sojourn.store import webhooks as rows
from sojourn.store.database import Database, bound, run_all, unawaited
from sojourn.store.history import Wanted
from sojourn.store.webhooks import Webhook

log = structlog.get_logger("sojourn.webhooks")

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3600.0
"""Seconds after the first failure, twice as many after each further one, and at most."""
SPREAD = 0.2
"""Each pause is longer or shorter by a part of up to this: receivers that failed together come back apart."""
KEPT = 1000
"""Entries that are none of a receiver's, after which its position is written down all the same."""


def pause_after(failures: int) -> float:
    """Seconds, without the spread."""
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (min(failures, 30) - 1)))


def _spread(hook: Webhook) -> float:
    """By chance, as far as receivers among each other are concerned; the same for the same attempt."""
    chance = int(sha256(f"{hook.id}.{hook.failures}".encode())[:8], 16) / 2**32
    return 1 + SPREAD * (2 * chance - 1)


class Receivers:
    """`most` failures in a row disable a webhook. Of all attempts since the start so many were
    `delivered`, and so many `failed`."""

    def __init__(
        self,
        *,
        store: Database,
        clock: Clock,
        accounts: Directory,
        audit: Audit,
        streams: Streams,
        sender: Sender,
        most: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._audit = audit
        self._streams = streams
        self._sender = sender
        self._most = most
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.delivered = self.failed = 0

    def start(self, hook: Webhook) -> None:
        """Deliver from where it is, unless it is disabled. One that is at work begins again."""
        self.stop(hook.id)
        if hook.disabled is None:
            self._tasks[hook.id] = asyncio.get_running_loop().create_task(self._serve(hook))

    def stop(self, hook_id: str) -> None:
        task = self._tasks.pop(hook_id, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        await self._sender.close()

    async def _serve(self, hook: Webhook) -> None:
        while hook.disabled is None and not self._streams.stopping:
            try:
                await self._until(hook.next_at)
                await self._attend(hook)
            except Exception as error:  # a fault of ours must not end it for good
                log.error("webhook.broken", webhook=hook.id, exc_info=error)
                hook.next_at = self._clock.now() + LONGEST_PAUSE / 60

    async def _attend(self, hook: Webhook) -> None:
        """Deliver until something fails, or until the stream ends because too much waits."""
        project = hook.project_id
        who = Principal(hook.id, "(webhook)", project, self._accounts.project_name(project))
        stream = await self._streams.of_project(who, Wanted(kinds=hook.kinds), hook.cursor)
        try:
            while stream.ended is None:
                for event in await stream.next():
                    if not await self._deliver(hook, event):
                        return
                if stream.ended is None and stream.cursor - hook.cursor > KEPT:
                    hook.cursor = stream.cursor
                    self._save(hook)
        finally:
            stream.close()

    async def _until(self, at: float | None) -> None:
        """The clock may call back early, and may be set meanwhile."""
        while at is not None and self._clock.now() < at:
            due = asyncio.Event()
            timer = self._clock.call_at(at, due.set)
            try:
                await due.wait()
            finally:
                timer.cancel()

    async def _deliver(self, hook: Webhook, event: Event) -> bool:
        message = message_of(event)
        sent = await self._sender.send(
            hook.url, message.headers(hook.secret, self._clock.date()), message.body
        )
        if sent.delivered:
            self.delivered += 1
            hook.cursor = hook.delivered = event.entry.id
            hook.failures, hook.next_at, hook.error = 0, None, None
            hook.delivered_at = self._clock.now()
            self._save(hook)
            return True
        self.failed += 1
        hook.failures += 1
        hook.error = sent.why
        hook.next_at = self._clock.now() + pause_after(hook.failures) * _spread(hook)
        if hook.failures < self._most:
            log.info("webhook.failed", webhook=hook.id, failures=hook.failures, why=sent.why)
            self._save(hook)
        else:
            await self._disable(hook)
        return False

    async def _disable(self, hook: Webhook) -> None:
        why = f"Disabled after {hook.failures} failed attempts in a row; the last: {hook.error}"
        hook.disabled, hook.next_at = why, None
        project = self._accounts.project_name(hook.project_id)
        entry = self._audit.entry(None, "webhook.disabled", f"webhook {hook.id}", project=project, why=why)
        await self._store.must_write(run_all, bound(rows.save, replace(hook)), entry.write)
        self._audit.done(entry)

    def _save(self, hook: Webhook) -> None:
        """Not waited for: what a crash takes back is delivered again."""
        self._store.must_write(rows.save, replace(hook)).add_done_callback(unawaited)
