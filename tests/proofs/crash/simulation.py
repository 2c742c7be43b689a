"""One simulation: lives of the service, one after another on the same store, until everything has ended."""

from __future__ import annotations

import asyncio
import atexit
import functools
import logging
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from sojourn.config import DeviceSettings, PolicySettings, ProfileSettings, ServerSettings, Settings
from sojourn.execution.engine import Engine, Pace, RunRequest, WorkerState
from sojourn.service.errors import Refusal, without_room
from sojourn.service.requests.exchange import Call, Exchange
from sojourn.service.service import Service
from sojourn.service.timing.clock import SystemClock
from sojourn.service.views import JobView
from sojourn.store import Database
from sojourn.store.database import StoreFull
from sojourn.worker.protocol.types import DeviceSpec
from tests.proofs.crash.checks import Checks
from tests.proofs.crash.clients import DEVICES, Ask, Client, Lost, Memory, Operator, Script, Step, Wait
from tests.proofs.crash.edges import InlineWriter, SimulatedEngine, same_names
from tests.proofs.crash.world import Faults, Loop, PowerCut, World

USERS = ("ann", "bob", "eve")
SHORT = PolicySettings(
    interactive_ttl=20.0,
    batch_ttl=4.0,
    max_time=240.0,
    unused_expiry=60.0,
    submit_retry_window=1800.0,
    reservation_minimum=20.0,
)
SMALL = 8


@dataclass(frozen=True)
class Report:
    seed: int
    crashes: int
    points: int
    jobs: int
    seconds: float
    digest: str
    trace: list[str]


@functools.cache
def memory_folder() -> Path:
    """Where a file costs no disk."""
    shm = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="sojourn-crash-", dir=shm if shm.is_dir() else None))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@functools.cache
def template() -> tuple[Path, dict[str, str]]:
    """A store with the users in it, and their ids; made once, copied for every simulation."""
    folder = memory_folder() / "template"
    users: dict[str, str] = {}

    async def make(world: World) -> None:
        service = _service(world, folder, lambda *_: None)
        await service.start()
        for name in USERS:
            key = await service.users.add(name, f"{name}s")
            users[name] = service.accounts.by_key(key.api_key) or ""
        key_file = (folder / "operator.key").read_text().strip()
        users["operator"] = service.accounts.by_key(key_file) or ""
        await service.stop()

    world = World(0, faults=Faults(False, False, False, False, False), cuts=frozenset())
    with same_names(0, world.wall):
        loop = Loop(world)
        try:
            loop.run_until_complete(make(world))
        finally:
            loop.close()
    return folder, users


def _service(
    world: World, folder: Path, on_run: Callable[[str, RunRequest], None], journal: bool = False
) -> Service:
    def engine(
        specs: Sequence[DeviceSpec],
        *,
        on_state: Callable[[str, WorkerState], None],
        preparers: int,
        prepare_limit: float,
        pace: Pace,
        hung_limit: float,
        hidden: str,
    ) -> Engine:
        """What is set for real processes means nothing here."""
        return SimulatedEngine(specs, world=world, on_run=on_run, on_state=on_state)

    return Service(
        Settings(
            server=ServerSettings(data=folder, journal=journal, disk_reserve_mb=0),
            policy=SHORT.model_copy(update={"profile": world.profile}),
            profiles={
                "hardware": ProfileSettings(
                    rerun_lost=False,
                    estimate_factor=20.0,
                    estimate_floor=200.0,  # D22
                )
            },
            devices=tuple(DeviceSettings(name=name, driver="mock") for name in DEVICES),
        ),
        clock=SystemClock(world.wall, world.monotonic),
        engine=engine,
        store=functools.partial(Database.open, writer=functools.partial(InlineWriter, world=world)),
    )


