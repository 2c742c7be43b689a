"""Has the circuits of a job rewritten where their QPY version is newer than a device's interpreter reads.

One process does it, from the first job on that needs it. What was rewritten is kept, so that the run of a
job does not wait for what its preparation has had done already.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from hashlib import blake2b
from itertools import count

from sojourn import codes
from sojourn.execution.engine import RunRequest, Stopped
from sojourn.execution.local.interpreter import Interpreter
from sojourn.execution.local.supervisor import Supervisor
from sojourn.worker.protocol.circuits import newest
from sojourn.worker.protocol.types import Completed, DeviceSpec, Environment, Failed, JobRefused

HOST = "sojourn.worker.rewriting:RewriteHost"
KEPT = 64 << 20
"""Bytes of rewritten params that are kept."""

_LOAD_LIMIT = 120.0


class Rewriter:
    """`memory`: bytes and `limit`: seconds that one job may take."""

    def __init__(self, interpreter: Interpreter, *, memory: int, limit: float) -> None:
        self._supervisor = Supervisor(
            DeviceSpec("rewriter", "", lazy=True, memory=memory),
            interpreter,
            on_state=lambda _name, _state: None,
            host_class=HOST,
            load_limit=_LOAD_LIMIT,
        )
        self._limit = limit
        self._numbers = count()
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._size = 0

    async def fitted(self, device: str, environment: Environment, params: bytes) -> bytes:
        """The params with circuits that an interpreter with this environment reads. Raises `JobRefused` when
        they cannot be written so, and `DeviceUnavailable`."""
        found = newest(params)
        if found <= environment.qpy:
            return params
        key = blake2b(params, digest_size=20, salt=environment.qpy.to_bytes(2)).digest()
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        try:
            made = await self._rewrite(environment.qpy, params)
        except JobRefused as refused:
            raise JobRefused(
                f"{refused.message}. The job's circuits are QPY {found}; {device} runs Qiskit "
                f"{environment.qiskit}, which reads QPY up to {environment.qpy}. Send circuits that an "
                "earlier Qiskit knows, or OpenQASM 3 text",
                refused.code,
            ) from None
        self._keep(key, made)
        return made

    async def stop(self) -> None:
        await self._supervisor.stop()

    async def _rewrite(self, version: int, params: bytes) -> bytes:
        request = RunRequest(str(next(self._numbers)), str(version), params)
        run = asyncio.ensure_future(self._supervisor.run(request))
        try:
            await asyncio.wait({run}, timeout=self._limit)
            if not run.done():
                self._supervisor.kill(request.run_id)
            match await run:
                case Completed(result=result):
                    return result
                case Failed(code=codes.OUT_OF_MEMORY):
                    why = f"takes more than {self._supervisor.spec.memory >> 20} MB"
                case Failed(reason=reason, code=code):
                    raise JobRefused(reason, code)
                case Stopped():
                    why = f"takes more than {self._limit:g} s"
                case _:
                    why = "ends the process that does it"
            raise JobRefused(f"Rewriting the circuits of the job as QPY {version} {why}")
        finally:
            run.cancel()

    def _keep(self, key: bytes, made: bytes) -> None:
        if len(made) > KEPT // 2 or key in self._kept:
            return
        self._kept[key] = made
        self._size += len(made)
        while self._size > KEPT:
            _, dropped = self._kept.popitem(last=False)
            self._size -= len(dropped)
