"""What is ours at the other service beyond one call: the session that holds the device there, and jobs that
an earlier worker has left.

While a session of this service has the device, one of the other service has the device there, so that nobody
else's job comes between. It is opened by the first job and ended when the session here gives the device up.
Every job has tags that say whose it is; a worker that replaces another one goes on with its session, with
the job that is run again, and cancels what nobody waits for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from sojourn.devices.driver import Assignment
from sojourn.devices.remote.service import Refused, Service

_LATEST = 20
_OVER = frozenset({"Completed", "Failed", "Cancelled", "Cancelled - Ran too long"})
_ENDED = frozenset({"closed", "pending_closed"})


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of jobs there: `device` is on all jobs of one device of one server here."""

    device: str

    @classmethod
    def of(cls, label: str, device: str) -> Tags:
        return cls(f"sojourn:{_short(label, device)}")

    def job(self, job: str) -> str:
        return f"job:{_short(self.device, job)}"

    def session(self, session: str) -> str:
        return f"session:{_short(self.device, session)}"


def _short(*parts: str) -> str:
    """Tags are short, and ids of this service are nobody's business there."""
    return blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


@dataclass(slots=True)
class Holding:
    """The session there. `mine` is the one here for which it is open."""

    service: Service
    tags: Tags
    mode: str | None
    seconds: int | None
    mine: str | None = None
    there: str | None = None
    _left: list[dict[str, Any]] = field(default_factory=list)

    def look(self) -> None:
        """Find what an earlier worker has left. Raises what `Service.jobs` does."""
        self._left = self.service.jobs([self.tags.device], _LATEST)

    def take_over(self, job: Assignment) -> None:
        """Go on with the session of the worker before, if it was for the same session here; end what else it
        has left."""
        left, self._left = self._left, []
        own, mine = self.tags.job(job.job), job.session and self.tags.session(job.session)
        for other in left:
            if other.get("status") not in _OVER and own not in other["tags"]:
                self.service.cancel(str(other["id"]))
        for session in dict.fromkeys(str(o["session_id"]) for o in left if o.get("session_id")):
            try:
                found = self.service.session(session)
            except Refused:
                continue
            if session == self.there or found.get("state") in _ENDED:
                continue
            for_mine = any(mine in o["tags"] for o in left if o.get("session_id") == session)
            if self.there is None and for_mine and found.get("accepting_jobs"):
                self.mine, self.there = job.session, session
            else:
                self.service.end_session(session)

    def cancel_left(self) -> None:
        """No run has come: nobody waits for what was left."""
        self.take_over(Assignment(""))

    @property
    def has_left(self) -> bool:
        return bool(self._left)

    def session_for(self, session: str | None) -> str | None:
        """The session there for a job of the session here: opened if there is none. None for a job without
        one, and where none is wanted."""
        if session != self.mine:
            self.end()
        if session is None or self.mode is None:
            return None
        if self.there is None:
            self.there = self.service.open_session(self.mode, self.seconds)
            self.mine = session
        return self.there

    def lost(self) -> None:
        """It has ended there: the next job needs another one."""
        self.there = None

    def end(self) -> None:
        """Give the device there back, if we have it."""
        there, self.there, self.mine = self.there, None, None
        if there is not None:
            self.service.end_session(there)
