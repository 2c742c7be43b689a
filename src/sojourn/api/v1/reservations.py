"""Our own API: who has which device when. Reservations, and leases that another scheduler takes for users.

The service decides who may make and cancel which (R47).
"""

from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from sojourn.api.http.replies import iso
from sojourn.api.v1.common import Callers, Id, Name, Text, Time, check_query_name
from sojourn.config.values import TITLE
from sojourn.service.devices.leases import LeaseView
from sojourn.service.reservations.plans import Plan as PlanView
from sojourn.service.reservations.views import NewReservation as Wanted
from sojourn.service.reservations.views import ReservationView
from sojourn.service.service import Service
from sojourn.service.timing import times
from sojourn.service.views import Principal

LeaseName = Annotated[str, Field(pattern=TITLE)]


class NewReservation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    device: Text
    project: Text | None = Field(default=None, description="Its name; default: the caller's.")
    start: Text = Field(default="now", description="ISO 8601, or from now: `+2h`, `in 30m`, `now`.")
    end: Text | None = Field(default=None, description="As `start`; or give `duration`.")
    duration: Text | None = Field(default=None, description="`2h`, `1h 30m`; instead of `end`.")
    mode: Literal["dedicated", "priority"] = "dedicated"
    after_window: Literal["fail", "requeue"] = "fail"


class Reservation(BaseModel):
    """What is null is not the caller's to see."""

    id: str | None
    device: str
    project: str | None
    user: str | None
    start: Time | None
    end: Time | None
    mode: Literal["dedicated", "priority"]
    after_window: Literal["fail", "requeue"] | None
    state: Literal["booked", "open", "ended", "cancelled"]

    @classmethod
    def of(cls, view: ReservationView) -> Self:
        return cls.model_validate(
            {
                "id": view.id,
                "device": view.device,
                "project": view.project,
                "user": view.user,
                "start": iso(view.start),
                "end": iso(view.end),
                "mode": view.mode,
                "after_window": view.after_window,
                "state": view.state,
            }
        )


class Calendar(BaseModel):
    """By start."""

    now: Time | None
    reservations: list[Reservation]


class Allowance(BaseModel):
    """Reserved time of a project, or of a user for any project, in seconds: `used` now and `then` with the
    reservation, which leaves `left` of the `limit`. `limit` and `left` are null where there is no limit.

    It counts on all devices within any `period` seconds, in the fullest such time that touches the
    reservation; where `period` is null, on `device` in all that has not ended. `binds`: whether the caller
    has to keep to it.
    """

    of: Literal["project", "user"]
    name: str
    device: str | None
    period: float | None
    limit: float | None
    used: float
    then: float
    left: float | None
    binds: bool


class Plan(BaseModel):
    """What a reservation would come to. `refused` says why it would not be made, null when it would.
    `conflicts` are the reservations in its way, as `GET /reservations` shows them."""

    device: str
    project: str
    start: Time | None
    end: Time | None
    mode: Literal["dedicated", "priority"]
    after_window: Literal["fail", "requeue"]
    refused: str | None
    conflicts: list[Reservation]
    allowances: list[Allowance]

    @classmethod
    def of(cls, view: PlanView) -> Self:
        return cls.model_validate(
            {
                "device": view.device,
                "project": view.project,
                "start": iso(view.start),
                "end": iso(view.end),
                "mode": view.mode,
                "after_window": view.after_window,
                "refused": view.refused,
                "conflicts": [Reservation.of(each) for each in view.conflicts],
                "allowances": [
                    Allowance.model_validate(each, from_attributes=True) for each in view.allowances
                ],
            }
        )


class NewLease(BaseModel):
    model_config = ConfigDict(extra="forbid")

    device: Text
    name: LeaseName = Field(description="What the other scheduler calls it, for example `slurm-4711`.")
    user: Text = Field(description="Name of the user who may submit.")
    project: Text | None = Field(default=None, description="Its name; default: all of the user's.")
    duration: Text | None = Field(default=None, description="`2h`, `1h 30m`; default: until it is ended.")


