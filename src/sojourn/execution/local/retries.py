"""Decides what becomes of a job whose preparer is lost: another try, or a refusal.

Plain data: no processes and no I/O. docs/decisions/0015 has the reasons.
"""

from __future__ import annotations

from dataclasses import dataclass

from sojourn import codes
from sojourn.execution.engine import DeviceUnavailable
from sojourn.execution.local.turns import Request
from sojourn.worker.protocol.types import JobRefused

MOST_UNLUCKY = 5
"""Preparers that may be lost under one request, for reasons that are not the request's."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A preparer that is gone.

    `how` it ended; `suspect`: whether what it had in work can have caused it; `loading`: the device that it
    loaded just then; `limit`: the seconds that were over, None where it ended by itself; `hung`: it had not
    computed in them; `memory`: the bytes that one preparation may take, 0 for no limit.
    """

    how: str
    suspect: bool
    loading: str | None
    limit: float | None
    hung: bool
    memory: int


def verdict(head: Request, loss: Loss) -> JobRefused | DeviceUnavailable | None:
    """What becomes of the request in work, on which this is noted; None: another preparer gets it. Only one
    that has taken two preparers with it, or all of its time, is refused."""
    if not loss.suspect:
        head.unlucky += 1
        if head.unlucky < MOST_UNLUCKY:
            return None
        return DeviceUnavailable(
            f"{head.unlucky} preparers were lost before they had seen the job ({loss.how})"
        )
    if loss.loading is not None:
        if head.device != loss.loading:
            return None
        what = f"crashed ({loss.how})" if loss.limit is None else f"took more than {loss.limit:g} s"
        return DeviceUnavailable(f"loading device {loss.loading} {what}")
    if not head.struck and (loss.hung or loss.limit is None):
        head.struck = True
        return None
    if loss.limit is not None:
        return JobRefused(
            f"Preparing the job took more than {loss.limit:.4g} s, the limit for {len(head.params)} bytes of "
            "inputs, and was given up. Submit fewer or smaller circuits in one job, and fewer turns of "
            "loops.",
            codes.JOB_UNFIT,
        )
    return JobRefused(
        f"The job crashed the decoder ({loss.how}){_starved(loss)}, twice. Check the circuits and "
        "their parameters; the device itself is not affected.",
        codes.JOB_UNFIT,
    )


def _starved(loss: Loss) -> str:
    """Native code that gets no memory aborts."""
    if loss.how != "SIGABRT" or not loss.memory:
        return ""
    return f", as it does when a job needs more than its {loss.memory / 2**20:.0f} MB of memory"
