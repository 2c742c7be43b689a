"""Prepares jobs: a few workers decode and check them, for all devices of one interpreter.

Decides which preparer gets what and how long it may take; runs no jobs. Whose turn it is, is `turns`' to
say, and what becomes of a job whose preparer is lost, `retries`' to decide.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence

import structlog

from sojourn import codes
from sojourn.execution.engine import DeviceUnavailable, Pace, UserPreparations
from sojourn.execution.local.greeting import LoadRefused, delay, greet
from sojourn.execution.local.interpreter import Interpreter, LaunchFailed
from sojourn.execution.local.liveness import cpu_seconds
from sojourn.execution.local.process import WorkerGone, WorkerProcess
from sojourn.execution.local.retries import Loss, verdict
from sojourn.execution.local.turns import APART, FREE, QUIET, Budgets, Request, Waiting
from sojourn.worker.protocol import messages
from sojourn.worker.protocol.frames import FrameError
from sojourn.worker.protocol.types import DeviceSpec, JobRefused, Prepared

ABANDONED = 1.0
"""Seconds that a preparation is left to end in when its job has ended. Then its preparer is killed, which
costs about as much."""

NOTED = 1.0
"""Seconds from which on a preparation is logged, with its user."""

_DISPATCH_AFTER = 1.0
"""Seconds after which requests are dispatched again that wait although a preparer is free."""

LONGEST_BAR = 3600.0
"""Seconds for which a device whose loading hangs gets no preparer, at the most."""

_FIRST_LOOK = 0.1
"""Part of its time after which the processor time of what is in work is read for the first time. Nearly all
preparations are done before, and a reading costs as much as a step of the event loop."""

_AT_WORK = 0.1
"""Part of its time that a preparer computes at the least. One that had less has hung; the others are busy
with the job, which is then too much."""

log = structlog.get_logger("sojourn.execution")


class PreparerPool:
    """`size` preparers for `specs`. `limit`: seconds that one preparation (or one load) may take at most, see
    `Pace` for what a small job may. `memory`: bytes that one preparation may take, 0 for no limit."""

    def __init__(
        self,
        specs: Sequence[DeviceSpec],
        interpreter: Interpreter,
        *,
        size: int,
        host_class: str,
        limit: float,
        memory: int = 0,
        pace: Pace | None = None,
    ) -> None:
        self.specs = tuple(specs)
        self.interpreter = interpreter
        self.host_class = host_class
        self.limit = limit
        self.memory = memory
        self.waiting = Waiting()
        self._pace = pace or Pace()
        self._budgets = Budgets(self._pace, limit, QUIET if size == 1 else APART)
        self._again: asyncio.TimerHandle | None = None
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

    async def prepare(
        self,
        device: str,
        program_id: str,
        params: bytes,
        user: str = "",
        begun: Callable[[], None] | None = None,
    ) -> Prepared:
        """In the user's turn, see `Waiting`; `begun` is called when a preparer gets it. Raises `JobRefused`,
        `DeviceUnavailable`. Whoever cancels it takes it out of the queue, or off the preparer."""
        if self._stopping:
            raise DeviceUnavailable("the server is stopping")
        self.start()
        self._numbers += 1
        request = Request(self._numbers, user, device, program_id, params, begun)
        self._budgets.asks(user, self.now())
        self.waiting.add(request)
        # In the loop's next round: what comes together, as when a device is up at last, has turns.
        asyncio.get_running_loop().call_soon(self.dispatch)
        try:
            return await request.answer
        finally:
            if request.abandoned:
                self.waiting.remove(request)
                for preparer in self._preparers:
                    preparer.abandon(request)

    def dispatch(self) -> None:
        """Hand waiting requests to the preparers that are free; to the first, its cache is warm.

        A user who is over the budget, or has a long preparation in work, comes after all others and does not
        get the last preparer while there are others. Nor does one who has another preparer already, if
        somebody else has asked lately: that one then need not wait for even a short preparation.
        """
        while self.waiting:
            ready = next((preparer for preparer in self._preparers if preparer.has_room), None)
            if ready is None:
                return
            request = self.waiting.take(self._at_once, self._not_the_last)
            if request is None:
                self._dispatch_later()
                return
            if self._is_barred(request.device):
                why = f"loading device {request.device} took more than {self.limit:g} s lately"
                request.refuse(DeviceUnavailable(why))
            else:
                ready.take(request)

    def _at_once(self, user: str) -> bool:
        return self._in_time(user) and not self._has_all_others(user)

    def _has_all_others(self, user: str) -> bool:
        free = sum(preparer.has_room for preparer in self._preparers)
        if free > 1 or not any(preparer.user == user for preparer in self._preparers):
            return False
        return not self._budgets.alone(user, self.now(), QUIET)

    def _in_time(self, user: str) -> bool:
        if self._budgets.left(user, self.now()) <= 0:
            return False
        return not any(preparer.long_at_work_for(user) for preparer in self._preparers)

    def _not_the_last(self, user: str) -> bool:
        if self._has_all_others(user):
            return False
        if self._budgets.alone(user, self.now()):
            return True
        held = sum(p.user is not None and not self._in_time(p.user) for p in self._preparers)
        return held < self._size - 1

    def _dispatch_later(self) -> None:
        """Dispatch after a second: a budget that refills is not an event."""
        if self._again is None:
            self._again = asyncio.get_running_loop().call_later(_DISPATCH_AFTER, self._dispatch_again)

    def _dispatch_again(self) -> None:
        self._again = None
        self.dispatch()

    def limit_of(self, request: Request) -> float:
        """Seconds that this one may take: a small one need not have what a large one must."""
        own = self._pace.small + self._pace.per_mb * len(request.params) / 1e6
        return min(self.limit, own)

    def took(self, request: Request, seconds: float) -> None:
        """Count what a preparation took, however it ended."""
        self._budgets.spend(request.user, seconds, self.now())
        if seconds >= NOTED:
            log.info(
                "preparation.long",
                **request.named,
                bytes=len(request.params),
                seconds=round(seconds, 3),
                given_up=request.abandoned,
                budget=round(self._budgets.left(request.user, self.now()), 3),
            )

    def users(self) -> list[UserPreparations]:
        """Who waits and who is served, in the order of the names."""
        waiting = self.waiting.of_users()
        at_work = Counter(preparer.user for preparer in self._preparers if preparer.user is not None)
        now = self.now()
        return [
            UserPreparations(user, waiting.get(user, 0), at_work[user], self._budgets.left(user, now))
            for user in sorted({*waiting, *at_work})
        ]

    @staticmethod
    def now() -> float:
        return asyncio.get_running_loop().time()

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
        self._barred[device] = (self.now() + seconds, times)
        log.error("device barred from preparers", device=device, seconds=seconds, times=times)

    def unbar(self, device: str) -> None:
        """It has been loaded."""
        self._barred.pop(device, None)

    def _is_barred(self, device: str) -> bool:
        until = self._barred.get(device)
        return until is not None and self.now() < until[0]

    def give_up(self, reason: str) -> None:
        """No preparer can be started: nobody should wait for one."""
        if any(preparer.process is not None for preparer in self._preparers):
            return
        for request in self.waiting.clear():
            request.refuse(DeviceUnavailable(f"jobs cannot be prepared: {reason}"))

    async def stop(self) -> None:
        """Every waiting preparation raises `DeviceUnavailable`."""
        self._stopping = True
        if self._again is not None:
            self._again.cancel()
        for preparer in self._preparers:
            await preparer.stop()
        for request in self.waiting.clear():
            request.refuse(DeviceUnavailable("the server is stopping"))


class _Preparer:
    """One preparer process after another, and the requests that the present one has."""

    def __init__(self, pool: PreparerPool, number: int) -> None:
        self.process: WorkerProcess | None = None
        self._pool = pool
        self._name = f"preparer-{number + 1}"
        self._flight: deque[Request] = deque()
        self._loading: str | None = None
        self._overdue = False
        self._begun = 0.0
        self._hung = False  # it was overdue and had not computed
        self._warm: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._computed: tuple[float, float | None] | None = (
            None  # when it was looked at, and its seconds then
        )
        self._task = asyncio.create_task(self._live(), name=self._name)

    @property
    def user(self) -> str | None:
        """Whose preparation is in work."""
        return self._flight[0].user if self._flight else None

    @property
    def has_room(self) -> bool:
        return self.process is not None and self.process.alive and not self._flight

    def long_at_work_for(self, user: str) -> bool:
        """Whether a preparation of the user is in work here that is not a short one."""
        return self.user == user and self._loading is None and self._pool.now() - self._begun > FREE

    def warm(self, device: str) -> None:
        if device not in self._warm:
            self._warm.add(device)
            if self.process is not None:
                self.process.send(messages.Load(device, describe=False))

    def take(self, request: Request) -> None:
        assert self.process is not None
        message = messages.Prepare(request.number, request.device, request.program_id)
        try:
            self.process.send(message, request.params)
        except FrameError as error:
            request.refuse(JobRefused(f"The job is too large for a worker: {error}", codes.TOO_LARGE))
            return
        self._flight.append(request)
        if request.begun is not None:
            request.begun()
        self._watch()

    def abandon(self, request: Request) -> None:
        """The job has ended: its preparation need not go on for long."""
        if request in self._flight:
            self._arm()

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
                    pool = self._pool
                    await greet(process, pool.specs, pool.host_class, pool.memory, pool.interpreter.hidden)
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
                process.send(messages.Load(device, describe=False))
            self._pool.dispatch()
            try:
                while True:
                    message, _ = await process.receive()
                    self._on_message(message)
                    failures = 0
            except WorkerGone as gone:
                self.process = None
                self._pool.fault = f"{self._name} ended: {gone.how}"
                failures += 0 if self._flight and process.lost is None else 1
                self._settle(gone.how, suspect=process.lost is None and process.computing)
                if failures > 1:
                    await asyncio.sleep(delay(failures - 1))

    def _on_message(self, message: messages.FromWorker) -> None:
        match message:
            case messages.Loading():
                self._loading = message.device
            case messages.Loaded():
                self._loading = None
                self._pool.unbar(message.device)
            case messages.LoadFailed():
                self._loading = None
                log.warning("preparer cannot load", device=message.device, reason=message.reason)
            case messages.PreparedReply():
                request = self._answered(message.id)
                if request is not None and not request.answer.done():
                    request.answer.set_result(message.prepared)
            case messages.RefusedReply():
                request = self._answered(message.id)
                if request is not None:
                    request.refuse(JobRefused(message.message, message.code))
            case messages.UnavailableReply():
                request = self._answered(message.id)
                self._loading = None
                if request is not None:
                    request.refuse(
                        DeviceUnavailable(f"device {request.device} cannot prepare: {message.reason}")
                    )
            case _:
                self._breaks_protocol(f"{type(message).__name__} from a preparer")
                return
        self._watch()
        self._pool.dispatch()

    def _answered(self, number: int) -> Request | None:
        """The request that this answer is for: the oldest one, as answers come in order."""
        if self._flight and self._flight[0].number == number:
            return self._done()
        self._breaks_protocol(f"an answer to {number}, which is not in work")
        return None

    def _done(self) -> Request:
        """The request in work is in work no longer, and what it took is counted; a load is nobody's."""
        request = self._flight.popleft()
        if self._loading is None:
            self._pool.took(request, self._pool.now() - self._begun)
        return request

    def _breaks_protocol(self, what: str) -> None:
        log.error("preparer broke the protocol", worker=self._name, what=what)
        if self.process is not None:
            self.process.kill()

    def _watch(self, on: bool = True) -> None:
        """Restart the clock of what is in work now; the next one's clock starts when this one is done."""
        self._begun, self._computed = self._pool.now(), None
        self._arm(on)

    def _arm(self, on: bool = True) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if on and (self._flight or self._loading):
            limit = self._limit()
            call_at = asyncio.get_running_loop().call_at
            if self._computed is None:
                self._timer = call_at(self._begun + _FIRST_LOOK * limit, self._first_look)
            else:
                self._timer = call_at(self._begun + limit, self._too_long)

    def _first_look(self) -> None:
        self._computed = self._pool.now(), self._cpu()
        self._arm()

    def _limit(self) -> float:
        """Seconds that what is in work may take; a load is everybody's."""
        if self._loading is not None or not self._flight:
            return self._pool.limit
        request = self._flight[0]
        return ABANDONED if request.abandoned else self._pool.limit_of(request)

    def _cpu(self) -> float | None:
        return cpu_seconds(self.process.pid) if self.process is not None else None

    def _too_long(self) -> None:
        now, computed = self._pool.now(), self._cpu()
        since, before = self._computed or (now, None)
        self._overdue = True
        self._hung = (
            computed is not None and before is not None and computed - before < _AT_WORK * (now - since)
        )
        if self.process is not None:
            self.process.kill()

    def _settle(self, how: str, *, suspect: bool) -> None:
        """Decide what becomes of the requests that a lost preparer had. `suspect`: whether the one in work
        can have caused it. The others are the next of their devices."""
        self._arm(False)
        loading, overdue, limit = self._loading, self._overdue, self._limit()
        log.warning(
            "preparer ended",
            worker=self._name,
            how=how,
            waiting=len(self._flight),
            overdue=overdue,
            suspect=suspect,
            **(self._flight[0].named if self._flight else {}),
        )
        if loading is not None:
            self._warm.discard(loading)  # never in a circle
            if overdue:
                self._pool.bar(loading)
        loss = Loss(how, suspect, loading, limit if overdue else None, self._hung, self._pool.memory)
        if self._flight:
            head = self._flight[0]
            if head.abandoned:
                self._done()
            elif (refusal := verdict(head, loss)) is not None:
                self._done().refuse(refusal)
            elif suspect and loading is None and not self._hung:  # it has its second try, at its own cost
                self._pool.took(head, self._pool.now() - self._begun)
        self._loading, self._overdue, self._hung = None, False, False
        self._pool.waiting.put_back(self._flight)
        self._flight.clear()
        self._pool.dispatch()
