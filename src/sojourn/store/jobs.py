"""The store: named operations on what survives. How they get into the database is in `access`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)

from sojourn.core.calendar import Reservation
from sojourn.core.model import Halt, JobState, Session, SessionState
from sojourn.store import tables as t
from sojourn.store.blobs import (
    PART,
    SMALL,
    TRIAL,
    blob_size,
    drop_blob,
    drop_parts,
    has_blob,
    parts_of,
    put_part,
    read_blob,
    read_slice,
    sweep_parts,
)
from sojourn.store.commit import Unit
from sojourn.store.database.access import Access
from sojourn.store.database.disk_space import StoreFull
from sojourn.store.database.writer import Need
from sojourn.store.ledger import charged
from sojourn.store.rows import StoredJob, halt_of, reservation_of, session_of, stored_job

LIVE = [JobState.ACCEPTED.value, JobState.QUEUED.value, JobState.RUNNING.value]
# Written out, as databases match a partial index only with values that they can see.
_IS_LIVE = t.jobs.c.state.in_([literal_column(f"'{state}'", String) for state in LIVE])
_IS_OPEN = t.sessions.c.state != literal_column(f"'{SessionState.CLOSED.value}'", String)


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as it lies in the store; `timestamps` are its (state, time) steps, oldest first."""

    device: str
    session: Session
    timestamps: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Conditions on jobs; None or empty means any."""

    user: str | None = None
    project: str | None = None
    device: str | None = None
    not_devices: tuple[str, ...] = ()
    pending: bool | None = None
    program: str | None = None
    tags: tuple[str, ...] = ()
    session_id: str | None = None
    after: float | None = None
    before: float | None = None


class Store(Access):
    """Open it with `await Store.open(path)`; close it with `close()`."""

    # facts of the lanes

    def commit(self, unit: Unit, then: Callable[[None], None] | None = None) -> asyncio.Future[None]:
        """Never fails for lack of room on the disk: it waits. The lane is ahead of the store by then."""
        return self.write(unit.write, then, need=Need.MUST)

    async def live(self) -> tuple[list[StoredJob], list[StoredSession]]:
        """Everything that is not final: where recovery begins (R55)."""

        def work(connection: Connection) -> tuple[list[StoredJob], list[StoredSession]]:
            # Sorted here: asked for an order, SQLite walks the index that has it, past all that has ended.
            jobs = sorted(connection.execute(select(t.jobs).where(_IS_LIVE)), key=lambda row: row.seq)
            found = [stored_job(row) for row in jobs]
            sessions = connection.execute(select(t.sessions).where(_IS_OPEN)).all()
            return found, [_with_steps(connection, row) for row in sessions]

        return await self.read(work)

    async def windows_and_halts(self) -> tuple[list[tuple[str, Reservation]], dict[str, Halt]]:
        """(device, reservation) of each that has not ended, and the devices that are not online."""

        def work(connection: Connection) -> tuple[list[tuple[str, Reservation]], dict[str, Halt]]:
            c = t.reservations.c
            query = select(t.reservations).where(c.state.in_(("booked", "open"))).order_by(c.starts_at)
            windows = [(row.device, reservation_of(row)) for row in connection.execute(query)]
            halts = {row.device: halt_of(row) for row in connection.execute(select(t.device_states))}
            return windows, halts

        return await self.read(work)

    async def last_seq(self) -> int:
        return await self.read(lambda c: c.execute(select(func.max(t.jobs.c.seq))).scalar() or 0)

    async def last_sign(self) -> float:
        """When the last step of a job or session was written; 0 in a new store (D19)."""
        last = select(t.story.c.at).order_by(t.story.c.id.desc()).limit(1)
        return await self.read(lambda c: c.execute(last).scalar() or 0.0)

    async def charges_since(self, at: float, step: float) -> list[tuple[str, str, float, float]]:
        """(user, project, seconds, when) of what was charged after `at`, merged by steps: see `charged`."""
        return await self.read(lambda c: charged(c, at, step))

    # jobs

    async def job(self, job_id: str) -> StoredJob | None:
        def work(connection: Connection) -> StoredJob | None:
            row = connection.execute(select(t.jobs).where(t.jobs.c.id == job_id)).first()
            return stored_job(row) if row else None

        return await self.read(work)

    async def job_by_key(self, user: str, key: str) -> StoredJob | None:
        """The job that `user` submitted with this idempotency key."""

        def work(connection: Connection) -> StoredJob | None:
            query = select(t.jobs).where(t.jobs.c.user_id == user, t.jobs.c.idempotency_key == key)
            row = connection.execute(query).first()
            return stored_job(row) if row else None

        return await self.read(work)

    async def recent_submits(self, since: float) -> list[StoredJob]:
        """Jobs accepted after `since`, for recognising a repeated submit after a restart (R54)."""
        query = select(t.jobs).where(t.jobs.c.accepted_at > since).order_by(t.jobs.c.seq)
        return await self.read(lambda c: [stored_job(row) for row in c.execute(query)])

    async def jobs(
        self, query: JobQuery, *, limit: int, offset: int, ascending: bool
    ) -> tuple[list[StoredJob], int]:
        """One page, and how many match in all."""
        conditions = list(_conditions(query))

        def work(connection: Connection) -> tuple[list[StoredJob], int]:
            count = connection.execute(select(func.count()).select_from(t.jobs).where(*conditions)).scalar()
            order = t.jobs.c.seq.asc() if ascending else t.jobs.c.seq.desc()
            page = select(t.jobs).where(*conditions).order_by(order).limit(limit).offset(offset)
            rows = connection.execute(page)
            return [stored_job(row) for row in rows], count or 0

        return await self.read(work)

    async def set_tags(self, job_id: str, tags: Sequence[str]) -> bool:
        """Replaces the tags; False, and nothing is written, when there is no such job (any more)."""

        def work(connection: Connection) -> bool:
            change = update(t.jobs).where(t.jobs.c.id == job_id).values(tags=json.dumps(list(tags)))
            if not connection.execute(change).rowcount:
                return False
            connection.execute(delete(t.job_tags).where(t.job_tags.c.job_id == job_id))
            if tags:
                connection.execute(insert(t.job_tags), [{"job_id": job_id, "tag": tag} for tag in tags])
            return True

        return await self.write(work)

    async def take_result(self, job_id: str, note: str) -> tuple[bytes | None, tuple[str, ...]]:
        """R56: read a private job's result, forget it and add `note` to the job's warnings, in one step.

        Answers the result, or None when there is none, and the warnings that the job has now.
        """
        c = t.jobs.c

        def work(connection: Connection) -> tuple[bytes | None, tuple[str, ...]]:
            row = connection.execute(select(c.result_hash, c.warnings).where(c.id == job_id)).first()
            if row is None:
                return None, ()
            warnings = tuple(json.loads(row.warnings))
            if row.result_hash is None:
                return None, warnings
            data = read_blob(connection, row.result_hash)
            warnings = (*warnings, note)
            change = {"result_hash": None, "warnings": json.dumps(warnings)}
            connection.execute(update(t.jobs).where(c.id == job_id).values(change))
            drop_unused(connection, [row.result_hash])
            return data, warnings

        return await self.write(work)

    def forget_params(self, job_id: str | None = None, *, sweep: bool = False) -> asyncio.Future[None]:
        """R56: a private job's inputs are deleted at its end; without an id, those of all jobs that have
        ended. With `sweep`, only at a start, also what was staged and never named."""
        private = [t.jobs.c.private, t.jobs.c.state.not_in(LIVE), t.jobs.c.params_hash.is_not(None)]
        if job_id is not None:
            private.append(t.jobs.c.id == job_id)

        def work(connection: Connection) -> None:
            found = connection.execute(select(t.jobs.c.params_hash).where(*private)).scalars().all()
            if found:
                connection.execute(update(t.jobs).where(*private).values(params_hash=None))
                drop_unused(connection, found)
            if sweep:
                sweep_parts(connection)

        # The end of a job is committed by then, and this belongs to it.
        written = self.write(work, need=Need.SPARE if job_id is None else Need.MUST)
        written.add_done_callback(_let_go)  # not everybody waits for it
        return written

    async def delete_job(self, job_id: str) -> None:
        """The job and its bytes; its ledger rows stay (R49)."""

        def work(connection: Connection) -> None:
            row = connection.execute(select(t.jobs).where(t.jobs.c.id == job_id)).first()
            if row is None:
                return
            connection.execute(delete(t.job_tags).where(t.job_tags.c.job_id == job_id))
            connection.execute(delete(t.jobs).where(t.jobs.c.id == job_id))
            drop_unused(connection, [row.params_hash, row.result_hash, row.logs_hash])

        await self.write(work)

    async def blob(self, digest: str) -> bytes | None:
        return await self.read(lambda c: read_blob(c, digest))

    # large bytes, before what names them

    async def stage(self, blobs: Mapping[str, bytes], *, scarce: bool = False) -> list[str]:
        """Write the large ones of `blobs` ahead of the unit that names them, part by part, so that others'
        commits need not wait; with `scarce` all but the small ones. Answers which it wrote.

        Raises StoreFull when the disk has no room for them above half of its reserve; nothing of them stays
        then. Whoever does not commit the unit after all calls `unstage`.
        """
        least, staged = SMALL if scarce else PART, []
        for digest, data in blobs.items():
            if len(data) <= least or await self.read(lambda c, d=digest: has_blob(c, d)):  # type: ignore[misc]
                continue
            staged.append(digest)
            try:
                await self._check_room(len(data))
                for number, part in parts_of(data):
                    await self.write(
                        lambda c, d=digest, n=number, p=part: put_part(c, d, n, p),  # type: ignore[misc]
                        need=Need.BULK,
                    )
            except BaseException:
                self.unstage(staged)
                raise
        return staged

    async def _check_room(self, size: int) -> None:
        if self.room is None or not self.room.reserve:
            return
        usable = await self.usable()
        if usable - size < self.room.reserve // 2:
            raise StoreFull(
                f"{size / 1e6:.6g} MB are to be stored and the disk has {usable / 1e6:.6g} MB, "
                f"of which {self.room.reserve / 2e6:.6g} MB are kept"
            )

    def unstage(self, digests: Iterable[str]) -> None:
        """Delete what `stage` has written, unless something names it by now. What cannot be deleted now is at
        the next start."""
        for digest in digests:
            self.write(lambda c, d=digest: drop_parts(c, d)).add_done_callback(_let_go)  # type: ignore[misc]

    async def usable(self) -> int:
        """Bytes that can still be stored: free on the disk, or in the database file."""
        assert self.room is not None, "the disk is watched"

        def work(connection: Connection) -> int:
            pages = connection.exec_driver_sql("PRAGMA freelist_count").scalar() or 0
            size = connection.exec_driver_sql("PRAGMA page_size").scalar() or 0
            return int(pages * size)

        return self.room.free() + await self.read(work)

    async def try_room(self) -> None:
        """Raises StoreFull when a large result would not find room."""
        await self.write(lambda c: put_part(c, TRIAL, 0, bytes(PART)), need=Need.BULK)
        await self.write(lambda c: drop_parts(c, TRIAL))

    async def stored_bytes(self, project: str | None = None) -> dict[str, int]:
        """Bytes of the inputs, results and logs of each project's jobs, or of one's."""
        c = t.project_storage.c
        query = select(c.project_id, c.bytes)
        if project is not None:
            query = query.where(c.project_id == project)
        return await self.read(lambda connection: {row[0]: row[1] for row in connection.execute(query)})

    async def blob_up_to(self, digest: str, most: int) -> bytes | int | None:
        """The bytes if there are at most so many, else their number; None when there are none."""

        def work(connection: Connection) -> bytes | int | None:
            size = blob_size(connection, digest)
            return size if size is None or size > most else read_blob(connection, digest)

        return await self.read(work)

    async def blob_slice(self, digest: str, at: int, size: int) -> bytes:
        """Up to `size` bytes from `at` on; b"" when they are not there (any more)."""
        return await self.read(lambda c: read_slice(c, digest, at, size))

    async def forget_result(self, job_id: str, digest: str, note: str) -> tuple[bool, tuple[str, ...]]:
        """As `take_result`, for a caller that has a copy of the bytes: whether it is the one that may give
        them, as they are forgotten now, and the warnings that the job has now."""
        c = t.jobs.c

        def work(connection: Connection) -> tuple[bool, tuple[str, ...]]:
            row = connection.execute(select(c.result_hash, c.warnings).where(c.id == job_id)).first()
            if row is None:
                return False, ()
            warnings = tuple(json.loads(row.warnings))
            if row.result_hash != digest:
                return False, warnings
            warnings = (*warnings, note)
            change = {"result_hash": None, "warnings": json.dumps(warnings)}
            connection.execute(update(t.jobs).where(c.id == job_id).values(change))
            drop_unused(connection, [digest])
            return True, warnings

        return await self.write(work)

    async def traces_of(self, device: str) -> bool:
        """Whether something has ever run or been charged on a device of that name."""

        def work(connection: Connection) -> bool:
            columns = t.jobs.c.device, t.ledger.c.device
            queries = (select(column).where(column == device).limit(1) for column in columns)
            return any(connection.execute(query).first() is not None for query in queries)

        return await self.read(work)

    # sessions

    async def session(self, session_id: str) -> StoredSession | None:
        def work(connection: Connection) -> StoredSession | None:
            row = connection.execute(select(t.sessions).where(t.sessions.c.id == session_id)).first()
            return _with_steps(connection, row) if row else None

        return await self.read(work)

    async def sessions(self, user: str | None, project: str | None, limit: int) -> list[StoredSession]:
        """Newest first."""
        query = select(t.sessions).order_by(t.sessions.c.created_at.desc()).limit(limit)
        if user is not None:
            query = query.where(t.sessions.c.user_id == user)
        if project is not None:
            query = query.where(t.sessions.c.project_id == project)

        def work(connection: Connection) -> list[StoredSession]:
            return [_with_steps(connection, row) for row in connection.execute(query).all()]

        return await self.read(work)

    async def story(self, job_id: str) -> list[Any]:
        """A job's steps, oldest first."""
        query = select(t.story).where(*_steps(job_id, JobState)).order_by(t.story.c.id)
        return await self.read(lambda c: list(c.execute(query)))


