"""Preparations: a few workers that decode and check jobs for all devices of one interpreter.

Owns the queue of preparations and the question of guilt when a preparer dies; may not run jobs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from sojourn.execution import protocol
from sojourn.execution.frames import FrameError
from sojourn.execution.process import WorkerGone, WorkerProcess
from sojourn.execution.pulse import cpu_seconds
from sojourn.execution.spawn import Interpreter, LaunchFailed
from sojourn.execution.supervisor import LoadRefused, delay, greet
from sojourn.execution.types import DeviceSpec, DeviceUnavailable, JobRefused, Prepared

IN_FLIGHT = 4
"""Preparations handed to a lone preparer at a time, so that it need not wait for the server in between.
Several preparers get one each: nobody waits behind a slow job while another preparer is free."""

CRASH_CODE = 1204

LONGEST_BAR = 3600.0
"""Seconds for which a device whose loading hangs gets no preparer, at the most."""

MOST_UNLUCKY = 5
"""Preparers that may be lost under one request, for reasons that are not the request's."""

_AT_WORK = 0.1
"""Part of its time that a preparer computes at the least. One that had less has hung; the others are busy
with the job, which is then too much."""

log = structlog.get_logger("sojourn.execution")


class _Request:
    __slots__ = ("answer", "device", "number", "params", "program_id", "struck", "unlucky")

    def __init__(self, number: int, device: str, program_id: str, params: bytes) -> None:
        self.number, self.device, self.program_id, self.params = number, device, program_id, params
        self.answer: asyncio.Future[Prepared] = asyncio.get_running_loop().create_future()
        self.struck = False
        """Whether a preparer has died or hung at it."""
        self.unlucky = 0
        """How many were lost before they had read it, or of something that no job can cause."""

    def refuse(self, error: JobRefused | DeviceUnavailable) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class _Waiting:
    """Requests without a preparer. The devices take turns; of one device, first come is first served."""

    def __init__(self) -> None:
        self._of: dict[str, deque[_Request]] = {}  # the device whose turn it is comes first

    def __bool__(self) -> bool:
        return bool(self._of)

    def add(self, request: _Request) -> None:
        self._of.setdefault(request.device, deque()).append(request)

    def put_back(self, requests: Sequence[_Request]) -> None:
        """They were taken and not served: they are their devices' first again."""
        for request in reversed(requests):
            self._of.setdefault(request.device, deque()).appendleft(request)

    def take(self) -> _Request:
        device = next(iter(self._of))
        of_device = self._of.pop(device)
        request = of_device.popleft()
        if of_device:
            self._of[device] = of_device
        return request


class PreparerPool:
    """`size` preparers for `specs`. `limit`: seconds that one preparation (or one load) may take.
    `memory`: bytes that one preparation may take, 0 for no limit."""

    def __init__(
        self,
        specs: Sequence[DeviceSpec],
        interpreter: Interpreter,
        *,
        size: int,
        machine: str,
        limit: float,
        memory: int = 0,
    ) -> None:
        self.specs = tuple(specs)
        self.interpreter = interpreter
        self.machine = machine
        self.limit = limit
        self.memory = memory
        self.waiting = _Waiting()
        self.in_flight = IN_FLIGHT if size == 1 else 1
        self._size = size
        self._numbers = 0
        self._preparers: list[_Preparer] = []
        self._stopping = False
        self.fault: str | None = None
        """Why a preparer was lost or did not start, until all are up."""
        self._been_up = False
        self._barred: dict[str, tuple[float, int]] = {}

    @property
    def pids(self) -> tuple[int, ...]:
        """The preparers that are up."""
        found = (preparer.process.pid for preparer in self._preparers if preparer.process is not None)
        return tuple(pid for pid in found if pid is not None)

    @property
    def missing(self) -> bool:
        """Whether there is none where there has been one, or where one could not be started."""
        return not self.up and (self._been_up or self.fault is not None)

    @property
    def up(self) -> int:
        """How many preparers are up."""
        return sum(preparer.process is not None and preparer.process.alive for preparer in self._preparers)

    @property
    def wanted(self) -> int:
        """How many should be: none before the first one is needed."""
        return len(self._preparers)

    def start(self) -> None:
        """Bring the preparers up in the background. Safe to repeat."""
        if not self._preparers and not self._stopping:
            self._preparers = [_Preparer(self, number) for number in range(self._size)]

    def warm(self, device: str) -> None:
        """Have every preparer load the device now, so that its first job does not wait for it."""
        for preparer in self._preparers:
            preparer.warm(device)

    async def prepare(self, device: str, program_id: str, params: bytes) -> Prepared:
        """Among the devices in turn, see `_Waiting`. Raises `JobRefused`, `DeviceUnavailable`."""
        if self._stopping:
            raise DeviceUnavailable("the server is stopping")
        self.start()
        self._numbers += 1
        request = _Request(self._numbers, device, program_id, params)
        self.waiting.add(request)
        self.dispatch()
        return await request.answer

    def dispatch(self) -> None:
        """Hand waiting requests to the least loaded preparers; in a tie to the first, its cache is warm."""
        while self.waiting:
            ready = [preparer for preparer in self._preparers if preparer.has_room]
            if not ready:
                return
            request = self.waiting.take()
            if self._is_barred(request.device):
                request.refuse(
                    DeviceUnavailable(
                        f"loading device {request.device} took more than {self.limit:g} s lately"
                    )
                )
            elif not request.answer.done():  # else its caller has gone away
                min(ready, key=lambda preparer: preparer.load).take(request)

    def came_up(self) -> None:
        """One more preparer is up."""
        self._been_up = True
        if self.up == self.wanted:
            self.fault = None

    def bar(self, device: str) -> None:
        """Loading it has held a preparer up for all of the limit: for a while, longer each time, no preparer
        is given to it, so that it cannot take them all from the other devices."""
        times = self._barred.get(device, (0.0, 0))[1] + 1
        seconds = min(LONGEST_BAR, self.limit * 2.0**times)
        self._barred[device] = (asyncio.get_running_loop().time() + seconds, times)
        log.error("device barred from preparers", device=device, seconds=seconds, times=times)

    def unbar(self, device: str) -> None:
        """It has been loaded."""
        self._barred.pop(device, None)

    def _is_barred(self, device: str) -> bool:
        until = self._barred.get(device)
        return until is not None and asyncio.get_running_loop().time() < until[0]

    def give_up(self, reason: str) -> None:
        """No preparer can be started: nobody should wait for one."""
        if any(preparer.process is not None for preparer in self._preparers):
            return
        while self.waiting:
            self.waiting.take().refuse(DeviceUnavailable(f"jobs cannot be prepared: {reason}"))

    async def stop(self) -> None:
        """Every waiting preparation raises `DeviceUnavailable`."""
        self._stopping = True
        for preparer in self._preparers:
            await preparer.stop()
        while self.waiting:
            self.waiting.take().refuse(DeviceUnavailable("the server is stopping"))


