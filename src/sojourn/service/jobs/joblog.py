"""What `GET /jobs/{id}/logs` says of a job at the level that it was submitted with. Pure: no I/O.

The lines are made of the job's record and history, so they are there at once and for every job; what its run
wrote (warnings and output of the worker) follows them.

======================  ============================================================================
level                   what is in the log
======================  ============================================================================
DEBUG                   the same, and what preparation found, the limit, the charge
INFO                    every step with its time, what the run did and what it took
WARNING (the default)   warnings, and what the run wrote
ERROR, CRITICAL         what the run wrote, without its warnings
======================  ============================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sojourn.core.model import FINAL, JobState
from sojourn.service.loglevels import LEVELS, level, shown
from sojourn.service.views import HistoryLine, JobView

_WARNING = "WARNING "


def shows_steps(name: str | None) -> bool:
    return level(name) <= LEVELS["INFO"]


def text(job: JobView, history: Sequence[HistoryLine], written: str) -> str:
    """The whole log. `written` is what the run wrote, "" while there is nothing."""
    number = level(job.log_level)
    debug = number == LEVELS["DEBUG"]
    lines = list(_steps(job, history, debug=debug)) if shows_steps(job.log_level) else []
    if number <= LEVELS["WARNING"]:
        lines += [f"{_WARNING}{warning}" for warning in job.warnings if warning not in written]
    return "".join(f"{line}\n" for line in lines) + shown(written, job.log_level)


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
