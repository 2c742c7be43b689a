"""What operators do with devices: pause, drain, maintain, resume, calibrate and check them.

The rules are the lane's.
"""

from __future__ import annotations

import structlog

from sojourn.core import events as ev
from sojourn.core.model import DeviceMode, JobKind
from sojourn.service import ids
from sojourn.service.accounts.audit import Audit
from sojourn.service.accounts.directory import SYSTEM_PROJECT, SYSTEM_USER
from sojourn.service.accounts.permissions import Action, may
from sojourn.service.errors import BadRequest, Conflict, Forbidden
from sojourn.service.lanes.dispatcher import Dispatcher
from sojourn.service.lanes.records import Records
from sojourn.service.lanes.registry import Lanes
from sojourn.service.lanes.view_maker import ViewMaker
from sojourn.service.timing.clock import Clock
from sojourn.service.views import JobView, Principal
from sojourn.store import JobMeta
from sojourn.store.database import Work
from sojourn.worker.protocol.types import CALIBRATE, CHECK

log = structlog.get_logger("sojourn.operations")
MAX_MESSAGE = 300


class DeviceControl:
    def __init__(self, clock: Clock, records: Records, lanes: Lanes, audit: Audit, views: ViewMaker) -> None:
        self._clock = clock
        self._records = records
        self._lanes = lanes
        self._audit = audit
        self._views = views

    # states of a device

    async def halt(
        self, who: Principal, device: str, mode: str, message: str = "", until: float | None = None
    ) -> None:
        """`mode` is paused, draining or maintenance. Again, or another mode: the latest word counts.

        `until` says when the end is expected; only `resume` brings it about.
        """
        dispatcher = self._operated(who, device)
        if mode not in tuple(DeviceMode):
            raise BadRequest(f"mode is {mode!r}; it must be one of {', '.join(DeviceMode)}.")
        message = _checked(message)
        if until is not None and until <= self._clock.date():
            raise BadRequest("The expected end is in the past. Name a later time, or none.")
        entry = self._audit.entry(
            who, f"device.{mode}", f"device {device}", message=message or None, until=until
        )
        await dispatcher.feed(ev.DeviceHalted(DeviceMode(mode), who.user, message, until), also=entry.write)
        self._audit.done(entry)

    async def resume(self, who: Principal, device: str) -> None:
        """Online again; of a device that is online it is not an error."""
        dispatcher = self._operated(who, device)
        entry = self._audit.entry(who, "device.resumed", f"device {device}")
        await dispatcher.feed(ev.DeviceResumed(who.user), also=entry.write)
        self._audit.done(entry)

    # checks

    async def check(self, who: Principal, device: str, message: str = "") -> JobView:
        """Queue a conformance check: a system job, as a calibration. Raises Conflict when one is queued or
        running already."""
        dispatcher = self._operated(who, device)
        if device in self._lanes.models:
            raise BadRequest(
                f"{device} is for dry runs and has made-up results; check {self._lanes.models[device]}."
            )
        message = _checked(message)
        pending = pending_job(dispatcher, CHECK)
        if pending is not None:
            raise Conflict(f"{device} is being checked already: job {pending}. Wait for it.")
        entry = self._audit.entry(who, "device.checked", f"device {device}", message=message or None)
        shown = JobMeta(caller=f"{who.user}: {message}" if message else who.user)
        made = await self._queue(device, CHECK, shown, b"{}", entry.write)
        self._audit.done(entry)
        return made

    # calibrations

    async def calibrate(
        self,
        who: Principal,
        device: str,
        message: str = "",
        *,
        inputs: bytes = b"{}",
        tags: tuple[str, ...] = (),
        log_level: str | None = None,
    ) -> JobView:
        """Queue a calibration: a system job, which goes before all others (R9, R11).

        `inputs`, `tags` and `log_level` are shown with it. Raises Conflict when one is queued or running
        already.
        """
        dispatcher = self._operated(who, device)
        if device in self._lanes.models:
            raise BadRequest(
                f"{device} is for dry runs and looks like {self._lanes.models[device]}; calibrate that one."
            )
        message = _checked(message)
        pending = pending_job(dispatcher, CALIBRATE)
        if pending is not None:
            raise Conflict(f"{device} has a calibration under way already: job {pending}. Wait for it.")
        entry = self._audit.entry(who, "device.calibrated", f"device {device}", message=message or None)
        shown = JobMeta(
            caller=f"{who.user}: {message}" if message else who.user, tags=tags, log_level=log_level
        )
        made = await self._queue(device, CALIBRATE, shown, inputs, entry.write)
        self._audit.done(entry)
        return made

    async def calibrate_by_schedule(self, device: str) -> None:
        """As the schedule wants it; nothing is done while one is queued or running already."""
        if pending_job(self._lanes.dispatcher(device), CALIBRATE) is None:
            await self._queue(device, CALIBRATE, JobMeta(caller="the schedule"))

    async def _queue(
        self,
        device: str,
        program: str,
        meta: JobMeta,
        inputs: bytes = b"{}",
        also: Work[object] | None = None,
    ) -> JobView:
        dispatcher = self._lanes.dispatcher(device)
        job_id = ids.new_id("c")
        accepted = ev.JobAccepted(
            job_id,
            self._lanes.take_seq(),
            SYSTEM_USER,
            SYSTEM_PROJECT,
            program,
            kind=JobKind.SYSTEM,
        )
        meta.params_hash, meta.submit_digest = ids.sha256(inputs), ids.sha256(job_id.encode())
        await dispatcher.feed(
            accepted,
            ev.JobPrepared(job_id),
            metas={job_id: meta},
            blobs={meta.params_hash: inputs},
            also=also,
        )
        what = "calibration.queued" if program == CALIBRATE else "check.queued"
        log.info(what, device=device, job=job_id, cause=meta.caller)
        record = self._records.job(job_id)
        assert record is not None, "a committed job is on record"
        return self._views.job(record, self._lanes.position(record))

    def _operated(self, who: Principal, device: str) -> Dispatcher:
        if not may(who, Action.OPERATE_DEVICES):
            raise Forbidden(f"User {who.user!r} is not an operator. Use an operator's API key for this.")
        return self._lanes.dispatcher(device)


def pending_job(dispatcher: Dispatcher, program: str) -> str | None:
    """The system job of the device with this program that has not ended."""
    jobs = dispatcher.lane.jobs.values()
    return next((j.id for j in jobs if j.kind is JobKind.SYSTEM and j.program == program), None)


def _checked(message: str) -> str:
    message = "".join(c for c in " ".join(message.split()) if c.isprintable())  # it goes to terminals
    if len(message) > MAX_MESSAGE:
        raise BadRequest(f"A message has at most {MAX_MESSAGE} characters; this one has {len(message)}.")
    return message
