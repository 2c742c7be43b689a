"""Sessions and batches as their users meet them. The rules are the lane's."""

from __future__ import annotations

from dataclasses import replace

from sojourn.core import Mode
from sojourn.core import events as ev
from sojourn.core.model import SessionState
from sojourn.service import ids
from sojourn.service.errors import BadRequest, Refusal
from sojourn.service.hub import Hub
from sojourn.service.permissions import Action, may
from sojourn.service.records import SessionRecord
from sojourn.service.views import Principal, SessionView
from sojourn.store import sessions as stored


class Sessions:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def open_session(
        self, who: Principal, *, device: str, mode: str, max_time: float | None
    ) -> SessionView:
        """`max_time` in seconds; None leaves it to R19."""
        if mode not in (Mode.DEDICATED, Mode.BATCH):
            raise BadRequest(f"mode is {mode!r}; it must be 'dedicated' (a session) or 'batch'.")
        desk = self._hub.dispatcher(device)
        self._hub.accounts.check(who)  # who may have been revoked while the request came in
        session_id = ids.new_id("s")
        self._hub.limits.session(who, session_id, desk.lane.profile)
        try:
            opened = ev.SessionOpened(session_id, who.user_id, who.project_id, Mode(mode), max_time)
            committed = desk.feed(opened)
        except Refusal:
            self._hub.limits.session_refused(session_id)
            raise
        warnings = desk.lane.session_warnings(max_time, who.project_id)
        await committed
        return replace(await self.session(who, session_id), warnings=warnings)

    async def session(self, who: Principal, session_id: str) -> SessionView:
        return self._hub.session_view(await self._hub.session_record(who, session_id))

    async def sessions(self, who: Principal, limit: int) -> list[SessionView]:
        """Newest first: the caller's in this instance; for an operator everybody's."""
        user, project = (None, None) if may(who, Action.SEE_SESSION) else (who.user_id, who.project_id)
        found = await self._hub.store.read(stored.find, user, project, limit)
        return [self._hub.session_view(SessionRecord(s.device, s.session, list(s.timestamps))) for s in found]

    async def drain_session(self, who: Principal, session_id: str) -> None:
        """R38a. Of a session that has ended already it is no error."""
        record = await self._hub.session_record(who, session_id, Action.END_SESSION)
        if record.session.state is not SessionState.CLOSED:  # else its device may be gone as well
            await self._end(who, record, "drained", ev.SessionDrained(session_id))

    async def close_session(self, who: Principal, session_id: str) -> None:
        """R33, R38."""
        record = await self._hub.session_record(who, session_id, Action.END_SESSION)
        if record.session.state is not SessionState.CLOSED:
            by = "the user" if record.session.user == who.user_id else "an operator"
            await self._end(who, record, "closed", ev.SessionClosed(session_id, by))

    async def _end(self, who: Principal, record: SessionRecord, how: str, event: ev.Event) -> None:
        desk, session = self._hub.dispatchers[record.device], record.session
        if session.user == who.user_id:
            await desk.feed(event)
            return
        owner = self._hub.accounts.user_name(session.user)
        entry = self._hub.audit.entry(who, f"session.{how}", f"session {session.id}", owner=owner)
        await desk.feed(event, also=entry.write)
        self._hub.audit.done(entry)
