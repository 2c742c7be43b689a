"""Decides whose preparation is next: users take turns, and what their preparations took counts.

Plain data in memory: no processes and no I/O. `user` is any text that tells the owners of jobs apart.
docs/decisions/0014 has the reasons and the numbers.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence

from sojourn.buckets import Buckets
from sojourn.execution.engine import JOB, DeviceUnavailable, Pace
from sojourn.worker.protocol.types import JobRefused, Prepared

FREE = 0.25
"""Seconds of each preparation that are not counted: in turns, short ones hold nobody up."""

QUIET = 60.0
"""Seconds without a preparation of anybody else, after which a lone preparer is not kept free for them."""

APART = 86_400.0
"""The same where there are several preparers, of which one user's long preparations never take the last."""


class Request:
    """A preparation that is asked for. `begun` is called when a preparer gets it."""

    __slots__ = (
        "answer",
        "begun",
        "device",
        "job",
        "number",
        "params",
        "program_id",
        "struck",
        "unlucky",
        "user",
    )

    def __init__(
        self,
        number: int,
        user: str,
        device: str,
        program_id: str,
        params: bytes,
        begun: Callable[[], None] | None = None,
    ) -> None:
        self.number, self.user, self.device = number, user, device
        self.program_id, self.params, self.begun = program_id, params, begun
        self.job = JOB.get()
        self.answer: asyncio.Future[Prepared] = asyncio.get_running_loop().create_future()
        self.struck = False
        """Whether a preparer has died or hung at it."""
        self.unlucky = 0
        """How many were lost before they had read it, or of something that no job can cause."""

    @property
    def abandoned(self) -> bool:
        """Nobody waits for it any more."""
        return self.answer.cancelled()

    @property
    def named(self) -> dict[str, str]:
        """What the log says of it."""
        return {"user": self.user, "device": self.device} | ({"job": self.job} if self.job else {})

    def refuse(self, error: JobRefused | DeviceUnavailable) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Waiting:
    """Requests without a preparer. The users take turns; of one user's, the devices do; of those on one
    device, first come is first served."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, OrderedDict[str, OrderedDict[int, Request]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, request: Request) -> bool:
        of_user = self._of.get(request.user)
        return of_user is not None and request.number in of_user.get(request.device, ())

    def of_users(self) -> dict[str, int]:
        """How many there are of each user."""
        return {user: sum(map(len, devices.values())) for user, devices in self._of.items()}

    def add(self, request: Request) -> None:
        of_user = self._of.setdefault(request.user, OrderedDict())
        of_user.setdefault(request.device, OrderedDict())[request.number] = request
        self._count += 1

    def put_back(self, requests: Sequence[Request]) -> None:
        """They were taken and not served: each is the next again, of its user and of its device."""
        for request in reversed(requests):
            if request.abandoned:
                continue
            self.add(request)
            of_user = self._of[request.user]
            of_user[request.device].move_to_end(request.number, last=False)
            of_user.move_to_end(request.device, last=False)
            self._of.move_to_end(request.user, last=False)

    def remove(self, request: Request) -> None:
        """Take it out, if it is there."""
        if request not in self:
            return
        of_user = self._of[request.user]
        of_device = of_user[request.device]
        del of_device[request.number]
        self._count -= 1
        if not of_device:
            del of_user[request.device]
        if not of_user:
            del self._of[request.user]

    def take(self, *allowed: Callable[[str], bool]) -> Request | None:
        """The next one of the users whom the first of `allowed` lets pass, else of those whom the second
        does, and so on. None when there is none."""
        for passes in allowed:
            user = next(filter(passes, self._of), None)
            if user is not None:
                of_user = self._of[user]
                request = next(iter(next(iter(of_user.values())).values()))
                self.remove(request)
                for turns, key in ((of_user, request.device), (self._of, user)):
                    if key in turns:
                        turns.move_to_end(key)
                return request
        return None

    def clear(self) -> list[Request]:
        """Take out all."""
        found = [r for devices in self._of.values() for each in devices.values() for r in each.values()]
        self._of.clear()
        self._count = 0
        return found


class Budgets:
    """What each user has left of `Pace.rate` and `Pace.burst`. `debt` bounds what is owed: seconds. Who has
    asked within `quiet` seconds is not forgotten."""

    def __init__(self, pace: Pace, debt: float, quiet: float = QUIET) -> None:
        self._pace = pace
        self._debt = debt
        self._quiet = quiet
        self._of: Buckets[str] = Buckets()
        self._asked: OrderedDict[str, float] = OrderedDict()

    def left(self, user: str, now: float) -> float:
        """Seconds; below 0 for a user who has used more."""
        return self._of.level(user, now, self._pace.rate, self._pace.burst)

    def spend(self, user: str, seconds: float, now: float) -> None:
        """Count a preparation of that many seconds."""
        cost = seconds - FREE
        if cost > 0:
            self._of.take(user, cost, now, self._pace.rate, self._pace.burst, -self._debt)

    def asks(self, user: str, now: float) -> None:
        """The user asks for a preparation."""
        self._asked[user] = now
        self._asked.move_to_end(user)
        while self._asked and now - next(iter(self._asked.values())) > self._quiet:
            self._asked.popitem(last=False)

    def alone(self, user: str, now: float, within: float | None = None) -> bool:
        """Whether nobody else has asked in the last `within` seconds, by default those of `quiet`."""
        within = self._quiet if within is None else min(within, self._quiet)
        others = (then for other, then in reversed(self._asked.items()) if other != user)
        return now - next(others, -within - 1 + now) > within
