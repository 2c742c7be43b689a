"""What each device offers to a job that is not submitted: whether it may come, its start and its cost."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from sojourn.core.admission import draining
from sojourn.core.model import Job, JobState
from sojourn.service.companions import is_mock
from sojourn.service.errors import Refusal
from sojourn.service.forecasts.facts import facts
from sojourn.service.forecasts.forecasts import Forecasts
from sojourn.service.ids import new_id
from sojourn.service.lanes.dispatcher import Dispatcher
from sojourn.service.lanes.registry import Lanes
from sojourn.service.projects.limits import Limits
from sojourn.service.submission import NewJob
from sojourn.service.views import Offer, Principal, QueueFacts


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job of `seconds` on the device, as preparation would estimate it. Without a `device`: on each."""

    seconds: float
    program: str
    max_execution_time: int | None = None
    device: str | None = None


class Offers:
    """Changes nothing: what a question counts for the limits is taken back at once."""

    def __init__(self, *, lanes: Lanes, limits: Limits, forecasts: Forecasts) -> None:
        self._lanes = lanes
        self._limits = limits
        self._forecasts = forecasts

    async def of(self, who: Principal, wanted: Wanted) -> list[Offer]:
        """Those that would start it first come first. Raises NotFound for a device that does not exist."""
        if wanted.device is not None:
            names = [self._lanes.dispatcher(wanted.device).device]
        else:
            names = [name for name, spec in self._lanes.specs.items() if not is_mock(spec)]
        offers = [await self._of_device(who, wanted, self._lanes.dispatcher(name)) for name in names]
        return sorted(offers, key=_start)

    async def _of_device(self, who: Principal, wanted: Wanted, dispatcher: Dispatcher) -> Offer:
        lane, name = dispatcher.lane, dispatcher.device
        new = NewJob(wanted.program, b"{}", name, max_execution_time=wanted.max_execution_time)
        own = self._limits.own_limit(who, new, lane.profile)
        job = Job(
            id=new_id("f"),
            seq=0,
            user=who.user_id,
            project=who.project_id,
            program=wanted.program,
            accepted_at=0.0,
            limit=lane.profile.run_limit(wanted.program, own),
            own_limit=own,
            stated=wanted.max_execution_time is not None or own is None,
            estimate=wanted.seconds,
            state=JobState.QUEUED,
        )
        if (least := lane.profile.from_estimate(job)) is not None:
            job.limit = min(job.limit, least)
        refused = self._refusal(who, new, dispatcher)
        queue: QueueFacts | None = None
        if refused is None:
            forecast = await self._forecasts.if_submitted(name, job)
            queue = facts(forecast, job.id, self._forecasts.project_name)
        low, middle, high = self._forecasts.length_of(name, job)
        allocation = lane.shares.project(who.project_id).allocation
        left = None if allocation is None else max(0.0, allocation - lane.used(who.project_id))
        return Offer(name, refused, job.limit, (low, middle, high), left, queue)

    def _refusal(self, who: Principal, new: NewJob, dispatcher: Dispatcher) -> str | None:
        """Why a submit of it would be refused now."""
        stopped = draining(dispatcher.device, dispatcher.lane.status)
        if stopped is not None:
            return stopped.message
        probe = new_id("f")
        try:
            self._limits.job(who, probe, new, dispatcher.device, dispatcher.lane.profile)
        except Refusal as refusal:
            return str(refusal)
        self._limits.job_refused(probe)
        return None


def _start(offer: Offer) -> tuple[float, str]:
    start = offer.queue.start if offer.queue is not None else None
    return start.expected if start is not None else inf, offer.device
