"""The world around the service: time, chance, faults, and the one event loop that everything runs on.

Nothing here knows what the service does. A crash is `PowerCut`, raised at one of the numbered points at which
the service meets the world; it falls through everything to whoever runs the loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
import selectors
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

EPOCH = 1_750_000_000.0
LONGEST = 40_000.0
"""Virtual seconds after which a simulation that has not ended is a failure."""


class PowerCut(SystemExit):
    """The server is gone. No `except Exception` and no task keeps it from falling through."""


class Stuck(AssertionError):
    """Nothing can happen any more, or too much time has passed, and not everything has ended."""


@dataclass(frozen=True)
class Faults:
    """Which kinds of fault a run has."""

    crashes: bool = True
    lost_replies: bool = True
    workers: bool = True
    slow_preparation: bool = True
    clock_steps: bool = True
    full_disk: bool = False

    @classmethod
    def drawn(cls, chance: Random) -> Faults:
        return cls(*(chance.random() < p for p in (0.9, 0.7, 0.6, 0.7, 0.25)))


class World:
    """`cuts` are the numbers of the points at which the power is cut; None leaves it to chance."""

    def __init__(
        self, seed: int, *, faults: Faults | None = None, cuts: frozenset[int] | None = None
    ) -> None:
        self.seed = seed
        self.chance = Random(seed)
        self.faults = faults if faults is not None else Faults.drawn(self.chance)
        self.cuts = cuts
        self.time = 0.0
        self.step = 0.0
        self.points = 0
        self.crashes = 0
        self.calm = False  # no more faults
        self.dark = False  # the power is cut: what is still unwound does nothing to the world
        self.full = False  # the disk is
        self.trace: list[str] = []
        self.profile = self.chance.choice(("ibm2023", "ibm2023", "ibm2023", "ibm2026", "hardware"))
        self._share = self.chance.choice((0.002, 0.01, 0.04))
        self._most = self.chance.randint(1, 8)
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    # time

    def wall(self) -> float:
        """What the machine's clock shows."""
        return EPOCH + self.time + self.step

    def monotonic(self) -> float:
        """What nobody sets; it goes on when the server is down."""
        return self.time

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Something outside the server happens, whether it runs or not."""
        heapq.heappush(self._heap, (self.time + seconds, next(self._count), action))

    def next_event(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def due(self) -> list[Callable[[], None]]:
        found = []
        while self._heap and self._heap[0][0] <= self.time:
            found.append(heapq.heappop(self._heap)[2])
        return found

    def clock_steps(self) -> None:
        if not self.calm and self.faults.clock_steps:
            self.step += self.chance.choice((-400.0, -5.0, 3.0, 90.0, 1000.0))
            self.tell(f"the clock is set: {self.step:+g} s")
            self.after(self.chance.uniform(50, 600), self.clock_steps)

    def disk_fills(self) -> None:
        """For a while, and later again."""
        if not self.calm and self.faults.full_disk:
            self.full = not self.full
            self.tell(f"the disk {'is full' if self.full else 'has room'}")
            self.after(self.chance.uniform(*((1, 60) if self.full else (20, 200))), self.disk_fills)
        else:
            self.full = False

    # chance

    def often(self, probability: float) -> bool:
        return not self.calm and self.chance.random() < probability

    def delay(self, longest: float) -> float:
        """Mostly none at all, so that instants coincide; seldom long."""
        if self.chance.random() < 0.4:
            return 0.0
        return longest * self.chance.random() ** 3

    # faults and their record

    def point(self, name: str) -> None:
        """The service meets the world here, and may not survive it."""
        if self.dark:
            return
        self.points += 1
        if self.cuts is not None:
            cut = self.points in self.cuts
        else:
            cut = self.faults.crashes and self.crashes < self._most and self.often(self._share)
        if cut:
            self.crashes += 1
            self.dark = True
            self.tell(f"crash at point {self.points}: {name}")
            raise PowerCut(name)

    def tell(self, line: str) -> None:
        self.trace.append(f"{self.time:10.3f} {line}")

    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()[:16]


class Loop(asyncio.SelectorEventLoop):
    """One life of the server process: time leaps to the next timer, here or outside, when all is done."""

    # of `asyncio.BaseEventLoop`, whose types do not tell of them
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, world: World, longest_read: float = 0.02) -> None:
        super().__init__(_Leap(self))
        self.world = world
        self.broken: list[str] = []
        self._longest_read = longest_read
        self.set_exception_handler(self._note)

    def time(self) -> float:
        return self.world.time

    def _note(self, _: Any, context: dict[str, Any]) -> None:
        self.broken.append(f"{context.get('message')}: {context.get('exception')!r}")

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        """A read of the store: at some moment, on no thread."""
        done: asyncio.Future[_T] = self.create_future()

        def work() -> None:
            if done.done():
                return
            self.world.point("read")
            try:
                done.set_result(func(*args))
            except Exception as error:
                done.set_exception(error)

        self.call_later(self.world.delay(self._longest_read), work)
        return done

    def abandon(self) -> None:
        """The process is gone: nobody hears of what was under way."""
        self.set_exception_handler(lambda *_: None)
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined] # asyncio's own
            with suppress(RuntimeError):
                task.get_coro().close()
        self._ready.clear()
        self._scheduled.clear()
        self.close()


class _Leap(selectors.SelectSelector):
    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is not None and timeout <= 0:
            return []
        world = self._loop.world
        outside = world.next_event()
        inside = world.time + timeout if timeout is not None else None
        times = [at for at in (outside, inside) if at is not None]
        if not times:
            raise Stuck("nothing will ever happen again")
        world.time = max(world.time, min(times))
        if world.time > LONGEST:
            raise Stuck(f"not everything has ended after {LONGEST:g} s")
        for action in world.due():
            self._loop.call_soon(action)
        return []
