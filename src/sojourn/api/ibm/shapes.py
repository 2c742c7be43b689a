"""The wire shapes of jobs and sessions in the client's dialect. Pure: views in, JSON-able tables out."""

from __future__ import annotations

import math
import re
from typing import Any

from sojourn import codes
from sojourn.api.http.replies import begun, encode, iso, tidy, without_none
from sojourn.service.views import JobView, QueueFacts, SessionView

_STATE = {
    "accepted": "Queued",
    "queued": "Queued",
    "running": "Running",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
}


def job_state(job: JobView) -> str:
    """The word for `state.status`; any other word would make the client poll for ever."""
    if job.final and job.reason_code == codes.RAN_TOO_LONG:
        return "Cancelled"
    return _STATE[job.state]


def job_status(job: JobView) -> str:
    """The word for the top-level `status`: as `state.status`, but R52 has a name of its own."""
    if job.final and job.reason_code == codes.RAN_TOO_LONG:
        return "Cancelled - Ran too long"
    return _STATE[job.state]


def job_object(job: JobView) -> dict[str, Any]:
    """A job without its params."""
    state: dict[str, Any] = {"status": job_state(job)}
    if job.final and job.state != "completed":
        if job.reason is not None:
            state["reason"] = job.reason
        if job.reason_code is not None:
            state["reason_code"] = job.reason_code
    return without_none(
        {
            "id": job.id,
            "backend": job.device,
            "state": state,
            "status": job_status(job),
            "program": {"id": job.program_id},
            "created": iso(job.created),
            "ended": iso(job.finished),
            "session_id": job.session_id,
            "tags": job.tags,
            "runtime": None,
            "private": job.private,
            "user_id": job.user,
            # Strictly typed clients insist on an integer, also when no limit was sent with the job.
            "cost": math.ceil(job.limit) if job.cost is None else job.cost,
            "estimated_running_time_seconds": job.estimated_seconds,
            "estimated_max_running_time_seconds": job.limit or None,
            "usage": {"quantum_seconds": tidy(job.quantum_seconds), "seconds": tidy(job.quantum_seconds)},
            "warnings": job.warnings or None,
        }
    )


def job_bytes(job: JobView, params: bytes | None = None) -> bytes:
    """A job as JSON text. `params` is JSON text as well and goes in byte for byte, as it was submitted."""
    text = encode(job_object(job))
    return text if params is None else b'%b,"params":%b}' % (text[:-1], params)


_QISKIT = re.compile(r"(?:^|[,/ ])qiskit(?:[_-]terra)?-(\d[0-9A-Za-z.+!]*)")


def qiskit_version(caller: str | None) -> str | None:
    """The version of Qiskit that the client says it has, in its header X-Qx-Client-Application.

    That lists packages as `NAME-VERSION`, with a star where one is imported. None from a client that does not
    say it: one of another language, or of a user who has opted out.
    """
    found = _QISKIT.search(caller or "")
    return found[1] if found else None


def job_metrics(job: JobView) -> dict[str, Any]:
    """What `job.metrics()` shows. Times are null until they come; usage is pending until the job is final.

    Of a job that waits, `waiting_reasons` says why, as `sojourn jobs why` does. Position and times are those
    of one forecast; of a job that only reservations keep, the start is exact. What nobody can know is null.
    """
    seconds = tidy(job.quantum_seconds)
    queue = job.queue or QueueFacts(as_of=0.0)
    position = job.position if queue.position is None else queue.position
    start = queue.start.expected if queue.start is not None else None
    end = queue.end.expected if queue.end is not None else None
    usage = {
        "quantum_seconds": seconds,
        "seconds": seconds,
        "qpu_charge_time_seconds": seconds,
        "status": "final" if job.final else "pending",
    }
    return {
        "timestamps": {
            "created": iso(job.created),
            "queued": iso(job.queued),
            "running": iso(job.started),
            "finished": iso(job.finished),
        },
        "bss": {"seconds": seconds},
        "usage": usage,
        "position_in_queue": position,
        "position_in_provider": position,
        "estimated_start_time": iso(start if job.estimated_start is None else job.estimated_start),
        "waiting_reasons": job.waiting_reasons,
        "estimated_completion_time": iso(end),
        "num_circuits": job.num_circuits,
        "num_qubits": job.num_qubits,
        "executions": job.executions,
        "qiskit_version": qiskit_version(job.caller),
        "caller": job.caller,
        "attempt": job.attempt,
        "warnings": job.warnings,
    }


def session_object(session: SessionView, crn: str | None = None) -> dict[str, Any]:
    """A session with every field that the client shows.

    Strictly typed clients ask for whole seconds in the three limits: `active_ttl`, which is left of the time,
    is rounded down, the others up.
    """
    more = {"warnings": session.warnings} if session.warnings else {}
    return {
        **more,
        "id": session.id,
        "backend_name": session.device,
        "mode": session.mode,
        "state": session.state,
        "state_reason": session.reason,
        "accepting_jobs": session.accepting_jobs,
        "interactive_ttl": begun(session.interactive_ttl),
        "max_ttl": begun(session.max_time),
        "active_ttl": max(0, math.floor(session.active_ttl)),
        "created_at": iso(session.created),
        "started_at": iso(session.started),
        "activated_at": iso(session.activated),
        "closed_at": iso(session.closed),
        "last_job_started": iso(session.last_job_started),
        "last_job_completed": iso(session.last_job_completed),
        "elapsed_time": tidy(session.elapsed),
        "timestamps": [{"status": status, "timestamp": iso(at)} for status, at in session.timestamps],
        "user_id": session.user,
        "instance": crn,
    }