class _Preparer:
    """One preparer process after another, and the requests that the present one has."""

    def __init__(self, pool: PreparerPool, number: int) -> None:
        self.process: WorkerProcess | None = None
        self._pool = pool
        self._name = f"preparer-{number + 1}"
        self._flight: deque[_Request] = deque()
        self._loading: str | None = None
        self._overdue = False
        self._hung = False  # it was overdue and had not computed
        self._warm: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0  # when the clock of what is in work was started, and
        self._computed: float | None = None  # what the process had computed by then
        self._task = asyncio.create_task(self._live(), name=self._name)

    @property
    def load(self) -> int:
        return len(self._flight)

    @property
    def has_room(self) -> bool:
        return self.process is not None and self.process.alive and len(self._flight) < self._pool.in_flight

    def warm(self, device: str) -> None:
        if device not in self._warm:
            self._warm.add(device)
            if self.process is not None:
                self.process.send(protocol.Load(device, describe=False))

    def take(self, request: _Request) -> None:
        assert self.process is not None
        message = protocol.Prepare(request.number, request.device, request.program_id)
        try:
            self.process.send(message, request.params)
        except FrameError as error:
            request.refuse(JobRefused(f"The job is too large for a worker: {error}", 1215))
            return
        self._flight.append(request)
        if len(self._flight) == 1:
            self._watch()

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        self._watch(False)
        if self.process is not None:
            self.process.kill()
        while self._flight:
            self._flight.popleft().refuse(DeviceUnavailable("the server is stopping"))

    async def _live(self) -> None:
        failures = 0
        while True:
            process: WorkerProcess | None = None
            try:
                process = await self._pool.interpreter.launch(
                    self._name, tuple(sorted({spec.driver for spec in self._pool.specs if not spec.lazy}))
                )
                async with asyncio.timeout(self._pool.limit):
                    await greet(process, self._pool.specs, self._pool.machine, self._pool.memory)
            except Exception as error:  # whatever it is, see `Supervisor._live`
                if not isinstance(error, LaunchFailed | LoadRefused | WorkerGone | TimeoutError):
                    log.exception("preparer not started", worker=self._name)
                failures += 1
                reason = str(error) or f"the preparer did not start within {self._pool.limit:g} s"
                if process is not None:
                    process.kill()
                    await asyncio.shield(process.gone)
                    reason = f"{reason} {process.output.last_words}".strip()
                self._pool.fault = f"{self._name} does not start: {reason}"
                log.error("preparer failed", worker=self._name, reason=reason, attempt=failures)
                if failures > 1:
                    self._pool.give_up(reason)
                    await asyncio.sleep(delay(failures - 1))
                continue
            except asyncio.CancelledError:
                if process is not None:
                    process.kill()
                raise
            self.process = process
            self._pool.came_up()
            for device in sorted(self._warm):
                process.send(protocol.Load(device, describe=False))
            self._pool.dispatch()
            try:
                while True:
                    message, _ = await process.receive()
                    self._hear(message)
                    failures = 0
            except WorkerGone as gone:
                self.process = None
                self._pool.fault = f"{self._name} ended: {gone.how}"
                failures += 0 if self._flight and process.lost is None else 1
                self._bury(gone.how, guilty=process.lost is None and process.computing)
                if failures > 1:
                    await asyncio.sleep(delay(failures - 1))

    def _hear(self, message: protocol.FromWorker) -> None:
        match message:
            case protocol.Loading():
                self._loading = message.device
            case protocol.Loaded():
                self._loading = None
                self._pool.unbar(message.device)
            case protocol.LoadFailed():
                self._loading = None
                log.warning("preparer cannot load", device=message.device, reason=message.reason)
            case protocol.PreparedReply():
                request = self._answered(message.id)
                if request is not None and not request.answer.done():
                    request.answer.set_result(message.prepared)
            case protocol.RefusedReply():
                request = self._answered(message.id)
                if request is not None:
                    request.refuse(JobRefused(message.message, message.code))
            case protocol.UnavailableReply():
                self._loading = None
                request = self._answered(message.id)
                if request is not None:
                    request.refuse(
                        DeviceUnavailable(f"device {request.device} cannot prepare: {message.reason}")
                    )
            case _:
                self._breaks_protocol(f"{type(message).__name__} from a preparer")
                return
        self._watch()
        self._pool.dispatch()

    def _answered(self, number: int) -> _Request | None:
        """The request that this answer is for: the oldest one, as answers come in order."""
        if self._flight and self._flight[0].number == number:
            return self._flight.popleft()
        self._breaks_protocol(f"an answer to {number}, which is not in work")
        return None

    def _breaks_protocol(self, what: str) -> None:
        log.error("preparer broke the protocol", worker=self._name, what=what)
        if self.process is not None:
            self.process.kill()

    def _watch(self, on: bool = True) -> None:
        """Restart the clock of what is in work now; the next one's clock starts when this one is done."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if on and (self._flight or self._loading):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._pool.limit, self._too_long)
            self._since, self._computed = loop.time(), self._cpu()

    def _cpu(self) -> float | None:
        return cpu_seconds(self.process.pid) if self.process is not None else None

    def _too_long(self) -> None:
        computed, before = self._cpu(), self._computed
        passed = asyncio.get_running_loop().time() - self._since
        self._overdue = True
        self._hung = computed is not None and before is not None and computed - before < _AT_WORK * passed
        if self.process is not None:
            self.process.kill()

    def _starved(self, how: str) -> str:
        """Native code that gets no memory aborts."""
        if how != "SIGABRT" or not self._pool.memory:
            return ""
        return f", as it does when a job needs more than its {self._pool.memory / 2**20:.0f} MB of memory"

    def _bury(self, how: str, *, guilty: bool) -> None:
        """Settle who is to blame. `guilty`: whether something in work can be. The others are their devices'
        next."""
        self._watch(False)
        loading, overdue, hung = self._loading, self._overdue, self._hung
        self._loading, self._overdue, self._hung = None, False, False
        log.warning(
            "preparer ended",
            worker=self._name,
            how=how,
            waiting=len(self._flight),
            overdue=overdue,
            guilty=guilty,
        )
        if loading is not None:
            self._warm.discard(loading)  # never in a circle
            if overdue:
                self._pool.bar(loading)
        if self._flight:
            head = self._flight[0]
            refusal = self._verdict(head, how, loading if guilty else None, overdue, hung, guilty)
            if refusal is not None:
                self._flight.popleft().refuse(refusal)
        self._pool.waiting.put_back(self._flight)
        self._flight.clear()
        self._pool.dispatch()

    def _verdict(
        self, head: _Request, how: str, loading: str | None, overdue: bool, hung: bool, guilty: bool
    ) -> JobRefused | DeviceUnavailable | None:
        """What becomes of the request in work; None: another preparer gets it. Only one that has taken two
        preparers with it, or all the time that there is, is refused."""
        limit = self._pool.limit
        if not guilty:
            head.unlucky += 1
            if head.unlucky < MOST_UNLUCKY:
                return None
            return DeviceUnavailable(
                f"{head.unlucky} preparers were lost before they had seen the job ({how})"
            )
        if loading is not None:
            if head.device != loading:
                return None
            what = f"took more than {limit:g} s" if overdue else f"crashed ({how})"
            return DeviceUnavailable(f"loading device {loading} {what}")
        if not head.struck and (hung or not overdue):
            head.struck = True
            return None
        if overdue:
            return JobRefused(
                f"Preparing the job took more than {limit:g} s, the limit, and was given up. "
                "Submit fewer or smaller circuits in one job.",
                CRASH_CODE,
            )
        return JobRefused(
            f"The job crashed the decoder ({how}){self._starved(how)}, twice. Check the circuits and "
            "their parameters; the device itself is not affected.",
            CRASH_CODE,
        )
