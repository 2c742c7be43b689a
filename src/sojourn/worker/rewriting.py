"""Rewrites the circuits of a job in an earlier version of QPY, for a device that reads no later one.

Runs in the server's own interpreter, in a worker process that has no device.
"""

from __future__ import annotations

import base64
import io
import zlib

from qiskit import qpy as qiskit_qpy

from sojourn.worker.codec import qpy
from sojourn.worker.codec.decode import Budget, inflate
from sojourn.worker.protocol.circuits import circuits
from sojourn.worker.protocol.types import Completed, Description, DeviceSpec, Failed, JobRefused, Prepared
from sojourn.worker.wording import said


def rewritten(params: bytes, wanted: int) -> bytes:
    """The params with every circuit in QPY `wanted` or earlier; nothing else of them changes. Raises
    `JobRefused`."""
    oldest = qiskit_qpy.QPY_COMPATIBILITY_VERSION
    if wanted < oldest:
        raise JobRefused(f"Qiskit {_version()} writes QPY {oldest} and later, and not {wanted}")
    budget = Budget()
    pieces, done = [], 0
    for number, place in enumerate(circuits(params)):
        if place.version <= wanted:
            continue
        where = f"circuit {number + 1} of the job"
        content = inflate(params[place.start : place.stop].decode(), where, budget)
        pieces += [params[done : place.start], _written(content, wanted, where)]
        done = place.stop
    return b"".join([*pieces, params[done:]])


def _written(content: bytes, wanted: int, where: str) -> bytes:
    circuit = qpy.load_circuit(content, where)
    file = io.BytesIO()
    try:
        qiskit_qpy.dump(circuit, file, version=wanted)
    except Exception as error:  # what the earlier version has no form for
        raise JobRefused(f"{where} cannot be written as QPY {wanted}: {said(error)}") from error
    return base64.b64encode(zlib.compress(file.getvalue()))


def _version() -> str:
    import qiskit

    return str(qiskit.__version__)


class RewriteHost:
    """In the place of a device: a program of a job is the version that is wanted."""

    @classmethod
    def load(cls, spec: DeviceSpec) -> RewriteHost:
        del spec
        return cls()

    def describe(self) -> Description:
        return Description(0, {}, None, "")

    def apply_calibration(self, properties: bytes) -> None:
        del properties

    def health(self) -> tuple[str | None, bool]:
        """Nothing is asked of it: there is no device."""
        return None, False

    def cancel(self) -> None:
        """A run ends with its process."""

    def prepare(self, program_id: str, params: bytes) -> Prepared:
        del program_id, params
        raise JobRefused("circuits are rewritten, and not prepared")

    def run(self, program_id: str, params: bytes, at: float | None = None) -> Completed | Failed:
        """The result is the params, rewritten."""
        del at
        try:
            return Completed(rewritten(params, int(program_id)), 0.0)
        except JobRefused as refused:
            return Failed(refused.message, refused.code)
