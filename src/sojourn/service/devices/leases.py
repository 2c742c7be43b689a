"""Leases: another scheduler, such as Slurm, decides who has a device (docs/slurm.md, docs/decisions/0034).

A device with the setting `external_queue` admits only the user to whom the other scheduler, an operator here,
has leased it. When the lease ends, whatever the user still has on the device ends with it. What is admitted
goes through the lane like everything else.

The order when a lease ends: from then on nothing is admitted, that is committed, sessions are closed, jobs
are cancelled, and the end is committed. What is cut short by a crash is taken up at the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from sojourn import codes
from sojourn.core.wording.formatting import at_time
from sojourn.service.accounts.audit import Audit
from sojourn.service.accounts.directory import Directory
from sojourn.service.accounts.permissions import Action, may
from sojourn.service.background import Background
from sojourn.service.errors import BadRequest, Conflict, Forbidden, NotFound
from sojourn.service.lanes.records import Records
from sojourn.service.lanes.registry import Lanes
from sojourn.service.timing.clock import Clock, Handle
from sojourn.service.timing.steps import Steps
from sojourn.service.views import Principal
from sojourn.store import Database
from sojourn.store import devices as stored
from sojourn.store.database import bound, run_all
from sojourn.store.devices import Lease, LeaseState

log = structlog.get_logger("sojourn.leases")

KEPT = 30 * 24 * 3600.0
"""Seconds for which a lease that has ended is remembered, and its name cannot be used again."""
MOST = 200
"""Leases that a list shows."""


@dataclass(frozen=True, slots=True)
class LeaseView:
    """`project` is None for all projects of the user, `until` for a lease without an end of its own. `closed`
    and `cancelled` are how many sessions and jobs were ended by this call."""

    device: str
    name: str
    user: str
    project: str | None
    taken: float
    until: float | None
    state: str
    ended: float | None = None
    reason: str | None = None
    closed: int = 0
    cancelled: int = 0


class Leases:
    """`queues` are the devices that another scheduler gives out, with what their users are told of it."""

    def __init__(
        self,
        queues: Mapping[str, str],
        *,
        store: Database,
        clock: Clock,
        steps: Steps,
        accounts: Directory,
        audit: Audit,
        records: Records,
        lanes: Lanes,
    ) -> None:
        self._queues = queues
        self._store = store
        self._clock = clock
        self._steps = steps
        self._accounts = accounts
        self._audit = audit
        self._records = records
        self._lanes = lanes
        self._held: dict[str, Lease] = {}
        self._timers: dict[str, Handle] = {}
        self._changing = asyncio.Lock()
        self._background = Background(_broken)

    # life

    async def start(self) -> None:
        """Go on with what is on record: leases that were to end meanwhile end now."""
        for lease in await self._store.read(stored.unfinished_leases):
            if lease.state is LeaseState.ENDING:
                await self._finish(lease)
                continue
            self._held[lease.device] = lease
            if lease.device not in self._queues:
                await self.end(
                    None, lease.device, lease.name, why=f"{lease.device} has its own queue again", clear=False
                )
            else:
                self._look(lease.device)

    def step_clock(self) -> None:
        """The machine's clock was set; a lease lasts as long as before."""
        for device in list(self._held):
            self._look(device)

    async def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await self._background.stop()

    # what it decides

    def check(self, who: Principal, device: str) -> None:
        """Raises Conflict when another scheduler gives the device out, and not to this user now."""
        how = self._queues.get(device)
        if how is None:
            return
        lease = self._held.get(device)
        if (
            lease is None
            or lease.state is not LeaseState.HELD
            or lease.user != who.user_id
            or lease.project not in (None, who.project_id)
        ):
            raise Conflict(
                f"{device} is given out by another scheduler, and user {who.user} does not hold it now in "
                f"project {who.project}. Ask there for it: {how}",
                code=codes.NOT_LEASED,
            )

    # what the other scheduler says

    async def take(
        self,
        who: Principal,
        *,
        device: str,
        name: str,
        user: str,
        project: str | None = None,
        seconds: float | None = None,
    ) -> LeaseView:
        """Lease the device to a user, for `seconds` at the most; `project` is a name, None is all of the
        user's. The same again is no second one. Raises Conflict while somebody else holds the device."""
        self._check_may(who)
        self._lanes.dispatcher(device)
        if device not in self._queues:
            raise Conflict(
                f"{device} has its own queue. Set external_queue of the device to let another scheduler give "
                "it out."
            )
        holder = self._accounts.user_id(user)
        self._accounts.check_user(holder)
        where = None
        if project is not None:
            where = self._accounts.project_named(project).id
            if where not in (p.id for p in self._accounts.projects_of(holder)):
                raise BadRequest(f"User {user} is not in project {project}.")
        async with self._changing:
            held = self._held.get(device)
            if held is not None and (held.state, held.name, held.user) == (LeaseState.HELD, name, holder):
                return self._view(held)
            if held is not None:
                raise Conflict(
                    f"{device} is leased to {self._accounts.user_name(held.user)} ({held.name}) since "
                    f"{at_time(held.taken_at)}. It can be leased again when that has ended.",
                    code=codes.LEASED,
                )
            now = self._clock.now()
            known = await self._store.read(stored.lease, device, name)
            if known is not None and (known.ended_at is None or known.ended_at >= now - KEPT):
                raise Conflict(f"The lease {name} of {device} has ended. Take a new one under another name.")
            lease = Lease(device, name, holder, where, now, seconds)
            entry = self._audit.entry(
                who,
                "lease.taken",
                f"device {device}",
                lease=name,
                user=user,
                project=project,
                seconds=seconds,
            )
            await self._store.write(
                run_all, bound(stored.forget_leases, now - KEPT), bound(stored.put_lease, lease), entry.write
            )
            self._held[device] = lease
        self._audit.done(entry)
        self._look(device)
        return self._view(lease)

    async def end(
        self, who: Principal | None, device: str, name: str, *, why: str | None = None, clear: bool = True
    ) -> LeaseView:
        """End it with what its holder still has on the device, unless `clear` is false; None is the service
        itself. Of one that has ended it is no error."""
        if who is not None:
            self._check_may(who)
        async with self._changing:
            held = self._held.get(device)
            if held is None or held.name != name:
                known = await self._store.read(stored.lease, device, name)
                if known is None:
                    raise NotFound(f"There is no lease {name} of {device}.")
                return self._view(known)
            reason = why or f"ended by {who.user if who is not None else 'the service'}"
            ending = held.ended(LeaseState.ENDING, self._clock.now(), reason)
            self._held[device] = ending  # nothing more is admitted
            entry = self._audit.entry(
                who, "lease.ended", f"device {device}", lease=name, user=self._accounts.user_name(held.user)
            )
            try:
                await self._store.write(run_all, bound(stored.put_lease, ending), entry.write)
            except BaseException:
                self._held[device] = held
                raise
            self._audit.done(entry)
            self._disarm(device)
            ended, closed, cancelled = await self._finish(ending, clear=clear)
            del self._held[device]
        return replace(self._view(ended), closed=closed, cancelled=cancelled)

    async def _finish(self, ending: Lease, *, clear: bool = True) -> tuple[Lease, int, int]:
        """End what the holder has left, and then the lease: how many sessions and jobs those were."""
        closed = cancelled = 0
        if clear:
            by, here, where = f"the end of lease {ending.name}", ending.device, ending.project
            sessions = self._records.sessions_of(ending.user, project=where, device=here)
            closed = await self._lanes.close_sessions(sessions, by)
            jobs = self._records.jobs_of(ending.user, project=where, device=here)
            cancelled = await self._lanes.cancel_jobs(jobs, by)
        ended = replace(ending, state=LeaseState.ENDED)
        await self._store.must_write(stored.put_lease, ended)
        log.info("lease.ended", device=ended.device, lease=ended.name, why=ended.reason)
        return ended, closed, cancelled

    async def find(self, who: Principal, device: str | None = None) -> list[LeaseView]:
        """Newest first: the caller's own; for an operator everybody's."""
        user = None if may(who, Action.SEE_LEASE) else who.user_id
        found = await self._store.read(stored.leases, device=device, user=user, limit=MOST)
        return [self._view(lease) for lease in found]

    # its length

    def _until(self, lease: Lease) -> float | None:
        """In the service's time."""
        return None if lease.seconds is None else self._steps.restated(lease.taken_at) + lease.seconds

    def _look(self, device: str) -> None:
        """End the lease when it is over, else look again when it will be."""
        self._disarm(device)
        lease = self._held.get(device)
        until = None if lease is None else self._until(lease)
        if lease is None or until is None:
            return
        if until > self._clock.now():
            self._timers[device] = self._clock.call_at(until, lambda: self._look(device))
        elif lease.state is LeaseState.HELD:
            log.warning("lease.over", device=device, lease=lease.name, user=lease.user)
            self._background.spawn(self._over(lease))

    async def _over(self, lease: Lease) -> None:
        with suppress(NotFound):
            await self.end(None, lease.device, lease.name, why=f"its {lease.seconds or 0:g} s were over")

    def _disarm(self, device: str) -> None:
        if (timer := self._timers.pop(device, None)) is not None:
            timer.cancel()

    # who

    def _check_may(self, who: Principal) -> None:
        if not may(who, Action.LEASE):
            raise Forbidden(
                f"User {who.user!r} is not an operator. Leases are for the other scheduler, which has an "
                "operator's API key."
            )

    def _view(self, lease: Lease) -> LeaseView:
        return LeaseView(
            lease.device,
            lease.name,
            self._accounts.user_name(lease.user),
            None if lease.project is None else self._accounts.project_name(lease.project),
            lease.taken_at,
            self._until(lease),
            lease.state.value,
            lease.ended_at,
            lease.reason,
        )


def _broken(error: BaseException) -> None:
    log.error("lease.broken", exc_info=error)
