"""The own API's part for operators and bookings: device states, calibrations, reservations.

Owns these routes and their shapes; the service decides who may do what.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from sojourn.api.http.replies import iso
from sojourn.api.v1 import models
from sojourn.service import times
from sojourn.service.calibrations import Calibration as CalibrationRow
from sojourn.service.reservations import ReservationView
from sojourn.service.service import Service
from sojourn.service.views import Principal

Name = Annotated[str, Path(max_length=64)]
Id = Annotated[str, Path(max_length=128)]
Text = Annotated[str, Field(max_length=400)]


class Halt(BaseModel):
    """Why, and when the end is expected; nothing happens by itself then."""

    model_config = ConfigDict(extra="forbid")

    message: Text = ""
    until: Text | None = Field(default=None, description="ISO 8601, or from now: `+2h`, `in 30m`.")


class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")

    message: Text = ""


class Calibration(BaseModel):
    """`job` is null when the device told it by itself, when its worker came up."""

    id: str
    at: models.Time | None
    job: str | None
    present: bool

    @classmethod
    def of(cls, row: CalibrationRow, present: bool) -> Self:
        return cls(id=row.id, at=iso(row.at), job=row.job_id, present=present)


class Calibrations(BaseModel):
    """The newest first."""

    device: str
    calibrations: list[Calibration]


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
    start: models.Time | None
    end: models.Time | None
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

    now: models.Time | None
    reservations: list[Reservation]


def router(service: Service, caller: Callable[..., Any], operator: Callable[..., Any]) -> APIRouter:
    """The routes. `caller` and `operator` are the dependencies that tell who asks."""
    routes = APIRouter()
    Caller = Annotated[Principal, Depends(caller)]  # noqa: N806
    Operator = Annotated[Principal, Depends(operator)]  # noqa: N806

    def now() -> float:
        return service.clock.date()

    async def halt(who: Principal, name: str, mode: str, wanted: Halt | None) -> models.Device:
        said = wanted or Halt()
        until = times.instant(said.until, now(), "until") if said.until is not None else None
        await service.halt_device(who, name, mode, said.message, until)
        return models.Device.of(service.device(name, who))

    @routes.post("/devices/{name}/pause")
    async def pause(who: Operator, name: Name, wanted: Halt | None = None) -> models.Device:
        return await halt(who, name, "paused", wanted)

    @routes.post("/devices/{name}/drain")
    async def drain_device(who: Operator, name: Name, wanted: Halt | None = None) -> models.Device:
        return await halt(who, name, "draining", wanted)

    @routes.post("/devices/{name}/maintain")
    async def maintain(who: Operator, name: Name, wanted: Halt | None = None) -> models.Device:
        return await halt(who, name, "maintenance", wanted)

    @routes.post("/devices/{name}/resume")
    async def resume(who: Operator, name: Name) -> models.Device:
        await service.resume_device(who, name)
        return models.Device.of(service.device(name, who))

    @routes.post("/devices/{name}/calibrate", status_code=201)
    async def calibrate(who: Operator, name: Name, note: Note | None = None) -> models.Job:
        return models.Job.of(await service.calibrate(who, name, note.message if note else ""))

    @routes.get("/devices/{name}/calibrations")
    async def calibrations(_: Caller, name: Name) -> Calibrations:
        present = service.device(name).calibration
        rows = [Calibration.of(row, row.id == present) for row in service.calibrations(name)]
        return Calibrations(device=name, calibrations=rows)

    @routes.get("/reservations")
    async def reservations(who: Caller, device: str | None = None, ended: bool = False) -> Calendar:
        found = await service.calendar(who, device, ended=ended)
        return Calendar(now=iso(now()), reservations=[Reservation.of(view) for view in found])

    @routes.post("/reservations", status_code=201)
    async def reserve(who: Caller, new: NewReservation) -> Reservation:
        at = now()
        starts = times.instant(new.start, at, "start")
        made = await service.reserve(
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
        return Reservation.of(await service.reservation(who, reservation_id))

    @routes.post("/reservations/{reservation_id}/cancel")
    async def cancel_reservation(who: Caller, reservation_id: Id) -> Reservation:
        return Reservation.of(await service.cancel_reservation(who, reservation_id))

    return routes
