"""Sessions and batches as their users meet them. The rules are the lane's."""

from __future__ import annotations

from dataclasses import replace

from sojourn.core import Mode
from sojourn.core import events as ev
from sojourn.core.model import SessionState
from sojourn.service import ids
from sojourn.service.accounts.audit import Audit
from sojourn.service.accounts.directory import Directory
from sojourn.service.accounts.permissions import Action, may
from sojourn.service.devices.leases import Leases
from sojourn.service.errors import BadRequest, Refusal
from sojourn.service.lanes.lookup import Lookup
from sojourn.service.lanes.records import SessionRecord
from sojourn.service.lanes.registry import Lanes
from sojourn.service.lanes.view_maker import ViewMaker
from sojourn.service.projects.limits import Limits
from sojourn.service.views import Principal, SessionView
from sojourn.store import Database
from sojourn.store import sessions as stored


class Sessions:
    def __init__(
        self,
        *,
        store: Database,
        accounts: Directory,
        audit: Audit,
        limits: Limits,
        lanes: Lanes,
        lookup: Lookup,
        views: ViewMaker,
        leases: Leases,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._audit = audit
        self._limits = limits
        self._lanes = lanes
        self._lookup = lookup
        self._views = views
        self._leases = leases

    async def open(self, who: Principal, *, device: str, mode: str, max_time: float | None) -> SessionView:
        """`max_time` in seconds; None leaves it to R19."""
        if mode not in (Mode.DEDICATED, Mode.BATCH):
            raise BadRequest(f"mode is {mode!r}; it must be 'dedicated' (a session) or 'batch'.")
        dispatcher = self._lanes.dispatcher(device)
        self._accounts.check(who)  # who may have been revoked while the request came in
        self._leases.check(who, device)
        session_id = ids.new_id("s")
        self._limits.session(who, session_id, dispatcher.lane.profile)
        try:
            opened = ev.SessionOpened(session_id, who.user_id, who.project_id, Mode(mode), max_time)
            committed = dispatcher.feed(opened)
        except Refusal:
            self._limits.session_refused(session_id)
            raise
        warnings = dispatcher.lane.session_warnings(max_time, who.project_id)
        await committed
        return replace(await self.get(who, session_id), warnings=warnings)

    async def get(self, who: Principal, session_id: str) -> SessionView:
        return self._views.session(await self._lookup.session(who, session_id))

    async def find(self, who: Principal, limit: int) -> list[SessionView]:
        """Newest first: the caller's in this instance; for an operator everybody's."""
        user, project = (None, None) if may(who, Action.SEE_SESSION) else (who.user_id, who.project_id)
        found = await self._store.read(stored.find, user, project, limit)
        return [self._views.session(SessionRecord(s.device, s.session, list(s.timestamps))) for s in found]

    async def drain(self, who: Principal, session_id: str) -> None:
        """R38a. Of a session that has ended already it is not an error."""
        record = await self._lookup.session(who, session_id, Action.END_SESSION)
        if record.session.state is not SessionState.CLOSED:  # else its device may be gone as well
            await self._end(who, record, "drained", ev.SessionDrained(session_id))

    async def close(self, who: Principal, session_id: str) -> None:
        """R33, R38."""
        record = await self._lookup.session(who, session_id, Action.END_SESSION)
        if record.session.state is not SessionState.CLOSED:
            by = "the user" if record.session.user == who.user_id else "an operator"
            await self._end(who, record, "closed", ev.SessionClosed(session_id, by))

    async def _end(self, who: Principal, record: SessionRecord, how: str, event: ev.Event) -> None:
        dispatcher, session = self._lanes.dispatchers[record.device], record.session
        if session.user == who.user_id:
            await dispatcher.feed(event)
            return
        owner = self._accounts.user_name(session.user)
        entry = self._audit.entry(who, f"session.{how}", f"session {session.id}", owner=owner)
        await dispatcher.feed(event, also=entry.write)
        self._audit.done(entry)
