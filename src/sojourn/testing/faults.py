"""What a test may ask to go wrong: checks it, and words it for the server. Nothing is sent here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from sojourn.testing.durations import seconds

Run = str | Mapping[str, Any] | None
"""How a job is to end: a word of `OUTCOMES`, or a table with `status` and more; None as it does by itself."""
Reply = int | str | Mapping[str, Any]
"""How a request is answered: a status of HTTP, "cut", "cut_reply", or a table with one of them and more."""

OUTCOMES = ("completed", "failed", "cancelled", "ran_too_long", "crashed")
CUTS = {"cut": "request", "cut_reply": "reply"}
STATES = {"offline": "maintain", "maintenance": "maintain", "paused": "pause", "draining": "drain"}
"""What a device can be, and the operator's word for it."""

_RUN_FIELDS = ("status", "seconds", "reason", "code", "device")
_REPLY_FIELDS = ("status", "cut", "message", "retry_after", "method", "path", "times")
MOST = 10_000
"""Runs or replies in one call."""


class Liftable(Protocol):
    """Whose faults they are."""

    def lift(self, faults: Faults) -> None: ...

    def left(self) -> dict[str, int]: ...


class Faults:
    """Faults that are in force from now until the end of the test, or of the `with` block that they open."""

    def __init__(self, of: Liftable, halted: Iterable[str] = (), limited: bool = False) -> None:
        self._of = of
        self.halted = tuple(halted)
        self.limited = limited

    @property
    def left(self) -> dict[str, int]:
        """How many scripted runs and replies have not happened yet, by the name of their argument."""
        return self._of.left()

    def lift(self) -> None:
        """Nothing goes wrong any more. What has happened stays as it is: a revoked key stays revoked."""
        self._of.lift(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lift()


def runs(wanted: Iterable[Run] | Run, devices: Iterable[str]) -> list[dict[str, Any]]:
    """The acts of `sojourn.testing.server.script`. ValueError with what is allowed."""
    found = [_run(each, f"next_jobs[{number}]", tuple(devices)) for number, each in enumerate(_some(wanted))]
    return _bounded(found, "next_jobs")


def replies(wanted: Iterable[Reply] | Reply) -> list[dict[str, Any]]:
    """The answers of `sojourn.testing.server.script`. ValueError with what is allowed."""
    found: list[dict[str, Any]] = []
    for number, each in enumerate(_some(wanted)):
        times, answer = _reply(each, f"http[{number}]")
        found += [answer] * times
    return _bounded(found, "http")


def halts(wanted: str | Mapping[str, str] | None, devices: Iterable[str]) -> dict[str, str]:
    """For each device the operator's word. ValueError with what is allowed."""
    known = tuple(devices)
    states = dict.fromkeys(known, wanted) if isinstance(wanted, str) else dict(wanted or {})
    for device, state in states.items():
        _among(device, known, "device")
        _among(state, tuple(STATES), f"device[{device!r}]")
    return {device: STATES[state] for device, state in states.items()}


def _run(wanted: Run, where: str, devices: tuple[str, ...]) -> dict[str, Any]:
    table = _table("completed" if wanted is None else wanted)
    _only(table, _RUN_FIELDS, where)
    found = {"status": "completed", **table}
    _among(found["status"], OUTCOMES, f"{where}: status")
    if found.get("device") is not None:
        _among(found["device"], devices, f"{where}: device")
    if "seconds" in found:
        found["seconds"] = seconds(found["seconds"], f"{where}: seconds")
    for field in ("reason", "code"):
        if field in found and found["status"] != "failed":
            raise ValueError(f"{where}: {field} is only for the status 'failed', not for {found['status']!r}")
    if not isinstance(found.get("reason", ""), str):
        raise ValueError(f"{where}: reason is {found['reason']!r}; it must be a text")
    _whole(found, "code", 1, 99_999, where)
    return found


def _reply(wanted: Reply, where: str) -> tuple[int, dict[str, Any]]:
    if isinstance(wanted, str):
        wanted = {"cut": wanted}
    elif isinstance(wanted, int):
        wanted = {"status": wanted}
    found = _table(wanted)
    _only(found, _REPLY_FIELDS, where)
    if ("status" in found) == ("cut" in found):
        raise ValueError(f"{where}: give either a status or a cut, one of {', '.join(map(repr, CUTS))}")
    _whole(found, "status", 400, 599, where)
    if "cut" in found:
        _among(found["cut"], tuple(CUTS), f"{where}: cut")
        found["cut"] = CUTS[found["cut"]]
    if "retry_after" in found:
        found["retry_after"] = seconds(found["retry_after"], f"{where}: retry_after")
    for field in ("message", "method", "path"):
        if not isinstance(found.get(field, ""), str):
            raise ValueError(f"{where}: {field} is {found[field]!r}; it must be a text")
    _whole(found, "times", 1, MOST, where)
    return found.pop("times", 1), found


def _table(wanted: Any) -> dict[str, Any]:
    return dict(wanted) if isinstance(wanted, Mapping) else {"status": wanted}


def _some(wanted: Any) -> list[Any]:
    """One alone is as good as a list of one."""
    if wanted is None:
        return []
    return [wanted] if isinstance(wanted, str | int | Mapping) else list(wanted)


def _bounded(found: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    if len(found) > MOST:
        raise ValueError(f"{what} has {len(found)} entries; at most {MOST} are possible")
    return found


def _only(table: Mapping[str, Any], fields: tuple[str, ...], where: str) -> None:
    for field in table:
        _among(field, fields, f"{where}: field")


def _among(value: Any, allowed: tuple[str, ...], what: str) -> None:
    if value not in allowed:
        raise ValueError(f"{what} is {value!r}; it must be one of {', '.join(map(repr, allowed))}")


def _whole(table: Mapping[str, Any], field: str, low: int, high: int, where: str) -> None:
    value = table.get(field, low)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{where}: {field} is {value!r}; it must be a whole number from {low} to {high}")