class Simulation:
    def __init__(self, world: World, jobs: int = SMALL) -> None:
        self.world = world
        self.memory = Memory()
        source, self.users = template()
        self.folder = memory_folder() / f"{world.seed}"
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(source, self.folder)
        self.checks = Checks(self.folder / "sojourn.db", world, self.memory, SHORT.submit_retry_window or 0.0)
        self.service: Service | None = None
        self.loop: Loop | None = None
        self._asked: dict[int, tuple[asyncio.Task[Any], Exchange]] = {}
        self._scripts: list[tuple[Client | Operator, Script]] = []
        for number in range(world.chance.randint(2, 5)):
            client = Client(world, self.memory, USERS[number % len(USERS)], world.chance.randint(2, jobs))
            self._scripts.append((client, client.script()))
        if world.chance.random() < 0.6:
            operator = Operator(world, tuple(f"{name}s" for name in USERS), world.chance.randint(1, 8))
            self._scripts.append((operator, operator.script()))
        self._busy = len(self._scripts)

    # the clients

    def go_on(self, number: int, answer: Any = None) -> None:
        """The client hears the answer and does the next thing."""
        script = self._scripts[number][1]
        try:
            step: Step = script.send(answer)
        except StopIteration:
            self._busy -= 1
            return
        if isinstance(step, Wait):
            self.world.after(step.seconds, lambda: self.go_on(number))
        else:
            self._ask(number, step)

    def _ask(self, number: int, ask: Ask) -> None:
        client = self._scripts[number][0]
        if self.service is None or self.loop is None:
            self.world.after(0.2, lambda: self.go_on(number, Lost.LOST))
            return
        exchange = Exchange(self.world.monotonic())
        call = Call(exchange=exchange)
        who = self.service.accounts.principal(self.users[client.user], None)
        self.world.tell(f"{client.user}{number}: {ask.name}")
        task = self.loop.create_task(self._answer(ask.work(self.service, who, call)))
        self._asked[number] = task, exchange
        task.add_done_callback(lambda t: self._answered(number, t))
        if self.world.faults.lost_replies and self.world.often(0.12):
            keep = self.world.chance.random() < 0.5
            self.loop.call_later(self.world.delay(3.0), lambda: self._drop(number, task, keep))

    async def _answer(self, work: Any) -> Any:
        try:
            return await work
        except Refusal as refusal:
            return refusal
        except StoreFull as full:  # as the HTTP layer does
            return without_room(full)

    def _answered(self, number: int, task: asyncio.Task[Any]) -> None:
        exchange = self._listens(number, task)
        if exchange is None:
            return
        answer = Lost.LOST if task.cancelled() else task.result()
        if isinstance(answer, JobView):
            self.checks.committed(answer)
        if self.world.faults.lost_replies and self.world.often(0.05):
            self.world.tell(f"the reply to {number} is lost")
            exchange.lose(self.world.monotonic())
            answer = Lost.LOST
        else:
            exchange.answer()
        self.world.after(self.world.delay(0.01), lambda: self.go_on(number, answer))

    def _drop(self, number: int, task: asyncio.Task[Any], keep: bool) -> None:
        """The connection breaks under a request; the server's part of it may or may not go on."""
        exchange = self._listens(number, task)
        if exchange is not None:
            self.world.tell(f"the connection of {number} breaks")
            exchange.lose(self.world.monotonic())
            if not keep:
                task.cancel()
            self.world.after(0.1, lambda: self.go_on(number, Lost.LOST))

    def _listens(self, number: int, task: asyncio.Task[Any]) -> Exchange | None:
        """The exchange that the client still waits for; it waits no longer."""
        asked, exchange = self._asked.get(number, (None, None))
        if asked is not task:
            return None
        del self._asked[number]
        return exchange

    # the server's lives

    def run(self) -> Report:
        world = self.world
        with same_names(world.seed + 1, world.wall):
            for number in range(len(self._scripts)):
                world.after(world.chance.random(), functools.partial(self.go_on, number))
            world.after(world.chance.uniform(5, 300), world.clock_steps)
            world.after(world.chance.uniform(5, 300), self._worker_dies)
            if world.faults.full_disk:
                world.after(world.chance.uniform(1, 60), world.disk_fills)
            while not self._live(self._until_all_has_ended):
                self.checks.after_a_crash()
            if world.faults.full_disk:  # R56: inputs that no room was found to forget go at the next start
                while not self._live(self._nothing):
                    pass
            # once more, from what is on the disk: nothing changes any more
            before = self.checks.rows()
            while not self._live(self._nothing):
                pass
            assert self.checks.rows() == before, "R55: something final has changed at a start"
            self.checks.at_the_end()
        shutil.rmtree(self.folder, ignore_errors=True)
        return Report(
            world.seed,
            world.crashes,
            world.points,
            len(self.memory.wanted),
            world.time,
            world.digest(),
            world.trace,
        )

    def _live(self, what: Callable[[], Any]) -> bool:
        """One life of the server; whether it came to its end."""
        world = self.world
        world.dark = False
        fatal: list[BaseException] = []
        loop = self.loop = Loop(world)
        service = _service(world, self.folder, self.checks.may_run, journal=True)
        service._on_fatal = fatal.append

        async def life() -> None:
            await service.start()
            world.tell("the server is up")
            self.service = service
            await what()
            self.service = None
            await service.stop()

        try:
            loop.run_until_complete(life())
        except PowerCut:
            assert not fatal, fatal
            assert not loop.broken, loop.broken
            self.service = self.loop = None
            loop.abandon()
            if (parts := service._parts) is not None:
                parts.store._write_engine.dispose()
                parts.store._read_engine.dispose()
                parts.submits.close()
            lost, self._asked = list(self._asked), {}
            for number in lost:
                world.after(0.0, functools.partial(self.go_on, number, Lost.LOST))
            world.time += world.chance.choice((0.1, 3.0, 30.0, 400.0)) * world.chance.random()
            return False
        except BaseException:
            loop.abandon()
            raise
        assert not fatal, fatal
        assert not loop.broken, loop.broken
        loop.close()
        return True

    async def _until_all_has_ended(self) -> None:
        world = self.world
        while self._busy:
            await asyncio.sleep(5.0)
            self.checks.now(self.service)
        world.calm, world.full = True, False
        while not self.checks.all_ended():
            await asyncio.sleep(20.0)
            self.checks.now(self.service)
        assert self.service is not None
        await self.service.parts.store.write(lambda _: None)
        self.checks.memory_is_the_store(self.service)

    async def _nothing(self) -> None:
        await asyncio.sleep(30.0)

    def _worker_dies(self) -> None:
        if self.world.calm:
            return
        if self.service is not None and self.world.faults.workers:
            engine = self.service.parts.engine
            assert isinstance(engine, SimulatedEngine)
            engine.die_idle()
        self.world.after(self.world.chance.uniform(20, 300), self._worker_dies)


def simulate(
    seed: int, *, faults: Faults | None = None, cuts: frozenset[int] | None = None, jobs: int = SMALL
) -> Report:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    world = World(seed, faults=faults, cuts=cuts)
    try:
        return Simulation(world, jobs).run()
    except Exception as error:
        where = f" --cuts {','.join(map(str, sorted(cuts)))}" if cuts is not None else ""
        command = f"python -m tests.proofs.crash --seed {seed}{where} --jobs {jobs} --trace"
        tail = "\n".join(world.trace[-12:])
        raise AssertionError(f"{error}\n{tail}\nReplay it: {command}") from error
    finally:
        structlog.configure(**before)
