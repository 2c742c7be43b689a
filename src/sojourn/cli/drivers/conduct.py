"""Runs the checks of a driver in worker processes, each with a bound of time.

A check that kills or hangs its worker is a finding like another one, and the next check has a new worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from sojourn.execution.engine import (
    Crashed,
    DeviceUnavailable,
    Lost,
    RunOutcome,
    RunRequest,
    Stopped,
)
from sojourn.execution.local.engine import LocalEngine
from sojourn.worker.protocol.types import Completed, DeviceSpec, Failed

HOST = "sojourn.driverkit.host:KitHost"
_DEVICE = "checked"
_FIRST = ("import", "construct")
"""Without these there is nothing to check."""


class UnknownCheck(Exception):
    """There is no check of that name; the message has those that there are."""


class Finding(msgspec.Struct, frozen=True):
    """What a check found, as the worker says it; `promise` is what was checked."""

    check: str
    verdict: str
    evidence: tuple[str, ...]
    seconds: float = 0.0
    detail: str = ""
    promise: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """`environment` are the versions of what the checks ran with."""

    environment: Mapping[str, Any]
    findings: Sequence[Finding]

    @property
    def sound(self) -> bool:
        return all(finding.verdict != "fail" for finding in self.findings)


def examine(
    driver: str,
    options: Mapping[str, Any],
    *,
    only: Sequence[str] = (),
    python: str | None,
    limit: float,
    memory: int,
    tell: Callable[[str], None],
) -> Report:
    """Make the checks `only`, or all. `limit`: seconds for each; `memory`: bytes that one may take, 0 for any
    amount. `tell` hears the name of each before it begins. Raises `DeviceUnavailable` when there is no worker
    at all, `UnknownCheck`."""
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)  # the log of the engine is for a server's operator
    # lazy: it needs no preparers
    spec = DeviceSpec(_DEVICE, driver, options, python=python, lazy=True, memory=memory)
    return asyncio.run(_examine(spec, only, limit, tell))


async def _examine(
    spec: DeviceSpec, only: Sequence[str], limit: float, tell: Callable[[str], None]
) -> Report:
    # without a fork server: the driver is imported by the checks, and by nothing before them
    engine = LocalEngine([spec], host_class=HOST, fork=False)
    await engine.start()
    try:
        told = (await engine.description(spec.name)).configuration
        checks = {check["name"]: check["promise"] for check in told["checks"]}
        for name in only:
            if name not in checks:
                raise UnknownCheck(f"there is no check {name!r}; there are {', '.join(checks)}")
        findings: list[Finding] = []
        lost: Finding | None = None
        for name, promise in checks.items():
            if only and name not in only:
                continue
            if lost is not None:
                why = f"not made, as the driver fails {lost.check!r}"
                findings.append(Finding(name, "skip", (why,), promise=promise))
                continue
            tell(name)
            found = await _one(engine, spec, name, promise, limit)
            findings.append(found)
            if found.verdict == "fail" and name in _FIRST:
                lost = found
        return Report(told["environment"], findings)
    finally:
        await engine.stop()


async def _one(engine: LocalEngine, spec: DeviceSpec, name: str, promise: str, limit: float) -> Finding:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    run = asyncio.ensure_future(engine.run(spec.name, RunRequest(name, name, b"")))
    await asyncio.wait({run}, timeout=limit)
    if not run.done():
        engine.kill(spec.name, name)
    try:
        outcome = await run
    except DeviceUnavailable as error:
        return Finding(name, "fail", (str(error),), loop.time() - begun, promise=promise)
    return _finding(outcome, name, promise, limit, loop.time() - begun)


def _finding(outcome: RunOutcome, name: str, promise: str, limit: float, seconds: float) -> Finding:
    match outcome:
        case Completed(result=result, logs=logs):
            found = msgspec.json.decode(result, type=Finding)
            printed = (f"it printed {len(logs)} characters",) if logs else ()
            return msgspec.structs.replace(found, promise=promise, evidence=(*found.evidence, *printed))
        case Failed(reason=reason, detail=detail):
            return Finding(name, "fail", (reason,), seconds, detail, promise)
        case Crashed(how=how):
            said = f"the worker process died of it ({how})"
        case Lost(how=how):
            said = f"the worker process {how}"
        case Stopped():
            said = f"it took more than {limit:g} s and was stopped; --timeout allows more"
    return Finding(name, "fail", (said,), seconds, promise=promise)
