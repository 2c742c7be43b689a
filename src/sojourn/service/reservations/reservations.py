"""Makes, cancels and lists reservations. The rules (R43-R47) are the lane's."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from sojourn import codes
from sojourn.config import ReservationSettings
from sojourn.core import events as ev
from sojourn.core.calendar import AfterReservation, Reservation, ReservationMode
from sojourn.core.reservations import objection as cannot_be
from sojourn.service import ids
from sojourn.service.accounts.audit import Audit
from sojourn.service.accounts.directory import Directory
from sojourn.service.accounts.permissions import Action, may
from sojourn.service.companions import is_mock
from sojourn.service.errors import BadRequest, Conflict, Forbidden, NotFound
from sojourn.service.lanes.dispatcher import Dispatcher
from sojourn.service.lanes.registry import Lanes
from sojourn.service.reservations.bounds import Span, objection
from sojourn.service.reservations.plans import Allowance, Holding, Plan, within_a_period
from sojourn.service.reservations.views import NewReservation, ReservationView
from sojourn.service.timing.clock import Clock
from sojourn.service.views import Principal, ProjectView
from sojourn.store import Database
from sojourn.store import reservations as stored
from sojourn.store.reservations import StoredReservation


class Reservations:
    def __init__(
        self,
        bounds: ReservationSettings,
        *,
        store: Database,
        clock: Clock,
        accounts: Directory,
        audit: Audit,
        lanes: Lanes,
    ) -> None:
        self._bounds = bounds
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._audit = audit
        self._lanes = lanes
        self._bounded = asyncio.Lock()

    async def make(self, who: Principal, new: NewReservation) -> ReservationView:
        """Raises Forbidden for who may not, BadRequest with the core's reason for what cannot be reserved
        (code 1223), and with the bound for what is too much for who is not an operator (`[reservations]`).
        """
        holder, dispatcher = self._checked(who, new)
        if may(who, Action.RESERVE_MORE):
            return await self._make(who, holder, dispatcher, new)
        async with self._bounded:  # two at once would each be measured without the other
            now = self._clock.date()
            await self._check_bounds(who, holder, Span(new.device, *_times(_shown(now), new)), now)
            return await self._make(who, holder, dispatcher, new)

    async def plan(self, who: Principal, new: NewReservation) -> Plan:
        """What `make` would do at this moment, without doing it. Raises as `make` does for who may not and
        for what makes no sense; what would be refused otherwise is in the answer."""
        holder, dispatcher = self._checked(who, new)
        now = self._clock.date()
        begin, until = _times(_shown(now), new)
        wanted = Span(new.device, begin, until)
        held = await self._held(who, holder, wanted)
        binds = not may(who, Action.RESERVE_MORE)
        window = Reservation("", holder.id, who.user_id, begin, until, ReservationMode(new.mode))
        lane = dispatcher.lane
        at = max(lane.now, self._clock.instant(_shown(now)))
        refused = self._objection(wanted, now, held) if binds else None
        found = await self._store.read(stored.find, device=new.device, ended=False)
        own = self._own(who)
        booked = lane.calendar.reserved(holder.id)
        ahead = Allowance(
            "project",
            holder.name,
            new.device,
            None,
            lane.profile.reservation_allowance,
            booked,
            booked + window.seconds,
            binds=True,
        )
        return Plan(
            new.device,
            holder.name,
            begin,
            until,
            new.mode,
            new.after_window,
            refused or cannot_be(lane.calendar, lane.profile, window, at),
            tuple(
                self._view(who, r, own)
                for r in found
                if r.reservation.start < until and begin < r.reservation.end
            ),
            (*within_a_period(self._bounds, held, wanted, binds=binds), ahead),
        )

    def _checked(self, who: Principal, new: NewReservation) -> tuple[ProjectView, Dispatcher]:
        """For whom and on what the caller may reserve. Raises Forbidden, NotFound and BadRequest."""
        holder = self._project(who, new.project)
        dispatcher = self._lanes.dispatcher(new.device)
        if new.device in self._lanes.models:
            raise BadRequest(f"{new.device} is for dry runs only and cannot be reserved.")
        if new.mode not in tuple(ReservationMode):
            raise BadRequest(f"mode is {new.mode!r}; it must be one of {', '.join(ReservationMode)}.")
        if new.after_window not in tuple(AfterReservation):
            raise BadRequest(
                f"after_window is {new.after_window!r}; it must be one of {', '.join(AfterReservation)}."
            )
        if (new.end is None) == (new.length is None):
            raise BadRequest("Say when the reservation ends or how long it is, one of the two.")
        return holder, dispatcher

    async def _make(
        self, who: Principal, holder: ProjectView, dispatcher: Dispatcher, new: NewReservation
    ) -> ReservationView:
        now = _shown(self._clock.date())
        begin, until = _times(now, new)
        reservation_id = ids.new_id("r")
        made = ev.ReservationBooked(
            reservation_id,
            holder.id,
            who.user_id,
            begin,
            until,
            ReservationMode(new.mode),
            AfterReservation(new.after_window),
        )
        entry = self._audit.entry(
            who,
            "reservation.made",
            f"reservation {reservation_id}",
            device=dispatcher.device,
            project=holder.name,
            start=begin,
            end=until,
            mode=new.mode,
        )
        # one from now on is open when it is answered
        opening = [ev.Tick()] if begin <= now else []
        await dispatcher.feed(made, *opening, at=self._clock.instant(now), also=entry.write)
        self._audit.done(entry)
        return await self.get(who, reservation_id)

    async def _check_bounds(self, who: Principal, holder: ProjectView, wanted: Span, now: float) -> None:
        """Raises BadRequest for what only an operator may reserve."""
        why = self._objection(wanted, now, await self._held(who, holder, wanted))
        if why is not None:
            raise BadRequest(why, code=codes.RESERVATION_REFUSED)

    async def _held(self, who: Principal, holder: ProjectView, wanted: Span) -> list[Holding]:
        """What the project has reserved, and the caller for any project, in the time that counts."""
        first, last = wanted.start - self._bounds.period, wanted.end + self._bounds.period
        spans = await self._store.read(stored.spans, holder.id, who.user_id, first, last)
        of_project = [Span(s.device, s.start, s.end) for s in spans if s.project == holder.id]
        of_user = [Span(s.device, s.start, s.end) for s in spans if s.user == who.user_id]
        return [Holding("project", holder.name, of_project), Holding("user", who.user, of_user)]

    def _objection(self, wanted: Span, now: float, held: list[Holding]) -> str | None:
        devices = sum(not is_mock(spec) for spec in self._lanes.specs.values())
        counted = [(each.words, each.spans) for each in held]
        return objection(self._bounds, wanted, now, held=counted, devices=devices)

    async def cancel(self, who: Principal, reservation_id: str) -> ReservationView:
        """An open one ends now (R44). Conflict for one that is over."""
        found = await self._stored(who, reservation_id)
        self._check_may_reserve(who, found.reservation.project)
        if found.state not in stored.LIVE:
            raise Conflict(f"Reservation {reservation_id} is {found.state}; it cannot be cancelled.")
        entry = self._audit.entry(
            who,
            "reservation.cancelled",
            f"reservation {reservation_id}",
            device=found.device,
            project=self._accounts.project_name(found.reservation.project),
        )
        dispatcher = self._lanes.dispatchers[found.device]
        await dispatcher.feed(ev.ReservationCancelled(reservation_id), also=entry.write)
        self._audit.done(entry)
        return await self.get(who, reservation_id)

    async def get(self, who: Principal, reservation_id: str) -> ReservationView:
        return self._view(who, await self._stored(who, reservation_id), self._own(who))

    async def calendar(
        self, who: Principal, device: str | None = None, *, ended: bool = False
    ) -> list[ReservationView]:
        """By start. Others' reservations show only that the device is taken, and are gone when over."""
        if device is not None and device not in self._lanes.dispatchers:  # one without settings may have some
            self._lanes.dispatcher(device)
        found = await self._store.read(stored.find, device=device, ended=ended)
        own = self._own(who)
        return [self._view(who, r, own) for r in found if _sees(who, r, own) or r.state in stored.LIVE]

    # who

    def _project(self, who: Principal, name: str | None) -> ProjectView:
        """The project to reserve for, when the caller may; else Forbidden, whether there is one or not."""
        accounts = self._accounts
        if may(who, Action.RESERVE):
            return accounts.project_named(name) if name is not None else accounts.project(who.project_id)
        own = accounts.projects_of(who.user_id)
        wanted = who.project if name is None else name
        project = next((p for p in own if p.name == wanted), None)
        if project is None:
            names = ", ".join(p.name for p in own)
            raise Forbidden(
                f"You are not in a project {wanted!r}; yours: {names}. Operators can reserve for other "
                "projects."
            )
        self._check_may_reserve(who, project.id)
        return project

    def _check_may_reserve(self, who: Principal, project: str) -> None:
        """R47: only operators and project admins reserve."""
        if not may(who, Action.RESERVE, admin=self._admin(who, project)):
            name = self._accounts.project_name(project)
            raise Forbidden(
                f"User {who.user!r} may not make or cancel reservations of project {name!r}: that is for its "
                "admins and for operators."
            )

    def _admin(self, who: Principal, project: str) -> bool:
        return self._accounts.is_admin(project, who.user_id)

    def _own(self, who: Principal) -> set[str]:
        return {project.id for project in self._accounts.projects_of(who.user_id)}

    async def _stored(self, who: Principal, reservation_id: str) -> StoredReservation:
        found = await self._store.read(stored.get, reservation_id)
        if found is None or not _sees(who, found, self._own(who)):
            raise NotFound(f"Reservation {reservation_id} was not found.", code=codes.UNKNOWN_RESERVATION)
        return found

    def _view(self, who: Principal, found: StoredReservation, own: set[str]) -> ReservationView:
        window = found.reservation
        state = found.state
        taken = ReservationView(found.device, window.start, window.end, window.mode.value, state)
        if not _sees(who, found, own):
            return taken
        return ReservationView(
            found.device,
            window.start,
            window.end,
            window.mode.value,
            state,
            window.id,
            self._accounts.project_name(window.project),
            self._accounts.user_name(window.user),
            window.after_window.value,
        )


def _sees(who: Principal, found: StoredReservation, own: set[str]) -> bool:
    """A project's reservations are its members' to know; `own` are the caller's projects."""
    return may(who, Action.SEE_RESERVATION, member=found.reservation.project in own)


def _times(now: float, new: NewReservation) -> tuple[float, float]:
    """When it begins and ends."""
    begin = now if new.start is None else _shown(new.start)
    return begin, _shown(new.end if new.end is not None else begin + (new.length or 0.0))


def _shown(at: float) -> float:
    """The first instant from `at` on that can be written to the microsecond, as times are shown: so one
    reservation can begin where another is said to end."""
    whole = datetime.fromtimestamp(at, UTC)
    return (whole if whole.timestamp() >= at else whole + timedelta(microseconds=1)).timestamp()
