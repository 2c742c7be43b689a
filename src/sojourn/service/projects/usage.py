"""The ledger as its readers meet it: sums by who, what, where and when (R49). Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sojourn.core.fair_share.usage import UsageMeter
from sojourn.service.accounts.directory import Directory
from sojourn.service.accounts.permissions import Action, may
from sojourn.service.errors import BadRequest, Forbidden, NotFound
from sojourn.service.lanes.lookup import Lookup
from sojourn.service.timing.clock import Clock
from sojourn.service.timing.times import EARLIEST
from sojourn.service.views import Principal, UsageView
from sojourn.store.database import Database, bound, mapped
from sojourn.store.ledger import DAY, Mask, Sum, sums

KEYS = ("user", "project", "device", "kind", "session", "job", "day")
KINDS = ("job", "held", "system", "reservation")
OTHERS = "(others)"
"""Stands for the other users of the project, and their sessions and jobs, for who is not its admin."""
LONGEST_REPORT = 10_000


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """[start, end) in seconds since the epoch; None is the fair-share window, and now. Names, not ids."""

    start: float | None = None
    end: float | None = None
    by: tuple[str, ...] = ("user",)
    user: str | None = None
    project: str | None = None
    device: str | None = None
    kind: str | None = None
    session: str | None = None


class UsageRow(NamedTuple):
    """`keys` in the order of the report's `by`; a day as YYYY-MM-DD, in UTC. `rows` of the ledger."""

    keys: tuple[str | None, ...]
    seconds: float
    rows: int


@dataclass(frozen=True, slots=True)
class UsageReport:
    start: float
    end: float
    by: tuple[str, ...]
    rows: tuple[UsageRow, ...]
    seconds: float


class Usage:
    """`meter` counts the usage of all devices together."""

    def __init__(
        self, store: Database, clock: Clock, accounts: Directory, meter: UsageMeter, lookup: Lookup
    ) -> None:
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._meter = meter
        self._lookup = lookup

    def window(self, who: Principal) -> UsageView:
        """The project's use of its allocation in the fair-share window. In memory: asked before every job."""
        usage, project = self._meter, self._accounts.project(who.project_id)
        usage.expire(self._clock.now())
        used = usage.used(project.id)
        reached = project.allocation is not None and used >= project.allocation
        return UsageView(project.allocation, used, reached)

    async def report(self, who: Principal, wanted: UsageQuery) -> UsageReport:
        """An operator sees everything; others their project, where only an admin sees who the others are."""
        now = self._clock.now()
        end = now if wanted.end is None else wanted.end
        start = wanted.start
        if start is None:
            start = max(EARLIEST, end - self._meter.window)
        if not start < end:
            raise BadRequest(
                f"The period begins at {_iso(start)} and ends at {_iso(end)}; the end must lie after the "
                "begin."
            )
        only = self._only(who, wanted)
        await self._lookup.check_filter(who, wanted.device, wanted.session)
        for key in wanted.by:
            if key not in KEYS:
                raise BadRequest(f"Usage cannot be grouped by {key!r}. Possible: {', '.join(KEYS)}.")
        by = tuple(dict.fromkeys(wanted.by))
        mask = None if may(who, Action.SEE_USAGE_BY_USER, admin=who.admin) else Mask(who.user_id, OTHERS)
        totals = bound(sums, start, end, by, only, most=LONGEST_REPORT, mask=mask)
        # the rows are made there too, beside the event loop
        found = await self._store.read(mapped(totals, lambda found: self._rows(found, by)))
        if len(found) > LONGEST_REPORT:
            raise BadRequest(
                f"The report has more than {LONGEST_REPORT} rows, which is the limit. Ask for a shorter "
                "period, or group by less."
            )
        return UsageReport(start, end, by, tuple(found), sum(row.seconds for row in found))

    def _only(self, who: Principal, wanted: UsageQuery) -> dict[str, str]:
        accounts = self._accounts
        only = {}
        if wanted.kind is not None and wanted.kind not in KINDS:
            raise BadRequest(f"kind is {wanted.kind!r}; it must be one of {', '.join(KINDS)}.")
        if wanted.project is not None:
            mine = {p.name for p in accounts.projects_of(who.user_id)}
            if not may(who, Action.SEE_USAGE, member=wanted.project == who.project):
                other = "Use its CRN as the instance." if wanted.project in mine else "It is not yours."
                raise Forbidden(f"This call is about project {who.project}, not {wanted.project!r}. {other}")
            only["project"] = accounts.project_named(wanted.project).id
        elif not may(who, Action.SEE_USAGE):
            only["project"] = who.project_id
        if wanted.user is not None:
            if not may(who, Action.SEE_USAGE_BY_USER, owner=wanted.user == who.user, admin=who.admin):
                raise Forbidden(
                    f"The usage of user {wanted.user!r} is shown to that user, to admins of the project and "
                    "to operators only. Leave 'user' out for the project's."
                )
            if may(who, Action.SEE_USAGE):
                only["user"] = accounts.user_id(wanted.user)
            else:
                only["user"] = self._member(who, wanted.user)
        for key in ("device", "kind", "session"):
            if (value := getattr(wanted, key)) is not None:
                only[key] = value
        return only

    def _member(self, who: Principal, name: str) -> str:
        """A user of the caller's project, by name. Whoever is not in it is not found, known or unknown."""
        for identity, user, _ in self._accounts.members(who.project_id):
            if user == name:
                return identity
        raise NotFound(f"There is no user {name!r} in project {who.project}.")

    def _rows(self, found: list[Sum], by: tuple[str, ...]) -> list[UsageRow]:
        rows = [UsageRow(tuple(map(self._shown, by, each.keys)), each.seconds, each.rows) for each in found]
        if "day" in by:
            return sorted(rows, key=lambda row: tuple(k or "" for k in row.keys))
        return sorted(rows, key=lambda row: -row.seconds)

    def _shown(self, key: str, value: Any) -> str | None:
        if key == "day":
            return datetime.fromtimestamp(value * DAY, UTC).strftime("%Y-%m-%d")
        if value is None:
            return None
        if key == "user":
            return self._accounts.user_name(value)
        return self._accounts.project_name(value) if key == "project" else str(value)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