class Lease(BaseModel):
    """`project` is null for all of the user's, `until` for a lease without an end of its own.
    `closed_sessions` and `cancelled_jobs` are those that this call has ended."""

    device: str
    name: str
    user: str
    project: str | None
    taken: Time | None
    until: Time | None
    state: Literal["held", "ending", "ended"]
    ended: Time | None
    reason: str | None
    closed_sessions: int
    cancelled_jobs: int

    @classmethod
    def of(cls, view: LeaseView) -> Self:
        return cls.model_validate(
            {
                "device": view.device,
                "name": view.name,
                "user": view.user,
                "project": view.project,
                "taken": iso(view.taken),
                "until": iso(view.until),
                "state": view.state,
                "ended": iso(view.ended),
                "reason": view.reason,
                "closed_sessions": view.closed,
                "cancelled_jobs": view.cancelled,
            }
        )


class Leases(BaseModel):
    """Newest first."""

    leases: list[Lease]


DryRun = Annotated[bool, Query(description="Say what would happen, and reserve nothing.")]
_PLANNED: dict[int | str, dict[str, Any]] = {
    200: {"model": Plan, "description": "With `dry_run`: what the reservation would come to"}
}


def add_routes(routes: APIRouter, service: Service, callers: Callers) -> None:
    Caller = Annotated[Principal, Depends(callers.caller)]  # noqa: N806

    def now() -> float:
        return service.clock.date()

    @routes.get("/reservations")
    async def reservations(who: Caller, device: str | None = None, ended: bool = False) -> Calendar:
        found = await service.reservations.calendar(who, device, ended=ended)
        return Calendar(now=iso(now()), reservations=[Reservation.of(view) for view in found])

    @routes.post("/reservations", status_code=201, response_model=Reservation, responses=_PLANNED)
    async def reserve(
        request: Request, who: Caller, new: NewReservation, dry_run: DryRun = False
    ) -> Reservation | Response:
        for name in request.query_params:  # a slip of the pen must not reserve
            check_query_name(name, ["dry_run"])
        at = now()
        starts = times.instant(new.start, at, "start")
        wanted = Wanted(
            device=new.device,
            project=new.project,
            start=None if new.start.strip().lower() == "now" else starts,
            end=times.instant(new.end, at, "end") if new.end is not None else None,
            length=times.duration(new.duration, "duration") if new.duration is not None else None,
            mode=new.mode,
            after_window=new.after_window,
        )
        if dry_run:
            plan = Plan.of(await service.reservations.plan(who, wanted))
            return Response(plan.model_dump_json(), 200, media_type="application/json")
        return Reservation.of(await service.reservations.make(who, wanted))

    @routes.get("/reservations/{reservation_id}")
    async def reservation(who: Caller, reservation_id: Id) -> Reservation:
        return Reservation.of(await service.reservations.get(who, reservation_id))

    @routes.post("/reservations/{reservation_id}/cancel")
    async def cancel_reservation(who: Caller, reservation_id: Id) -> Reservation:
        return Reservation.of(await service.reservations.cancel(who, reservation_id))

    @routes.get("/leases")
    async def leases(who: Caller, device: str | None = None) -> Leases:
        return Leases(leases=[Lease.of(view) for view in await service.leases.find(who, device)])

    @routes.post("/leases", status_code=201)
    async def lease(who: Caller, new: NewLease) -> Lease:
        taken = await service.leases.take(
            who,
            device=new.device,
            name=new.name,
            user=new.user,
            project=new.project,
            seconds=times.duration(new.duration, "duration") if new.duration is not None else None,
        )
        return Lease.of(taken)

    @routes.post("/leases/{device}/{lease}/end")
    async def end_lease(who: Caller, device: Name, lease: Name) -> Lease:
        return Lease.of(await service.leases.end(who, device, lease))
