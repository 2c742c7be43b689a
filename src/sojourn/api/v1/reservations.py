"""Our own API: reservations. The service decides who may make and cancel which (R47)."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from sojourn.api.http.replies import iso
from sojourn.api.v1.common import Callers, Id, Text, Time
from sojourn.service.reservations.reservations import ReservationView
from sojourn.service.service import Service
from sojourn.service.timing import times
from sojourn.service.views import Principal


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


def add_routes(routes: APIRouter, service: Service, callers: Callers) -> None:
    Caller = Annotated[Principal, Depends(callers.caller)]  # noqa: N806

    def now() -> float:
        return service.clock.date()

    @routes.get("/reservations")
    async def reservations(who: Caller, device: str | None = None, ended: bool = False) -> Calendar:
        found = await service.reservations.calendar(who, device, ended=ended)
        return Calendar(now=iso(now()), reservations=[Reservation.of(view) for view in found])

    @routes.post("/reservations", status_code=201)
    async def reserve(who: Caller, new: NewReservation) -> Reservation:
        at = now()
        starts = times.instant(new.start, at, "start")
        made = await service.reservations.make(
            who,
            device=new.device,
            project=new.project,
            start=None if new.start.strip().lower() == "now" else starts,
            end=times.instant(new.end, at, "end") if new.end is not None else None,
            length=times.duration(new.duration, "duration") if new.duration is not None else None,
            mode=new.mode,
            after_window=new.after_window,
        )
        return Reservation.of(made)

    @routes.get("/reservations/{reservation_id}")
    async def reservation(who: Caller, reservation_id: Id) -> Reservation:
        return Reservation.of(await service.reservations.get(who, reservation_id))

    @routes.post("/reservations/{reservation_id}/cancel")
    async def cancel_reservation(who: Caller, reservation_id: Id) -> Reservation:
        return Reservation.of(await service.reservations.cancel(who, reservation_id))
