"""One device's worker: brought up, kept up, given one run at a time, killed on request.

Owns the device's `WorkerState` and its back-off; may not know about jobs beyond the attempt at hand, nor
how a process is started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from sojourn import codes
from sojourn.devices.shortage import ran_out
from sojourn.execution.engine import (
    JOB,
    Crashed,
    DeviceUnavailable,
    Lost,
    RunOutcome,
    RunRequest,
    Stopped,
    WorkerPhase,
    WorkerState,
)
from sojourn.execution.local.greeting import LoadRefused, delay, greet
from sojourn.execution.local.interpreter import Interpreter, LaunchFailed
from sojourn.execution.local.process import WorkerGone, WorkerProcess
from sojourn.execution.local.ticket import Ticket
from sojourn.worker.protocol import messages
from sojourn.worker.protocol.frames import FrameError
from sojourn.worker.protocol.memory import exceeded
from sojourn.worker.protocol.types import (
    CHECK,
    Completed,
    Description,
    DeviceSpec,
    Environment,
    Failed,
    Traits,
)

_STEADY = 10.0  # seconds; an idle worker that lived so long died of something new
HEALTH_INTERVAL = 15.0
"""Seconds between two questions to an idle worker about the health of its device, where it has an answer."""
HEALTH_LIMIT = 30.0
"""Seconds that the answer may take; then the worker is replaced."""

log = structlog.get_logger("sojourn.execution")


class Supervisor:
    """Keeps the worker of `spec`. `load_limit`: seconds that loading may take."""

    def __init__(
        self,
        spec: DeviceSpec,
        interpreter: Interpreter,
        *,
        on_state: Callable[[str, WorkerState], None],
        host_class: str,
        load_limit: float,
        health_interval: float = HEALTH_INTERVAL,
    ) -> None:
        self.spec = spec
        self.state = WorkerState(WorkerPhase.ASLEEP if spec.lazy else WorkerPhase.STARTING)
        self.described: Description | None = None
        self.calibration = b""
        """The properties (JSON text) of the calibration in force; empty: what the driver finds by itself."""
        self._applied = b""  # the one that the present worker has
        self._environment: Environment | None = None
        self._interpreter = interpreter
        self._on_state = on_state
        self._host_class = host_class
        self._load_limit = load_limit
        self._health_interval = health_interval
        self._suspect = False  # it has failed the conformance check and not passed it since
        self._process: WorkerProcess | None = None
        self._changed: asyncio.Future[None] | None = None
        self._life: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._tickets: dict[str, Ticket] = {}
        self._runs = 0
        self._job = ""  # that runs, or at which the worker has just ended
        self._renewals = 0
        self._ended: list[str] = []  # sessions of which the worker is still to be told
        self._stopping = False

    def wake(self) -> None:
        """Start the worker if it has not been started."""
        if self._life is None and not self._stopping:
            self._life = asyncio.create_task(self._live(), name=f"worker of {self.spec.name}")
            if self.state.phase is WorkerPhase.ASLEEP:
                self._set(WorkerPhase.STARTING)

    async def stop(self) -> None:
        """No worker is started any more; runs in flight raise `DeviceUnavailable`."""
        self._stopping = True
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait([self._life])
        if self._process is not None:
            self._process.kill()
        self._notify()

    async def description(self) -> Description:
        """What the device last said of itself; waits for the first time. Raises `DeviceUnavailable`."""
        self.wake()
        while self.described is None:
            self._check_available()
            await self._change()
        return self.described

    async def run(self, request: RunRequest) -> RunOutcome:
        """Run on the worker, after earlier calls. Raises `DeviceUnavailable`; `Crashed` and `Lost` are
        outcomes.

        Cancelling the caller's task kills the worker.
        """
        if request.run_id in self._tickets:
            raise ValueError(f"run {request.run_id!r} is already in flight on {self.spec.name}")
        ticket = self._tickets[request.run_id] = Ticket()
        self.wake()
        try:
            async with self._turn:
                while (process := await self._ready_process(ticket)) is not None:
                    outcome = await self._run_on(process, ticket, request)
                    if outcome is not None:
                        if self._doubtful(request, outcome):
                            await self._look(process)
                        return outcome
                return Stopped()
        finally:
            del self._tickets[request.run_id]

    def kill(self, run_id: str) -> None:
        """Stop that run, wherever it is; unknown: nothing happens."""
        ticket = self._tickets.get(run_id)
        if ticket is not None and not ticket.stopped:
            ticket.stopped = True
            ticket.stop(self._traits.cancel_seconds)
            self._notify()

    def end_session(self, session: str) -> None:
        """Tell the worker, if it has the device: another one has nothing of the session. Between two runs, as
        what comes during a run is a cancel."""
        self._ended.append(session)
        self._tell_ended()

    def _tell_ended(self) -> None:
        if self.state.phase is not WorkerPhase.BUSY:
            ended, self._ended = self._ended, []
            if self._process is not None and self.state.phase in (WorkerPhase.READY, WorkerPhase.UNHEALTHY):
                for session in ended:
                    self._process.send(messages.SessionEnded(self.spec.name, session))

    async def _ready_process(self, ticket: Ticket) -> WorkerProcess | None:
        """The worker, when it can take a run; None when the run was stopped meanwhile."""
        while True:
            if ticket.stopped:
                return None
            self._check_available()
            process = self._process
            if self.state.phase is WorkerPhase.READY and process is not None and process.alive:
                return process
            await self._change()

    def _check_available(self) -> None:
        if self._stopping:
            raise DeviceUnavailable("the server is stopping")
        if self.state.phase is WorkerPhase.FAILED:
            raise DeviceUnavailable(f"device {self.spec.name} has no worker: {self.state.reason}")
        if self.state.phase is WorkerPhase.UNHEALTHY:
            raise DeviceUnavailable(f"device {self.spec.name} cannot take a job: {self.state.reason}")

    async def _run_on(self, process: WorkerProcess, ticket: Ticket, request: RunRequest) -> RunOutcome | None:
        """None when the worker was lost before it was given the job: another one can have it."""
        self._runs += 1
        number = self._runs
        self._job = job = JOB.get()
        try:
            ticket.process = process
            if self._applied is not self.calibration:
                await self._load(process)
            process.output.begin(job)
            run = messages.Run(
                number,
                self.spec.name,
                request.program_id,
                job=request.job,
                session=request.session,
                at=request.at,
            )
            process.send(run, request.params)
            ticket.number = number
            self._set(WorkerPhase.BUSY, pid=process.pid)
            reply, payload = await process.receive()
            while isinstance(reply, messages.ProgressNote):
                if request.progress is not None and reply.id == number:
                    request.progress(reply.part, reply.words)
                reply, payload = await process.receive()
            output = process.output.collect()
        except LoadRefused as refused:
            log.error("calibration not applied", device=self.spec.name, reason=str(refused))
            process.kill()  # the next worker loads with it, or says why not
            return None
        except FrameError as error:
            return Failed(f"The job is too large for a worker: {error}", codes.TOO_LARGE)
        except WorkerGone as gone:
            if self._stopping:
                raise DeviceUnavailable("the server is stopping", touched=ticket.number is not None) from None
            if process.lost is not None and self._process is process:  # before anybody starts the next run
                self._set(WorkerPhase.STARTING, reason=_why_replaced(process, gone.how))
            if ticket.stopped:
                return Stopped()
            if ticket.number is None:
                return None
            if process.lost is not None:
                return Lost(process.lost)
            await self._replaced(process, ticket)
            said = f"{process.output.collect()}\n{process.output.last_words}"
            if self.spec.memory and ran_out(said):  # native code that does not ask for memory twice
                return Failed(exceeded(self.spec.name, self.spec.memory), codes.OUT_OF_MEMORY, said, said)
            return Crashed(gone.how)
        except asyncio.CancelledError:
            process.kill()
            raise
        finally:
            ticket.over()
            if process.alive:
                self._job = ""
            if self._process is process and process.alive and self.state.phase is WorkerPhase.BUSY:
                self._set(WorkerPhase.READY, pid=process.pid)
            self._tell_ended()
        if ticket.stopped:
            if process.killed:  # the result and the kill crossed
                await asyncio.shield(process.gone)
            return Stopped()
        match reply:
            case messages.CompletedReply(id=answered) if answered == number:
                logs = _joined(reply.logs, output)
                return Completed(payload, reply.quantum_seconds, logs, used=reply.used, held=reply.held)
            case messages.FailedReply(id=answered) if answered == number:
                logs = _joined(reply.logs, output)
                return Failed(reply.reason, reply.code, reply.detail, logs, used=reply.used)
            case messages.UnavailableReply(id=answered) if answered == number:
                process.kill()  # the next one is there when it has reached the device
                self._set(WorkerPhase.STARTING, reason=reply.reason)
                raise DeviceUnavailable(reply.reason)
            case _:
                process.kill()
                return Crashed(f"broke the protocol: {type(reply).__name__} in answer to Run")

    @property
    def _traits(self) -> Traits:
        return Traits() if self.described is None else self.described.traits

    # health

    def _doubtful(self, request: RunRequest, outcome: RunOutcome) -> bool:
        """Whether the run gives reason to ask how the device is, before it has another one."""
        if request.program_id == CHECK:
            return True
        return self._traits.asks_health and isinstance(outcome, Failed)

    async def _watch_health(self, process: WorkerProcess) -> None:
        """Ask an idle worker now and then, for as long as it lives."""
        while process.alive:
            await asyncio.sleep(self._health_interval)
            if not self._turn.locked():  # else a job runs, and the device has not failed it yet
                async with self._turn:
                    await self._look(process)

    async def _look(self, process: WorkerProcess) -> None:
        """Ask how the device is; the answer is in the state from then on. In the turn of a run."""
        if not process.alive or self.state.phase not in (WorkerPhase.READY, WorkerPhase.UNHEALTHY):
            return
        process.send(messages.AskHealth(self.spec.name))
        try:
            async with asyncio.timeout(HEALTH_LIMIT):
                reply, _ = await process.receive()
        except asyncio.CancelledError:
            process.kill()  # the next answer of this one would be to this question
            raise
        except WorkerGone:
            return
        except TimeoutError:
            process.lost = f"did not say within {HEALTH_LIMIT:g} s how its device is"
            process.kill()
            return
        if not isinstance(reply, messages.HealthReply) or reply.reload:
            reason = reply.reason if isinstance(reply, messages.HealthReply) else type(reply).__name__
            log.error("device misfit", device=self.spec.name, reason=reason)
            self._suspect = True
            process.kill()  # the next worker loads it anew, and checks it before it is served
            await asyncio.shield(process.gone)
            return
        if not process.alive or reply.reason == self.state.reason:
            return
        if reply.reason is None:
            log.info("device healthy", device=self.spec.name)
            self._set(WorkerPhase.READY, pid=process.pid)
        else:
            log.warning("device unhealthy", device=self.spec.name, reason=reply.reason)
            self._set(WorkerPhase.UNHEALTHY, reason=reply.reason, pid=process.pid)

    # life

    async def _replaced(self, gone: WorkerProcess, ticket: Ticket) -> None:
        """Wait until another worker is there, or is not to be had: the device is not free before that, and
        the time is the job's that ended the one before (D23)."""
        while not (self._stopping or ticket.stopped or self.state.phase is WorkerPhase.FAILED):
            up = self.state.phase in (WorkerPhase.READY, WorkerPhase.UNHEALTHY)
            if up and self._process is not gone:
                return
            await self._change()

    async def _live(self) -> None:
        """The worker's life after life."""
        failures = deaths = 0
        reported = ""
        while True:
            try:
                process = await self._bring_up()
            except Exception as error:  # whatever it is: a device whose worker is given up for good is lost
                if not isinstance(error, LoadRefused | LaunchFailed | WorkerGone):
                    log.exception("worker not started", device=self.spec.name)
                failures += 1
                if isinstance(error, WorkerGone) and failures == 1:
                    log.warning("worker died while loading", device=self.spec.name, how=str(error))
                    continue
                self._set(WorkerPhase.FAILED, reason=str(error))
                known = str(error) == reported  # one that is tried again for hours should not fill the log
                (log.debug if known else log.error)(
                    "worker failed", device=self.spec.name, reason=str(error), attempt=failures
                )
                reported = str(error)
                await asyncio.sleep(delay(failures))
                continue
            failures, reported = 0, ""
            runs, born = self._runs, asyncio.get_running_loop().time()
            self._set(WorkerPhase.READY, pid=process.pid)
            how = await self._outlived(process)
            worked = self.state.phase is WorkerPhase.BUSY or process.killed or self._runs > runs
            hung = process.lost is not None and process.killed
            if worked and not hung:
                deaths = 0  # it died of its work: the next one is innocent
            elif asyncio.get_running_loop().time() - born >= _STEADY:
                deaths = 1
            else:
                deaths += 1
            told = {"job": self._job} if self._job else {}
            self._job = ""
            log.warning(
                "worker ended",
                device=self.spec.name,
                pid=process.pid,
                how=how,
                killed=process.killed,
                **told,
            )
            self._set(WorkerPhase.STARTING, reason=_why_replaced(process, how))
            if deaths > 1:
                what = "is lost again and again" if hung else "dies without work"
                self._set(WorkerPhase.FAILED, reason=f"its worker {what} ({how})")
                await asyncio.sleep(delay(deaths - 1))

    async def _outlived(self, process: WorkerProcess) -> str:
        """Wait for the end of the worker: how it ended."""
        watches = []
        if self._traits.asks_health:
            watches.append(
                asyncio.create_task(self._watch_health(process), name=f"health of {self.spec.name}")
            )
        if self._traits.renew:
            watches.append(
                asyncio.create_task(self._watch_changes(process), name=f"look at {self.spec.name}")
            )
        try:
            return await asyncio.shield(process.gone)
        finally:
            for watch in watches:
                watch.cancel()

    async def _watch_changes(self, process: WorkerProcess) -> None:
        """Have an idle worker describe its device anew now and then, for as long as it lives."""
        while process.alive:
            await asyncio.sleep(self._traits.renew)
            if not self._turn.locked():  # else a job runs, and is told of what has changed
                async with self._turn:
                    await self._renew(process)

    async def _renew(self, process: WorkerProcess) -> None:
        """Ask again what the device is. One that cannot say is not served until it can. In the turn of a
        run."""
        if not process.alive or self.state.phase not in (WorkerPhase.READY, WorkerPhase.UNHEALTHY):
            return
        before = self.described
        try:
            async with asyncio.timeout(self._load_limit):
                await self._load(process)
        except WorkerGone:
            return
        except (LoadRefused, messages.ProtocolError, TimeoutError) as error:
            self._set(WorkerPhase.STARTING, reason=str(error) or "it did not say what the device is")
            process.kill()
            return
        if self.described != before:
            self._renewals += 1
            self._set(self.state.phase, reason=self.state.reason, pid=process.pid)

    async def _bring_up(self) -> WorkerProcess:
        """A worker that has described its device. Raises `LoadRefused`, `LaunchFailed`, `WorkerGone`."""
        process = self._process = await self._interpreter.launch(self.spec.name, (self.spec.driver,))
        try:
            async with asyncio.timeout(self._load_limit):
                spec = replace(self.spec, recheck=self._suspect)
                self._environment = await greet(
                    process, (spec,), self._host_class, hidden=self._interpreter.hidden
                )
                await self._load(process)
        except WorkerGone as gone:
            words = process.output.last_words
            where = f" with {self.spec.python}" if self.spec.python else ""
            raise WorkerGone(
                f"the worker ended ({gone.how}) while loading{where}" + (f": {words}" if words else "")
            ) from None
        except TimeoutError:
            await self._discard(process)
            raise LoadRefused(f"did not load within {self._load_limit:g} s") from None
        except (LoadRefused, messages.ProtocolError) as error:
            await self._discard(process)
            raise LoadRefused(str(error)) from None
        self._suspect = False
        return process

    async def _load(self, process: WorkerProcess) -> None:
        """Load the device, or apply the present calibration to the loaded one."""
        calibration = self.calibration
        process.send(messages.Load(self.spec.name, describe=True), calibration)
        self.described = await self._loaded(process)
        self._applied = calibration

    async def _loaded(self, process: WorkerProcess) -> Description:
        while True:
            message, payload = await process.receive()
            match message:
                case messages.Loading():
                    continue
                case messages.Loaded():
                    return messages.decode_description(payload)
                case messages.LoadFailed():
                    if message.reason != self.state.reason:
                        log.error("device not loaded", device=self.spec.name, detail=message.detail)
                    raise LoadRefused(message.reason)
                case _:
                    raise LoadRefused(f"broke the protocol: {type(message).__name__} in answer to Load")

    async def _discard(self, process: WorkerProcess) -> None:
        process.kill()
        await asyncio.shield(process.gone)

    def _set(self, phase: WorkerPhase, *, reason: str | None = None, pid: int | None = None) -> None:
        self.state = WorkerState(phase, reason, pid, self._traits.reruns, self._environment, self._renewals)
        try:
            self._on_state(self.spec.name, self.state)
        except Exception:
            log.exception("on_state failed", device=self.spec.name)
        self._notify()

    def _notify(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
        self._changed = None

    async def _change(self) -> None:
        """Wait for the next change of anything."""
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._changed)


def _why_replaced(process: WorkerProcess, how: str) -> str | None:
    """The reason of the device's state until it has another worker; None where a run was stopped."""
    if process.lost is not None:
        return f"its worker {process.lost}, and is replaced"
    return None if process.killed else f"its worker ended ({how}), and is replaced"


def _joined(logs: str, output: str) -> str:
    """The program's own log, then what was printed."""
    if logs and output and not logs.endswith("\n"):
        return f"{logs}\n{output}"
    return logs + output
