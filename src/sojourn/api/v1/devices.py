"""Our own API: devices, what operators do with them, and their calibrations."""

from dataclasses import asdict
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from sojourn.api.http.replies import iso
from sojourn.api.v1.common import Callers, Name, Text, Time
from sojourn.api.v1.jobs import Job
from sojourn.devices.checking.report import Report
from sojourn.service.accounts.permissions import Action
from sojourn.service.devices.calibrations import Calibration as CalibrationRow
from sojourn.service.devices.checks import report_of
from sojourn.service.errors import Expired
from sojourn.service.service import Service
from sojourn.service.timing import times
from sojourn.service.views import DeviceView, JobFilter, JobView, Principal
from sojourn.worker.protocol.messages import ProtocolError
from sojourn.worker.protocol.types import CHECK

CHECKS = 10
"""The checks of a device that are listed."""


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
    checked: Time | None
    check_summary: str | None

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

    @routes.post("/devices/{name}/check", status_code=201)
    async def check(who: Operator, name: Name, note: Note | None = None) -> Job:
        return Job.of(await service.control.check(who, name, note.message if note else ""))

    @routes.get("/devices/{name}/checks")
    async def checks(who: Operator, name: Name) -> DeviceChecks:
        device = service.devices.get(name).name
        page = await service.jobs.find(who, JobFilter(limit=CHECKS, device=device, program_id=CHECK))
        found = [DeviceCheck.of(job, await _report(service, who, job)) for job in page.jobs]
        return DeviceChecks(device=device, checks=found)


async def _report(service: Service, who: Principal, job: JobView) -> Report | None:
    if job.state != "completed":
        return None
    try:
        result = await service.jobs.result(who, job.id, take=False)
        return report_of(result) if isinstance(result, bytes) else None
    except (Expired, ProtocolError):
        return None
