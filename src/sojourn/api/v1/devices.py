"""Our own API: devices, what operators do with them, and their calibrations."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from sojourn.api.http.replies import iso
from sojourn.api.v1.common import Callers, Name, Text, Time
from sojourn.api.v1.jobs import Job, Queue
from sojourn.service.accounts.permissions import Action
from sojourn.service.devices.calibrations import Calibration as CalibrationRow
from sojourn.service.forecasts.offers import Wanted
from sojourn.service.service import Service
from sojourn.service.submission import check_execution_time, check_program
from sojourn.service.timing import times
from sojourn.service.views import DeviceView, Principal
from sojourn.service.views import Offer as OfferView


class Device(BaseModel):
    """`busy`: a job runs; `held`: a session has the device. Their ids, `running` and `active_session`, are
    null for all but their owners and operators."""

    name: str
    driver: str
    num_qubits: int | None
    operational: bool
    message: str
    queue_length: int
    busy: bool
    running: str | None
    held: bool
    active_session: str | None
    mock: bool
    backend_version: str
    phase: str
    reason: str | None
    state: Literal["online", "paused", "draining", "maintenance"]
    state_message: str
    state_by: str | None
    state_since: Time | None
    state_until: Time | None
    calibration: str | None
    calibrated: Time | None
    next_calibration: Time | None

    @classmethod
    def of(cls, view: DeviceView) -> Self:
        state = view.state
        shown = {
            "state": state.name,
            "state_message": state.message,
            "state_by": state.by,
            "state_since": iso(state.since),
            "state_until": iso(state.until),
            "calibrated": iso(view.calibrated),
            "next_calibration": iso(view.next_calibration),
        }
        same = (name for name in cls.model_fields if name not in shown)
        return cls.model_validate(shown | {name: getattr(view, name) for name in same})


class Devices(BaseModel):
    devices: list[Device]


class Halt(BaseModel):
    """Why, and when the end is expected; nothing happens by itself then."""

    model_config = ConfigDict(extra="forbid")

    message: Text = ""
    until: Text | None = Field(default=None, description="ISO 8601, or from now: `+2h`, `in 30m`.")


class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")

    message: Text = ""


class Calibration(BaseModel):
    """`job` is null when the worker found it at its start."""

    id: str
    at: Time | None
    job: str | None
    present: bool

    @classmethod
    def of(cls, row: CalibrationRow, present: bool) -> Self:
        return cls(id=row.id, at=iso(row.at), job=row.job_id, present=present)


class Calibrations(BaseModel):
    """The newest first."""

    device: str
    calibrations: list[Calibration]


class WantedForecast(BaseModel):
    """A job that is not submitted."""

    model_config = ConfigDict(extra="forbid")

    duration: Text = Field(description="How long it has the device by its estimate: `30s`, `1h 30m`.")
    program: Text = "sampler"
    max_execution_time: int | None = Field(default=None, description="In seconds, as of a submit.")
    device: Text | None = Field(default=None, description="Its name; default: each that is no dry run's.")


class Seconds(BaseModel):
    """Of such jobs 10 % take less than `least`, half less than `expected`, 90 % less than `most`."""

    expected: float
    least: float
    most: float


class Offer(BaseModel):
    """What a device would do with it. `refused` is why it would not take it, and `queue` is null then.

    `limit_seconds` is how long it may run, `device_seconds` what it is expected to use, `allocation_left`
    what the project has left of its allocation, null without one.
    """

    device: str
    refused: str | None
    limit_seconds: float
    device_seconds: Seconds
    allocation_left: float | None
    queue: Queue | None

    @classmethod
    def of(cls, view: OfferView) -> Self:
        least, expected, most = (round(seconds, 3) for seconds in view.seconds)
        return cls(
            device=view.device,
            refused=view.refused,
            limit_seconds=view.limit,
            device_seconds=Seconds(expected=expected, least=least, most=most),
            allocation_left=view.left,
            queue=Queue.of(view.queue),
        )


class Offers(BaseModel):
    """The device that is expected to start it first comes first."""

    offers: list[Offer]


def add_routes(routes: APIRouter, service: Service, callers: Callers) -> None:
    Caller = Annotated[Principal, Depends(callers.caller)]  # noqa: N806
    Operator = Annotated[Principal, Depends(callers.who_may(Action.OPERATE_DEVICES))]  # noqa: N806

    @routes.get("/devices")
    async def devices(who: Caller) -> Devices:
        return Devices(devices=[Device.of(view) for view in service.devices.all(who)])

    @routes.get("/devices/{name}")
    async def device(who: Caller, name: Name) -> Device:
        return Device.of(service.devices.get(name, who))

    async def halt(who: Principal, name: str, mode: str, wanted: Halt | None) -> Device:
        said = wanted or Halt()
        until = times.instant(said.until, service.clock.date(), "until") if said.until is not None else None
        await service.control.halt(who, name, mode, said.message, until)
        return Device.of(service.devices.get(name, who))

    @routes.post("/devices/{name}/pause")
    async def pause(who: Operator, name: Name, wanted: Halt | None = None) -> Device:
        return await halt(who, name, "paused", wanted)

    @routes.post("/devices/{name}/drain")
    async def drain_device(who: Operator, name: Name, wanted: Halt | None = None) -> Device:
        return await halt(who, name, "draining", wanted)

    @routes.post("/devices/{name}/maintain")
    async def maintain(who: Operator, name: Name, wanted: Halt | None = None) -> Device:
        return await halt(who, name, "maintenance", wanted)

    @routes.post("/devices/{name}/resume")
    async def resume(who: Operator, name: Name) -> Device:
        await service.control.resume(who, name)
        return Device.of(service.devices.get(name, who))

    @routes.post("/devices/{name}/calibrate", status_code=201)
    async def calibrate(who: Operator, name: Name, note: Note | None = None) -> Job:
        return Job.of(await service.control.calibrate(who, name, note.message if note else ""))

    @routes.get("/devices/{name}/calibrations")
    async def calibrations(_: Caller, name: Name) -> Calibrations:
        present = service.devices.get(name).calibration
        rows = [Calibration.of(row, row.id == present) for row in service.devices.calibrations(name)]
        return Calibrations(device=name, calibrations=rows)

    @routes.post("/forecast")
    async def forecast(who: Caller, wanted: WantedForecast) -> Offers:
        """It works on the queues as a question does, so it waits for the caller's turn as well."""
        asked = Wanted(
            times.duration(wanted.duration, "duration"),
            check_program(wanted.program),
            check_execution_time(wanted.max_execution_time),
            wanted.device,
        )
        reading = await service.turns.take(who)
        try:
            return Offers(offers=[Offer.of(view) for view in await service.offers.of(who, asked)])
        finally:
            service.turns.give(who, reading)
