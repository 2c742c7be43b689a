"""The audit trail: what was administrated, by whom and from where, and whose jobs an operator looked at.

An entry is written in the transaction of what it is about where there is one, and logged after the commit. It
never holds a secret. Its growth is bounded: entries end with `retention.audit_days`, a look is noted once an
hour, and failed logins are noted once a minute for all addresses together.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from typing import Any

import structlog

from sojourn.core.wording.formatting import at_time
from sojourn.service.timing.clock import Clock, Handle
from sojourn.service.views import Principal
from sojourn.store import audit as rows
from sojourn.store.audit import Entry
from sojourn.store.database import Database

log = structlog.get_logger("sojourn.audit")

SERVICE = "(service)"
NOBODY = "(nobody)"
_TIMES = ("start", "end", "until", "expires")
LOOK_AGAIN = 3600.0
"""Seconds in which a further look at the same thing by the same operator is not noted."""
LOOKS = 10_000
"""Looks that are remembered for that."""
FAILED_EVERY = 60.0
"""Seconds of failed logins in one entry."""
ADDRESSES = 20
"""Addresses that such an entry names; the others are counted together."""


class Audit:
    def __init__(self, store: Database, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._looks: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._failed: Counter[str] = Counter()
        self._timer: Handle | None = None
        self._due = 0.0

    def entry(self, who: Principal | None, action: str, subject: str, **detail: Any) -> Entry:
        """One to be written with what it is about, see `done`; None is the service itself.

        Of `detail` what is None is left out, and times are written as people read them.
        """
        said = {
            name: at_time(value) if name in _TIMES and isinstance(value, float) else value
            for name, value in detail.items()
            if value is not None
        }
        now = self._clock.now()
        if who is None:
            return Entry(now, SERVICE, action, subject, said)
        return Entry(
            now, who.user, action, subject, said, who.user_id, address=who.address, request=who.request
        )

    def done(self, entry: Entry) -> None:
        """Its log line, when it is committed."""
        origin = {"address": entry.address} if entry.address else {}
        log.info("audit", action=entry.action, by=entry.by, subject=entry.subject, **origin, **entry.detail)

    async def note(self, who: Principal | None, action: str, subject: str, **detail: Any) -> None:
        """Write an entry that belongs to no other transaction."""
        entry = self.entry(who, action, subject, **detail)
        await self._store.write(entry.write)
        self.done(entry)

    def looked(self, who: Principal, subject: str, owner: str) -> None:
        """An operator has looked at what is another user's. Does not wait for the commit."""
        key, now = (who.user_id, subject), self._clock.now()
        seen = self._looks.pop(key, None)
        if seen is not None and now - seen < LOOK_AGAIN:
            self._looks[key] = seen
            return
        self._looks[key] = now
        if len(self._looks) > LOOKS:
            self._looks.popitem(last=False)
        self._later(self.entry(who, "look", subject, owner=owner))

    def login_failed(self, address: str) -> None:
        """Wrong credentials came from there. The first is logged at once; all of a minute are one entry."""
        if not self._failed:
            log.warning("login.failed", address=address)
            self._due = self._clock.now() + FAILED_EVERY
            self._timer = self._clock.call_at(self._due, self._tick)
        if address in self._failed or len(self._failed) < ADDRESSES:
            self._failed[address] += 1
        else:
            self._failed["others"] += 1

    def _tick(self) -> None:
        if self._clock.now() < self._due:
            self._timer = self._clock.call_at(self._due, self._tick)
        else:
            self._note_failed()

    def _note_failed(self) -> None:
        failed, self._failed, self._timer = self._failed, Counter(), None
        if failed:
            self._later(
                Entry(
                    self._clock.now(),
                    NOBODY,
                    "login.failed",
                    "credentials",
                    {"count": failed.total(), "addresses": dict(failed.most_common())},
                )
            )

    def _later(self, entry: Entry) -> None:
        self._store.write(entry.write).add_done_callback(lambda written: self._written(written, entry))

    def _written(self, written: asyncio.Future[Any], entry: Entry) -> None:
        if written.cancelled():
            return
        if (error := written.exception()) is not None:
            log.error("audit.lost", action=entry.action, by=entry.by, subject=entry.subject, why=repr(error))
        else:
            self.done(entry)

    def stop(self) -> None:
        """Hand over what has been counted; the store is closed after that."""
        if self._timer is not None:
            self._timer.cancel()
        self._note_failed()

    async def find(
        self,
        *,
        by: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        address: str | None = None,
        after: float | None = None,
        before_id: int | None = None,
        limit: int = 100,
    ) -> list[Entry]:
        """Newest first; `before_id` is for the next page."""
        return await self._store.read(
            rows.find,
            by=by,
            action=action,
            subject=subject,
            address=address,
            after=after,
            before_id=before_id,
            limit=limit,
        )
