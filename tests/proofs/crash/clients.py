"""Programs that use the service and outlive it: they lose replies, repeat submits, and remember
what they were told.

A client is a generator that yields what it wants to do and gets the answer; nothing of it dies in a crash.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from sojourn.api.ibm.submit import submit
from sojourn.service.errors import Refusal
from sojourn.service.projects.projects import ProjectChange
from sojourn.service.requests.exchange import Call
from sojourn.service.reservations.views import NewReservation
from sojourn.service.views import JobView, Principal, SessionView

if TYPE_CHECKING:
    from sojourn.service.service import Service
    from tests.proofs.crash.world import World

FINAL = ("completed", "failed", "cancelled")
DEVICES = ("one", "two")


class Lost(Enum):
    """No reply came."""

    LOST = "lost"


@dataclass
class Ask:
    """A request. `work` gets the service, the caller and the call."""

    name: str
    work: Callable[[Service, Principal, Call], Awaitable[Any]]


@dataclass
class Wait:
    seconds: float


Step = Ask | Wait
Script = Generator[Step, Any, Any]


@dataclass
class Wanted:
    """A job that a client wants: what it sent, and what it was told."""

    n: int
    params: dict[str, Any]
    body: bytes = b""
    times: int = 1  # how often it was meant
    acknowledged: list[str] = field(default_factory=list)
    refused: bool = False
    given_up: bool = False
    cancelled: bool = False
    tags: tuple[str, ...] = ()


@dataclass
class Memory:
    """What all clients know together; the proof compares it with the store."""

    wanted: list[Wanted] = field(default_factory=list)
    final: dict[str, tuple[Any, ...]] = field(default_factory=dict)  # job -> what was told of its end
    sessions: list[str] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)

    def told(self, view: JobView) -> None:
        if view.state in FINAL:
            seen = (view.state, view.reason, view.finished, view.quantum_seconds, view.attempt)
            known = self.final.setdefault(view.id, seen)
            assert known == seen, f"R55: the end of {view.id} has changed from {known} to {seen}"
        else:
            assert view.id not in self.final, (
                f"R55: {view.id} is {view.state} again after {self.final[view.id]}"
            )


class Operator:
    """Halts devices, calibrates them, and gives projects the devices for a while."""

    user = "operator"

    def __init__(self, world: World, projects: tuple[str, ...], actions: int) -> None:
        self._world = world
        self._projects = projects
        self._actions = actions

    def script(self) -> Script:
        chance = self._world.chance
        for _ in range(self._actions):
            yield Wait(chance.uniform(0, 90))
            device = chance.choice(DEVICES)
            yield from chance.choice(
                (self._halt, self._reserve, self._reserve, self._calibrate, self._share)
            )(device)
        for device in DEVICES:
            yield from self._resume(device)

    def _halt(self, device: str) -> Script:
        mode = self._world.chance.choice(("paused", "draining", "maintenance"))
        yield Ask(f"{mode} {device}", lambda s, who, _: s.control.halt(who, device, mode, "work on it"))
        yield Wait(self._world.chance.uniform(0, 60))
        yield from self._resume(device)

    def _resume(self, device: str) -> Script:
        while (yield Ask(f"resume {device}", lambda s, who, _: s.control.resume(who, device))) is Lost.LOST:
            yield Wait(1.0)

    def _reserve(self, device: str) -> Script:
        chance = self._world.chance
        start, length = self._world.wall() + chance.choice((0.5, 20.0, 90.0)), chance.choice((20.0, 80.0))
        project = chance.choice(self._projects)
        mode = chance.choice(("dedicated", "dedicated", "priority"))
        after_window = chance.choice(("fail", "requeue"))
        view = yield Ask(
            f"reserve {device} for {project}",
            lambda s, who, _: s.reservations.make(
                who,
                NewReservation(device, project, start, length=length, mode=mode, after_window=after_window),
            ),
        )
        if hasattr(view, "after_window") and chance.random() < 0.25:
            yield Wait(chance.uniform(0, 100))
            name = view.id
            yield Ask(f"cancel {name}", lambda s, who, _: s.reservations.cancel(who, name))

    def _share(self, _: str) -> Script:
        project, weight = (
            self._world.chance.choice(self._projects),
            self._world.chance.choice((0.0, 0.5, 4.0)),
        )
        change = ProjectChange(weight=weight)
        yield Ask(f"weigh {project} {weight}", lambda s, who, _: s.projects.change(who, project, change))

    def _calibrate(self, device: str) -> Script:
        yield Ask(f"calibrate {device}", lambda s, who, _: s.control.calibrate(who, device))


class Client:
    """One user's program, with chance of its own."""

    def __init__(self, world: World, memory: Memory, user: str, jobs: int) -> None:
        self.world = world
        self.memory = memory
        self.user = user
        self._jobs = jobs

    def script(self) -> Script:
        while self._jobs > 0:
            yield Wait(self.world.chance.choice((0.0, 0.3, 4.0, 25.0)) * self.world.chance.random())
            doing = self.world.chance.choice(
                (self._plain, self._session, self._session, self._implicit, self._twice)
            )
            yield from doing()

    # what a program does

    def _plain(self) -> Script:
        job = yield from self._submit()
        if job is None:
            return
        if self.world.chance.random() < 0.3:
            yield Wait(self.world.chance.random() * 5)
            yield from self._cancel(job)
        if self.world.chance.random() < 0.6:
            yield from self._await(job)

    def _session(self) -> Script:
        chance = self.world.chance
        device, mode = chance.choice(DEVICES), chance.choice(("dedicated", "dedicated", "batch"))
        longest = chance.choice((None, None, 30.0, 200.0))
        view = yield Ask(
            "open session",
            lambda s, who, _: s.sessions.open(who, device=device, mode=mode, max_time=longest),
        )
        if not isinstance(view, SessionView):
            return
        self.memory.sessions.append(view.id)
        for _ in range(chance.randint(1, 4)):
            job = yield from self._submit(session=view.id, device=device)
            if job is not None and chance.random() < 0.15:
                yield from self._cancel(job)
            if job is not None and chance.random() < 0.5:
                yield from self._await(job)
            yield Wait(chance.choice((0.0, 0.0, 2.0, 15.0, 50.0)))
        yield from self._leave(view.id)

    def _leave(self, session: str) -> Script:
        how = self.world.chance.random()
        if how < 0.4:
            ask = Ask("drain session", lambda s, who, _: s.sessions.drain(who, session))
        elif how < 0.75:
            ask = Ask("close session", lambda s, who, _: s.sessions.close(who, session))
        else:
            return  # the program has died (R7)
        while (yield ask) is Lost.LOST:
            yield Wait(1.0)
        if ask.name == "close session":
            self.memory.closed.add(session)

    def _implicit(self) -> Script:
        """The client of 2023: the session is the first job's."""
        device = self.world.chance.choice(DEVICES)
        first = yield from self._submit(device=device, start_session=True)
        if first is not None:
            yield from self._submit(device=device, session=first)
            yield from self._leave(first)

    def _twice(self) -> Script:
        """The same job, meant twice: two jobs whatever happens to the replies, also without keys."""
        wanted, body = self._new(self.world.chance.choice(DEVICES))
        wanted.times = 2
        keyed = self.world.chance.random() < 0.3
        for key in ("first", "second"):
            yield from self._send(wanted, body, f"{key} {wanted.n}" if keyed else None)

    # what it consists of

    def _new(self, device: str | None, **more: Any) -> tuple[Wanted, bytes]:
        self._jobs -= 1
        chance = self.world.chance
        n = len(self.memory.wanted) + 1
        fate = chance.choice(("ok",) * 7 + ("fail", "unfit"))
        params = {"n": n, "fate": fate, "seconds": chance.choice((0.0, 0.2, 3.0, 12.0, 30.0))}
        tags = (f"t{n}",) if chance.random() < 0.3 else ()
        wanted = Wanted(n, params, tags=tags)
        self.memory.wanted.append(wanted)
        body: dict[str, Any] = {"program_id": "sampler", "params": params, "backend": device, **more}
        if chance.random() < 0.2:
            body["cost"] = 8
        if tags:
            body["tags"] = list(tags)
        if chance.random() < 0.1:
            body["private"] = True
        wanted.body = json.dumps({k: v for k, v in body.items() if v is not None}).encode()
        return wanted, wanted.body

    def _submit(
        self, *, session: str | None = None, device: str | None = None, start_session: bool | None = None
    ) -> Generator[Step, Any, str | None]:
        chance = self.world.chance
        wanted, body = self._new(
            device or chance.choice(DEVICES), session_id=session, start_session=start_session
        )
        return (yield from self._send(wanted, body, f"key {wanted.n}" if chance.random() < 0.3 else None))

    def _send(self, wanted: Wanted, body: bytes, key: str | None) -> Generator[Step, Any, str | None]:
        """As clients do: the same bytes again until there is an answer."""
        for _ in range(30):
            view = yield Ask(
                f"submit {wanted.n}",
                lambda s, who, call: submit(s, who, body, call=call, idempotency_key=key),
            )
            if isinstance(view, JobView):
                wanted.acknowledged.append(view.id)
                self.memory.told(view)
                return view.id
            if isinstance(view, Refusal):
                wanted.refused = True
                return None
            yield Wait(self.world.chance.choice((0.0, 0.1, 0.5, 2.0)))
        wanted.given_up = True
        return None

    def _cancel(self, job: str) -> Script:
        while (yield Ask(f"cancel {job}", lambda s, who, _: s.jobs.cancel(who, job))) is Lost.LOST:
            yield Wait(0.5)

    def _await(self, job: str) -> Script:
        pause = 0.1
        for _ in range(self.world.chance.choice((5, 40, 60))):
            view = yield Ask(f"poll {job}", lambda s, who, _: s.jobs.poll(who, job))
            if isinstance(view, JobView):
                self.memory.told(view)
                if view.state in FINAL:
                    yield from self._fetch(view)
                    return
            yield Wait(pause)
            pause = min(pause * 1.3, 20.0)

    def _fetch(self, view: JobView) -> Script:
        data = yield Ask(f"result {view.id}", lambda s, who, _: s.jobs.result(who, view.id))
        if view.state == "completed" and isinstance(data, bytes) and not view.private:
            wanted = next(w for w in self.memory.wanted if view.id in w.acknowledged)
            assert json.loads(data) == {"result of": wanted.n}, f"{view.id} has the wrong result {data!r}"
