"""Our own API: devices, what operators do with them, and their calibrations."""

from dataclasses import asdict
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from sojourn.api.http.replies import encode, iso
from sojourn.api.v1.common import Callers, Name, Text, Time
from sojourn.api.v1.jobs import Job, Queue
from sojourn.api.v1.reservations import Reservation
from sojourn.devices.checking.report import Report
from sojourn.service.accounts.permissions import Action
from sojourn.service.devices.calibrations import Calibration as CalibrationRow
from sojourn.service.devices.checks import report_of
from sojourn.service.errors import Expired
from sojourn.service.forecasts.offers import Wanted
from sojourn.service.reservations.timeline import BARS, MOST_BARS, TimelineView
from sojourn.service.service import Service
from sojourn.service.submission import check_execution_time, check_program
from sojourn.service.timing import times
from sojourn.service.views import DeviceView, JobFilter, JobView, Principal
from sojourn.service.views import Offer as OfferView
from sojourn.worker.protocol.messages import ProtocolError
from sojourn.worker.protocol.types import CHECK

CHECKS = 10
"""The checks of a device that are listed."""

HOUR = 3600.0


class Environment(BaseModel):
    """What a worker runs with: versions. `qpy` is the newest version of QPY that it reads, 0 for none."""

    python: str
    sojourn: str
    qiskit: str
    qpy: int


class Device(BaseModel):
    """`busy`: a job runs; `held`: a session has the device. Their ids, `running` and `active_session`, are
    null for all but their owners and operators; `environment` is null for all but operators, and until a
    worker has started."""

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
    checked: Time | None
    check_summary: str | None
    environment: Environment | None

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
            "checked": iso(view.checked),
            "environment": asdict(view.environment) if view.environment is not None else None,
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


class Bar(BaseModel):
    """The device was somebody's; `end` is null while that lasts. `count` bars are drawn as one that had the
    device for `seconds`. What is null is not there, or not the caller's to see."""

    kind: Literal["job", "held", "system", "reservation", "several"]
    start: Time | None
    end: Time | None
    seconds: float
    count: int
    mine: bool
    job: str | None
    session: str | None
    user: str | None
    project: str | None
    program: str | None
    state: str | None


class Step(BaseModel):
    state: str
    at: Time | None


class Band(BaseModel):
    """A session or batch; `ends` is when its `max_time` is over, `ttl_at` when its interactive time is."""

    id: str | None
    mode: Literal["dedicated", "batch"]
    state: str
    start: Time | None
    end: Time | None
    steps: list[Step]
    mine: bool
    user: str | None
    project: str | None
    ends: Time | None
    ttl_at: Time | None


class CalibratedAt(BaseModel):
    id: str
    at: Time | None


class Timeline(BaseModel):
    """Who had the device when. `start` is later than asked for when that was more than is read at once."""

    device: str
    now: Time | None
    start: Time | None
    end: Time | None
    bars: list[Bar]
    sessions: list[Band]
    reservations: list[Reservation]
    calibrations: list[CalibratedAt]

    @staticmethod
    def of(view: TimelineView) -> dict[str, object]:
        """Its JSON. Without pydantic, which takes ten times as long for thousands of bars."""
        return {
            "device": view.device,
            "now": iso(view.now),
            "start": iso(view.start),
            "end": iso(view.end),
            "bars": [asdict(bar) | {"start": iso(bar.start), "end": iso(bar.end)} for bar in view.bars],
            "sessions": [
                asdict(band)
                | {
                    "start": iso(band.start),
                    "end": iso(band.end),
                    "ends": iso(band.ends),
                    "ttl_at": iso(band.ttl_at),
                    "steps": [{"state": state, "at": iso(at)} for state, at in band.steps],
                }
                for band in view.sessions
            ],
            "reservations": [Reservation.of(each).model_dump() for each in view.reservations],
            "calibrations": [{"id": id, "at": iso(at)} for id, at in view.calibrations],
        }


class Check(BaseModel):
    """One check; `passed` is null where it does not apply, as `detail` says. The rest is the evidence."""

    name: str
    passed: bool | None
    detail: str
    circuit: str
    expected: str
    seen: str


class DeviceCheck(BaseModel):
    """`passed` is null, and there are no `checks`, of a job that has not completed or whose result was
    deleted."""

    job: str
    state: str
    at: Time | None
    passed: bool | None
    summary: str | None
    checks: list[Check]

    @classmethod
    def of(cls, job: JobView, report: Report | None) -> Self:
        found = [] if report is None else report.checks
        return cls(
            job=job.id,
            state=job.state,
            at=iso(job.finished),
            passed=None if report is None else report.passed,
            summary=job.reason,
            checks=[Check.model_validate(asdict(check)) for check in found],
        )


class DeviceChecks(BaseModel):
    """The newest first."""

    device: str
    checks: list[DeviceCheck]


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

    @routes.get("/devices/{name}/timeline", response_model=Timeline)
    async def timeline(
        who: Caller,
        name: Name,
        start: Annotated[str | None, Query(alias="from", max_length=64)] = None,
        end: Annotated[str | None, Query(alias="to", max_length=64)] = None,
        bars: Annotated[int, Query(ge=1, le=MOST_BARS)] = BARS,
    ) -> Response:
        now = service.clock.date()
        until = now + HOUR if end is None else times.instant(end, now, "to")
        since = min(now, until) - HOUR if start is None else times.instant(start, now, "from")
        lead = service.clock.lead
        view = await service.timeline.of(who, name, since + lead, until + lead, most=bars)
        return Response(encode(Timeline.of(view)), media_type="application/json")

    @routes.get("/devices/{name}/calibrations")
    async def calibrations(_: Caller, name: Name) -> Calibrations:
        present = service.devices.get(name).calibration
        rows = [Calibration.of(row, row.id == present) for row in service.devices.calibrations(name)]
        return Calibrations(device=name, calibrations=rows)

    @routes.post("/devices/{name}/check", status_code=201)
    async def check(who: Operator, name: Name, note: Note | None = None) -> Job:
        return Job.of(await service.control.check(who, name, note.message if note else ""))

    @routes.get("/devices/{name}/checks")
    async def checks(who: Operator, name: Name) -> DeviceChecks:
        device = service.devices.get(name).name
        page = await service.jobs.find(who, JobFilter(limit=CHECKS, device=device, program_id=CHECK))
        found = [DeviceCheck.of(job, await _report(service, who, job)) for job in page.jobs]
        return DeviceChecks(device=device, checks=found)

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


async def _report(service: Service, who: Principal, job: JobView) -> Report | None:
    if job.state != "completed":
        return None
    try:
        result = await service.jobs.result(who, job.id, take=False)
        return report_of(result) if isinstance(result, bytes) else None
    except (Expired, ProtocolError):
        return None
