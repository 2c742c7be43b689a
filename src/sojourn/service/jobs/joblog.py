"""What `GET /jobs/{id}/logs` says of a job at the level that it was submitted with. Pure: no I/O.

The lines are made of the job's record and history, so they are there at once and for every job; what its run
wrote (warnings and output of the worker) follows them.

======================  ==========================================================================
level                   what is in the log
======================  ==========================================================================
DEBUG                   every step with its time, what preparation found, the limit, the charge
INFO                    every step with its time
WARNING (the default)   warnings, and what the run wrote
ERROR, CRITICAL         what the run wrote, without its warnings
======================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sojourn.core.model import FINAL, JobState
from sojourn.service.views import HistoryLine, JobView

_LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_WARNING = "WARNING "


def level(name: str | None) -> int:
    """The number of a level, in any case of letters; what is none, or not given, is WARNING."""
    return _LEVELS.get((name or "").upper(), _LEVELS["WARNING"])


def shows_steps(name: str | None) -> bool:
    return level(name) <= _LEVELS["INFO"]


def text(job: JobView, history: Sequence[HistoryLine], written: str) -> str:
    """The whole log. `written` is what the run wrote, "" while there is nothing."""
    shown = level(job.log_level)
    steps = shows_steps(job.log_level)
    lines = list(_steps(job, history, debug=shown == _LEVELS["DEBUG"])) if steps else []
    if shown <= _LEVELS["WARNING"]:
        lines += [f"{_WARNING}{warning}" for warning in job.warnings if warning not in written]
    else:
        written = "".join(x for x in written.splitlines(keepends=True) if not x.startswith(_WARNING))
    return "".join(f"{line}\n" for line in lines) + written


def _steps(job: JobView, history: Sequence[HistoryLine], *, debug: bool) -> Iterable[str]:
    for step in history:
        why = f": {step.reason}" if step.reason else ""
        at = datetime.fromtimestamp(step.at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        yield f"{at} INFO {_said(job, step)}{why}"
        if debug:
            yield from (f"{at} DEBUG {fact}" for fact in _facts(job, step))


def _said(job: JobView, step: HistoryLine) -> str:
    if step.after == JobState.ACCEPTED:
        return f"accepted: job {job.id}, program {job.program_id}, for {job.device}"
    if step.after == JobState.RUNNING:
        return f"running on {job.device}"
    return step.after


def _facts(job: JobView, step: HistoryLine) -> Iterable[str]:
    if step.before == JobState.ACCEPTED and step.after == JobState.QUEUED:
        amounts = (job.num_circuits, "circuit"), (job.num_qubits, "qubit"), (job.executions, "execution")
        counts = [f"{n} {what}{'' if n == 1 else 's'}" for n, what in amounts if n is not None]
        yield f"prepared: {', '.join(counts)}, {job.estimated_seconds or 0.0:.6g} s of device time estimated"
    elif step.after == JobState.RUNNING:
        yield f"limit: {job.limit:.6g} s"
    elif step.after in FINAL:
        yield f"charged: {job.quantum_seconds:.6g} s"
