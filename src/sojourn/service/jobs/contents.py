"""The bytes of a job: its inputs, its result and what its run wrote. A private job's are given once (R56)."""

from __future__ import annotations

import asyncio

from sojourn.config.values import DAY
from sojourn.core.model import JobState
from sojourn.core.wording.formatting import at_time
from sojourn.service.errors import Expired, NotFound
from sojourn.service.jobs.texts import Large, Texts
from sojourn.service.lanes.lookup import Lookup
from sojourn.service.lanes.records import Blobs, JobRecord
from sojourn.service.requests.rooms import Held
from sojourn.service.timing.clock import Clock
from sojourn.service.views import Principal
from sojourn.store import Database
from sojourn.store import jobs as rows

_WAS_READ = "The result was read at"
"""So begins the note in a job whose private result was given; without it, age has deleted the result."""


class Contents:
    """Callers have looked the job's record up. Results are kept for `results_days` days, 0 for ever."""

    def __init__(
        self,
        *,
        store: Database,
        clock: Clock,
        blobs: Blobs,
        texts: Texts,
        lookup: Lookup,
        results_days: float,
    ) -> None:
        self._store = store
        self._clock = clock
        self._blobs = blobs
        self._texts = texts
        self._lookup = lookup
        self._results_days = results_days

    async def params(self, record: JobRecord) -> bytes | Large:
        """See `Jobs.params`."""
        job_id = record.job.id
        if record.meta.private:
            raise NotFound(f"Job {job_id} is private: its inputs are not given back (R56).")
        if record.meta.params_hash is None:
            raise self._expired(job_id, "inputs")
        found = await self._blob(record, record.meta.params_hash)
        if found is None:
            raise self._expired(job_id, "inputs")
        return found

    async def inputs(self, record: JobRecord, who: Principal) -> tuple[bytes, Held]:
        """The same for another job of the caller's, and the memory that they have, which the caller
        releases."""
        data, held = await self._texts.whole(await self.params(record), who.user_id)
        if not data:
            held.release()
            raise self._expired(record.job.id, "inputs")
        return data, held

    async def result(self, record: JobRecord, who: Principal, *, take: bool) -> bytes | Large:
        """See `Jobs.result`."""
        if record.meta.private and record.job.state.final and take:
            return await self._take(record, who)
        return await self._kept(record)

    async def _kept(self, record: JobRecord) -> bytes | Large:
        found = await self._blob(record, record.meta.result_hash)
        if found is not None:
            return found
        if record.job.state is JobState.FAILED:
            return (record.job.reason or "").encode()
        if record.job.state is JobState.COMPLETED:
            await self._check_kept(record)
            if not self._was_read(record):
                raise self._expired(record.job.id, "result")
        return b""

    def _was_read(self, record: JobRecord) -> bool:
        """Whether the result was given, and not deleted because of its age. Early versions of this service
        made no note of it; then it was given if the job is too young for the other."""
        if any(map(_says_read, record.meta.warnings)):
            return True
        days = self._results_days
        age = self._clock.date() - (record.job.ended_at or 0.0)
        return record.meta.private and (not days or age < days * DAY)

    async def _take(self, record: JobRecord, who: Principal) -> bytes | Large:
        """Read, forgotten and noted in the job itself in one transaction; a large one is copied before."""
        meta, store = record.meta, self._store
        at = at_time(self._clock.now())
        note = f"{_WAS_READ} {at}, and a private job's result is given once (R56)."
        data: bytes | Large | None = None
        if meta.result_hash is not None:
            data = await self._texts.find(meta.result_hash)
        if isinstance(data, Large) and meta.result_hash is not None:
            digest = meta.result_hash
            data = copied = await self._texts.copy(data, who.user_id)
            try:
                given, warnings = await asyncio.shield(
                    store.write(rows.forget_result, record.job.id, digest, note)
                )
            except BaseException:
                copied.close()
                raise
            if not given:
                copied.close()
                data = None
        else:
            data, warnings = await store.write(rows.take_result, record.job.id, note)
        if meta.result_hash is not None:
            self._blobs.drop(meta.result_hash)
        meta.result_hash, meta.warnings = None, warnings
        return await self._kept(record) if data is None else data

    def _expired(self, job_id: str, what: str) -> Expired:
        return Expired(
            f"The {what} of job {job_id} has been deleted: this service keeps the {what} of a job for a "
            "limited time after its end (settings of [retention]). Run the job again if you need it."
        )

    async def _blob(self, record: JobRecord, digest: str | None) -> bytes | Large | None:
        """None when there is none (any more). Raises NotFound when the job was deleted meanwhile."""
        if digest is None:
            return None
        found = await self._texts.find(digest)
        if found is None:
            await self._check_kept(record)
        return found

    async def log(self, record: JobRecord) -> bytes:
        """A worker's log is never large: it fits into the header of a frame."""
        found = await self._blob(record, record.meta.logs_hash) or b""
        if isinstance(found, Large):
            try:
                return await found.read(0, found.size)
            finally:
                found.close()
        return found

    async def _check_kept(self, record: JobRecord) -> None:
        """Raises NotFound when the job was deleted since its record was looked up."""
        if await self._store.read(rows.get, record.job.id) is None:
            raise self._lookup.no_such_job(record.job.id)


def _says_read(warning: str) -> bool:
    return warning.startswith(_WAS_READ)