def _conditions(query: JobQuery) -> Any:
    c = t.jobs.c
    for column, value in (
        (c.user_id, query.user),
        (c.project_id, query.project),
        (c.device, query.device),
        (c.program, query.program),
    ):
        if value is not None:
            yield column == value
    # What few jobs have is looked up first, by its own index: the planner would walk all jobs of the owner.
    if query.session_id is not None:
        yield c.id.in_(select(c.id).where(c.session_id == query.session_id))
    if query.not_devices:
        yield c.device.not_in(query.not_devices)
    if query.pending is not None:
        yield c.id.in_(select(c.id).where(_IS_LIVE)) if query.pending else c.state.not_in(LIVE)
    if query.after is not None:
        yield c.accepted_at >= query.after
    if query.before is not None:
        yield c.accepted_at <= query.before
    for tag in query.tags:
        yield c.id.in_(select(t.job_tags.c.job_id).where(t.job_tags.c.tag == tag))


def _steps(entity: str, states: type[StrEnum]) -> Iterator[ColumnElement[bool]]:
    """A session that a job has started has the job's id: its steps are told apart by their states."""
    yield t.story.c.entity == entity
    yield t.story.c.after.in_([state.value for state in states])


def _with_steps(connection: Connection, row: Any) -> StoredSession:
    steps = connection.execute(
        select(t.story.c.after, t.story.c.at).where(*_steps(row.id, SessionState)).order_by(t.story.c.id)
    )
    return StoredSession(row.device, session_of(row), tuple((s.after, s.at) for s in steps))


def drop_unused(connection: Connection, digests: Sequence[str | None]) -> None:
    """Delete the bytes that no job and no calibration names any more."""
    k = t.calibrations.c
    for digest in filter(None, digests):
        named = select(k.number).where((k.configuration_hash == digest) | (k.properties_hash == digest))
        if not named_by_a_job(connection, digest) and connection.execute(named.limit(1)).first() is None:
            drop_blob(connection, digest)


def _let_go(written: asyncio.Future[None]) -> None:
    if not written.cancelled():
        written.exception()


def named_by_a_job(connection: Connection, digest: str) -> bool:
    c = t.jobs.c
    jobs = select(c.id).where((c.params_hash == digest) | (c.result_hash == digest) | (c.logs_hash == digest))
    return connection.execute(jobs.limit(1)).first() is not None
