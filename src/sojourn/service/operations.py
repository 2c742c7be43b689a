"""What operators do with devices: pause, drain, maintain, resume, calibrate. The rules are the lane's."""

from __future__ import annotations

import structlog

from sojourn.core import events as ev
from sojourn.core.model import DeviceMode, JobKind
from sojourn.service import ids
from sojourn.service.directory import SYSTEM_PROJECT, SYSTEM_USER
from sojourn.service.dispatcher import Dispatcher
from sojourn.service.errors import BadRequest, Conflict, Forbidden
from sojourn.service.hub import Hub
from sojourn.service.permissions import Action, may
from sojourn.service.views import DeviceState, JobView, Principal
from sojourn.store import JobMeta
from sojourn.store.database import Work
from sojourn.worker.protocol.types import CALIBRATE

log = structlog.get_logger("sojourn.operations")
MAX_MESSAGE = 300


class Operations:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    # states of a device

    async def halt_device(
        self, who: Principal, device: str, mode: str, message: str = "", until: float | None = None
    ) -> None:
        """`mode` is paused, draining or maintenance. Again, or another mode: the latest word counts.

        `until` says when the end is expected; only `resume_device` brings it about.
        """
        desk = self._desk(who, device)
        if mode not in tuple(DeviceMode):
            raise BadRequest(f"mode is {mode!r}; it must be one of {', '.join(DeviceMode)}.")
        message = _checked(message)
        if until is not None and until <= self._hub.clock.date():
            raise BadRequest("The expected end is in the past. Name a later time, or none.")
        entry = self._hub.audit.entry(
            who, f"device.{mode}", f"device {device}", message=message or None, until=until
        )
        await desk.feed(ev.DeviceHalted(DeviceMode(mode), who.user, message, until), also=entry.write)
        self._hub.audit.done(entry)

    async def resume_device(self, who: Principal, device: str) -> None:
        """Online again; of a device that is online it is no error."""
        desk = self._desk(who, device)
        entry = self._hub.audit.entry(who, "device.resumed", f"device {device}")
        await desk.feed(ev.DeviceResumed(who.user), also=entry.write)
        self._hub.audit.done(entry)

    # calibrations

    async def calibrate(self, who: Principal, device: str, message: str = "") -> JobView:
        """Queue a calibration: a system job, which goes before all others (R9, R11).

        Raises Conflict when one is queued or running already.
        """
        desk = self._desk(who, device)
        if device in self._hub.models:
            raise BadRequest(
                f"{device} is for dry runs and looks like {self._hub.models[device]}; calibrate that one."
            )
        message = _checked(message)
        pending = pending_calibration(desk)
        if pending is not None:
            raise Conflict(f"{device} has a calibration under way already: job {pending}. Wait for it.")
        entry = self._hub.audit.entry(who, "device.calibrated", f"device {device}", message=message or None)
        made = await self.queue_calibration(
            device, f"{who.user}: {message}" if message else who.user, entry.write
        )
        self._hub.audit.done(entry)
        return made

    async def queue_calibration(self, device: str, cause: str, also: Work[object] | None = None) -> JobView:
        """For the schedule too, which has looked whether one is pending."""
        desk = self._hub.dispatcher(device)
        job_id = ids.new_id("c")
        accepted = ev.JobAccepted(
            job_id,
            self._hub.take_seq(),
            SYSTEM_USER,
            SYSTEM_PROJECT,
            CALIBRATE,
            kind=JobKind.SYSTEM,
        )
        meta = JobMeta(caller=cause, params_hash=ids.sha256(b"{}"), submit_digest=ids.sha256(job_id.encode()))
        await desk.feed(
            accepted,
            ev.JobPrepared(job_id),
            metas={job_id: meta},
            blobs={ids.sha256(b"{}"): b"{}"},
            also=also,
        )
        log.info("calibration.queued", device=device, job=job_id, cause=cause)
        record = self._hub.records.job(job_id)
        assert record is not None, "a committed job is on record"
        return self._hub.job_view(record, self._hub.position(record))

    def _desk(self, who: Principal, device: str) -> Dispatcher:
        if not may(who, Action.OPERATE_DEVICES):
            raise Forbidden(f"User {who.user!r} is no operator. Use an operator's API key for this.")
        return self._hub.dispatcher(device)


def pending_calibration(desk: Dispatcher) -> str | None:
    """The system job of the device that has not ended."""
    return next((j.id for j in desk.lane.jobs.values() if j.kind is JobKind.SYSTEM), None)


def state_of(desk: Dispatcher) -> DeviceState:
    """What operators want of the device."""
    halt = desk.lane.status
    if halt is None:
        return DeviceState()
    return DeviceState(halt.mode.value, halt.message, halt.by, halt.since, halt.until)


def _checked(message: str) -> str:
    message = "".join(c for c in " ".join(message.split()) if c.isprintable())  # it goes to terminals
    if len(message) > MAX_MESSAGE:
        raise BadRequest(f"A message has at most {MAX_MESSAGE} characters; this one has {len(message)}.")
    return message
