"""Ends jobs and charges them, and decides what follows a run without a result (R49, R55, D23).

Selects and runs nothing.
"""

from __future__ import annotations

from dataclasses import replace

from sojourn import codes
from sojourn.core import events as ev
from sojourn.core.effects import ChargeKind
from sojourn.core.model import Job, JobKind, JobState, Spent
from sojourn.core.profile import Profile
from sojourn.core.queues import Queues
from sojourn.core.sessions import Sessions
from sojourn.core.state import LaneState
from sojourn.core.wording import limits


class Endings:
    def __init__(self, state: LaneState, queues: Queues, sessions: Sessions, profile: Profile) -> None:
        self._state = state
        self._queues = queues
        self._sessions = sessions
        self._profile = profile

    def ran(self, job: Job, to: JobState, now: float, event: ev.RunEnded) -> None:
        """Its run has come to an end by itself. The device may know that it has worked for less than that."""
        self.end(job, to, now, event.outcome, event.reason, event.code, used=event.used)

    def end(
        self,
        job: Job,
        to: JobState,
        now: float,
        cause: str,
        reason: str | None,
        code: int | None,
        *,
        free: bool = False,
        runs: tuple[Spent, ...] = (),
        used: float | None = None,
    ) -> None:
        """The one way in which a job ends. Time on the device is charged unless `free` (R49): that of its
        run, or that of `runs` if there are several (D23). Of its run only the last `used` seconds count,
        where the device says how many they were."""
        was = job.state
        job.reason, job.reason_code = reason, code
        if was is JobState.QUEUED:
            self._queues.discard(job)
        if was is JobState.RUNNING and not free and job.started_at is not None:
            begun = job.started_at if used is None else max(job.started_at, now - used)
            runs = runs or ((begun, now, 0.0),)
            job.charged = sum(max(0.0, end - start) for start, end, _ in runs)
        self._state.move_job(job, to, now, cause)
        if job.charged:
            self._charge(job, runs)
        self._sessions.job_ended(job, was, now)

    def _charge(self, job: Job, runs: tuple[Spent, ...]) -> None:
        kind = ChargeKind.SYSTEM if job.kind is JobKind.SYSTEM else ChargeKind.JOB
        session_id = None if job.detached else job.session_id  # D15: a plain job is no usage of its session
        for start, end, jumped in runs:
            used = max(0.0, end - start)
            self._state.charge(
                kind, job.user, job.project, end - used, end, job_id=job.id, session_id=session_id
            )
            if used and job.kind is JobKind.USER:
                self._queues.fair.charge(job.project, job.user, used, end + jumped)

    # runs without a result

    def crashed(self, job: Job, now: float, event: ev.RunEnded) -> None:
        """D23: one death of a worker can be the system's fault; repeated ones are the job's and cost."""
        job.crashes += 1
        again = job.crashes <= self._profile.crash_reruns and self._may_repeat(job, event)
        charged = self._profile.charged_crashes
        if charged and job.started_at is not None:
            job.crashed = (*job.crashed, (job.started_at, now, 0.0))
        if again or not charged or job.crashes < charged or job.kind is JobKind.SYSTEM:
            self.again_or_fail(job, now, event, again)
            return
        why = limits.killed(job, event.reason)
        self.end(job, JobState.FAILED, now, event.outcome, why, codes.WORKER_KILLED, runs=job.crashed)

    def lost(self, job: Job, now: float, event: ev.RunEnded) -> None:
        """R55: a run that the system has lost is repeated, where the rules and the device allow it."""
        again = self._profile.rerun_lost and self._may_repeat(job, event)
        if again and job.attempt >= self._profile.most_attempts:
            again, event = False, replace(event, reason=limits.too_often(job, self._profile, event.reason))
        self.again_or_fail(job, now, event, again)

    def _may_repeat(self, job: Job, event: ev.RunEnded) -> bool:
        return job.reruns or event.untouched

    def again_or_fail(self, job: Job, now: float, event: ev.RunEnded, again: bool) -> None:
        """R55: nothing is charged for a run that the system lost."""
        if not again:
            why = event.reason or "the device was lost while the job ran"
            if not self._may_repeat(job, event) and event.outcome is not ev.Outcome.UNSTORED:
                why = limits.not_twice(why)
            self.end(job, JobState.FAILED, now, event.outcome, why, codes.SYSTEM_FAILURE, free=True)
            return
        job.started_at = None
        self._state.move_job(job, JobState.QUEUED, now, event.outcome)
        self._sessions.requeued(job, now)
        self._queues.add(job)
