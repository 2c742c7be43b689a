"""Deletes what ended long ago, in small batches: bytes, steps, calibrations' bytes, rows of the journal and
of the audit.

Never a row of the ledger (R49).

Old entries are looked for on a reader, so that submits are not held up.
"""

from __future__ import annotations

import asyncio

import structlog

from sojourn.config import RetentionSettings
from sojourn.service.lanes.records import Records
from sojourn.service.timing.clock import Clock, Handle
from sojourn.store import Database, audit, calibrations, history, jobs, journal

log = structlog.get_logger("sojourn.retention")
DAY = 86_400.0
EVERY = 3600.0
"""Seconds between two rounds."""
BATCH = 50
"""Jobs or calibrations, and ten times as many steps or rows of the journal, of one transaction."""


class Retention:
    def __init__(self, settings: RetentionSettings, store: Database, clock: Clock, records: Records) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._records = records
        self._timer: Handle | None = None
        self._due = 0.0
        self._round: asyncio.Task[None] | None = None

    def start(self) -> None:
        """The first round comes an hour after the start: a server that comes up has better things to do."""
        settings = self._settings
        if any(days for _, days in settings):
            self._due = self._clock.now() + EVERY
            self._arm()

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._round is not None:
            self._round.cancel()
            await asyncio.gather(self._round, return_exceptions=True)

    def step_clock(self) -> None:
        """The machine's clock was set, perhaps to a wrong time, and what is deleted does not come back: the
        next round comes a whole interval later. A clock that is put right by then has deleted nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._due = self._clock.now() + EVERY
            self._arm()

    def _arm(self) -> None:
        self._timer = self._clock.call_at(self._due, self._tick)

    def _tick(self) -> None:
        now = self._clock.now()
        if now >= self._due:
            self._due = now + EVERY
            if self._round is None or self._round.done():
                self._round = asyncio.get_running_loop().create_task(self._safely())
        self._arm()

    async def _safely(self) -> None:
        try:
            await self.run()
        except Exception as error:  # the next round tries again; jobs must not suffer for it
            log.error("retention.failed", exc_info=error)

    async def run(self) -> None:
        """One round, now."""
        settings, now = self._settings, self._clock.date()
        if settings.params_days:
            await self._jobs("params", now - settings.params_days * DAY)
        if settings.results_days:
            await self._jobs("result", now - settings.results_days * DAY)
        if settings.story_days:
            await self._steps(now - settings.story_days * DAY)
        if settings.calibrations_days:
            await self._calibrations(now - settings.calibrations_days * DAY)
        if settings.journal_days:
            await self._journal(now - settings.journal_days * DAY)
        if settings.audit_days:
            await self._audit(now - settings.audit_days * DAY)

    async def _jobs(self, what: jobs.What, before: float) -> None:
        seq, count = 0, 0
        while True:
            found = await self._store.read(jobs.old, what, before, after_seq=seq, limit=BATCH)
            if not found:
                break
            names = [job.id for job in found]
            digests = await self._store.write(jobs.forget, what, names)
            for digest in digests:
                self._records.blobs.drop(digest)
            for name in names:
                record = self._records.job(name)
                if record is not None:
                    for field in jobs.FIELDS[what]:
                        setattr(record.meta, field, None)
            seq, count = found[-1].seq, count + len(found)
        if count:
            log.info("retention.deleted", what=what, jobs=count)

    async def _steps(self, before: float) -> None:
        last, count = 0, 0
        while True:
            found = await self._store.read(history.old, before, after_id=last, limit=10 * BATCH)
            if not found:
                break
            await self._store.write(history.remove, found)
            last, count = found[-1], count + len(found)
        if count:
            log.info("retention.deleted", what="story", steps=count)

    async def _calibrations(self, before: float) -> None:
        found = await self._store.read(calibrations.old, before)
        for first in range(0, len(found), BATCH):
            some = found[first : first + BATCH]
            await self._store.write(calibrations.drop_bytes, before, some)
        if found:
            log.info("retention.deleted", what="calibrations", texts=len(found))

    async def _journal(self, before: float) -> None:
        """What lies before a start of the lane: the replay can begin there (docs/decisions/0007)."""
        count = 0
        begins = await self._store.read(journal.beginnings, before)
        for device, first in begins.items():
            while found := await self._store.read(journal.old, device, first, limit=10 * BATCH):
                await self._store.write(journal.remove, found)
                count += len(found)
        if count:
            log.info("retention.deleted", what="journal", rows=count)

    async def _audit(self, before: float) -> None:
        count = 0
        while found := await self._store.read(audit.old, before, limit=10 * BATCH):
            await self._store.write(audit.forget, found)
            count += len(found)
        if count:
            log.info("retention.deleted", what="audit", entries=count)
