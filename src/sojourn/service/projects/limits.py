"""What one user, project or device may ask for (R50). Counts in constant time; refuses with the number.

The allocation of device seconds is the lanes' (a job over it waits); everything else is here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from sojourn import codes
from sojourn.buckets import Buckets
from sojourn.config import TEN_YEARS, LimitsSettings, check_limits
from sojourn.core.model import JobKind
from sojourn.core.profile import Profile
from sojourn.core.wording.formatting import seconds
from sojourn.service.accounts.directory import Directory
from sojourn.service.errors import BadRequest, TooLarge, TooMany
from sojourn.service.lanes.records import Records
from sojourn.service.projects.crashes import Crashes
from sojourn.service.requests.turns import Looks
from sojourn.service.submission import NewJob
from sojourn.service.views import Principal
from sojourn.worker.protocol.types import JobRefused, Prepared

PATIENCE = 5.0
"""Seconds for which a request over the rate is held back before it is refused. A program that waits for its
answers is only slowed down then: today's client raises on a POST that is answered 429."""


class Limits:
    """`configured` holds where a project has no value of its own. `clock` is for the rate only and need not
    be the policy's."""

    def __init__(
        self,
        configured: LimitsSettings,
        accounts: Directory,
        records: Records,
        crashes: Crashes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._configured = configured
        self._accounts = accounts
        self._records = records
        self._crashes = crashes
        self._clock = clock
        self._of: dict[str, LimitsSettings] = {}
        self._rates: Buckets[tuple[str, str]] = Buckets()

    def of(self, project: str) -> LimitsSettings:
        """The limits of a project (id): its own values, else those of the configuration."""
        found = self._of.get(project)
        if found is None:
            own = check_limits(self._accounts.project(project).limits)
            named = {name: getattr(own, name) for name in own.model_fields_set}
            found = self._of[project] = self._configured.model_copy(update=named)
        return found

    def changed(self) -> None:
        """Some project has other limits now."""
        self._of.clear()

    def recount(self) -> None:
        """Take what is on record as what is there: after a start."""
        records = self._records
        for record in records.live_jobs.values():
            job = record.job
            if job.kind is JobKind.USER:
                records.open_jobs.enter(job.id, *_keys(job.user, job.project, record.device))
        for kept in records.live_sessions.values():
            session = kept.session
            records.open_sessions.enter(session.id, (session.project, session.user))

    # jobs

    def job(self, who: Principal, job_id: str, new: NewJob, device: str, profile: Profile) -> None:
        """Refuse a job that is too many or too large, before it is looked at; from now on it counts.

        Whoever is not going on to submit it calls `job_refused`.
        """
        limits = self.of(who.project_id)
        self._crashes.check(who, limits.crashes_per_hour)
        size, largest = len(new.params), limits.payload_mb * 1_000_000
        if largest and size > largest:
            raise TooLarge(
                f"The job's inputs are {size / 1e6:.6g} MB; the limit of project {who.project} is "
                f"{limits.payload_mb:g} MB (payload_mb). Split the work into several jobs."
            )
        if new.max_execution_time is not None:
            self._execution_time(who, new, new.max_execution_time, device, profile)
        there = self._records.open_jobs
        keys = _keys(who.user_id, who.project_id, device)
        most = (limits.pending_per_user, limits.pending_per_project, limits.pending_per_device)
        whose = (
            (f"User {who.user}", f" in project {who.project}"),
            (f"Project {who.project}", ""),
            (f"Device {device}", ""),
        )
        names = ("pending_per_user", "pending_per_project", "pending_per_device")
        for key, limit, (holder, where), name in zip(keys, most, whose, names, strict=True):
            count = there.count(key)
            if limit and count >= limit:
                raise BadRequest(
                    f"{holder} has {_not_ended(count, 'job', where)}; the limit is {limit} ({name}). "
                    "Wait until some have ended, or cancel some.",
                    code=codes.TOO_MANY_PENDING,
                )
        there.enter(job_id, *keys)

    def _execution_time(self, who: Principal, new: NewJob, asked: int, device: str, profile: Profile) -> None:
        """The job's own max_execution_time against everything that is known of it by now.

        The lane says the same, but of a job that starts a session it would say so when the session is there.
        """
        own = self.of(who.project_id).execution_seconds
        limits = [
            (own, f"the limit of project {who.project} is {seconds(own)} (execution_seconds)"),
            (profile.job_cap, f"no job runs longer than {seconds(profile.job_cap)} on {device}"),
        ]
        if (session := _new_session(new, profile)) is not None:
            limits.append((session, f"the session that it starts lasts at most {seconds(session)}"))
        for limit, what in limits:
            if limit and asked > limit:
                raise BadRequest(
                    f"max_execution_time is {asked} s; {what}. Ask for less, or split the job.",
                    code=codes.OVER_LIMIT,
                )

    def job_refused(self, job_id: str) -> None:
        """The submit has come to nothing, nor has the session that was to begin with it."""
        self._records.open_jobs.leave(job_id)
        self._records.open_sessions.leave(job_id)

    def prepared(self, project: str, prepared: Prepared, limit: float) -> None:
        """Refuse a job that is found to be too much work; it may run `limit` seconds. Raises JobRefused."""
        limits = self.of(project)
        for what, count, most, name in (
            ("circuits", prepared.num_circuits, limits.circuits, "circuits"),
            ("executions (circuits x shots)", prepared.executions, limits.executions, "executions"),
        ):
            if most and count is not None and count > most:
                raise JobRefused(
                    f"The job has {count} {what}; the limit of its project is {most} ({name}). "
                    "Split it into several jobs.",
                    codes.OVER_LIMIT,
                )
        if prepared.least_seconds > limit:
            raise JobRefused(
                f"Simulating the job takes {prepared.least_seconds:.0f} s or more by estimate; it may run "
                f"{seconds(limit)}. Ask for fewer shots or points, for fewer qubits that gates join or fewer "
                "layers of gates between them, or split the job; a longer max_execution_time helps where the "
                "device allows it.",
                codes.OVER_LIMIT,
            )

    def own_limit(self, who: Principal, new: NewJob, profile: Profile) -> float | None:
        """The job's max_execution_time; the project's longest one for a job that could run longer.

        Nobody has asked for that one, so it is no reason to refuse the job in a shorter session (R20).
        """
        if new.max_execution_time is not None:
            return float(new.max_execution_time)
        longest = self.of(who.project_id).execution_seconds
        if not longest or profile.run_limit(new.program, None) <= longest:
            return None
        return min(longest, self._session_lasts(new, profile))

    def _session_lasts(self, new: NewJob, profile: Profile) -> float:
        """At most, in seconds; for ever for a job without a session."""
        if (lasts := _new_session(new, profile)) is not None:
            return lasts
        record = self._records.session(new.session) if new.session is not None else None
        if record is None:
            return math.inf
        return profile.max_time if record.session.max_time is None else record.session.max_time

    # sessions

    def session(self, who: Principal, session_id: str, profile: Profile) -> None:
        """Refuse a session that may not be; from now on it counts, see `session_refused`."""
        plan = self._accounts.project(who.project_id).plan
        if plan == "open" and not profile.open_plan_sessions:
            raise BadRequest(
                f"Project {who.project} is on the open plan, which has no sessions here. Run the jobs "
                "without a session or batch (job mode), or ask an operator for another plan.",
                code=codes.SESSIONS_NOT_ALLOWED,
            )
        there, limit = self._records.open_sessions, self.of(who.project_id).sessions_per_user
        key = (who.project_id, who.user_id)
        count = there.count(key)
        if limit and count >= limit:
            held = _not_ended(count, "session", f" in project {who.project}")
            raise BadRequest(
                f"User {who.user} has {held}; the limit is {limit} (sessions_per_user). "
                "`sojourn sessions` lists them.",
                code=codes.TOO_MANY_PENDING,
            )
        there.enter(session_id, key)

    def session_refused(self, session_id: str) -> None:
        self._records.open_sessions.leave(session_id)

    # the rate of requests

    def looks(self, project: str) -> Looks:
        limits = self.of(project)
        return Looks(limits.looks_at_once, limits.looks_rate, limits.looks_burst)

    def pace(self, who: Principal, cost: float = 1.0) -> float:
        """Seconds for which this request has to be held back; raises TooMany when that is too long.

        A bucket of `request_burst` requests that fills at `request_rate`; what is taken beyond it is paid
        back by waiting.
        """
        limits = self.of(who.project_id)
        rate, burst = limits.request_rate, float(limits.request_burst)
        if not rate:
            return 0.0
        key, now = (who.user_id, who.project_id), self._clock()
        wait = min(max(0.0, cost - self._rates.level(key, now, rate, burst)) / rate, TEN_YEARS)
        if wait > PATIENCE:
            raise TooMany(
                f"User {who.user} sends more than {rate:g} requests per second (request_rate) and has used "
                f"up the {limits.request_burst} that may come at once (request_burst). Try again in "
                f"{wait - PATIENCE + 1:.0f} s, and wait for answers before asking again.",
                retry_after=wait - PATIENCE + 1,
            )
        self._rates.take(key, cost, now, rate, burst)
        return wait


def _not_ended(count: int, what: str, where: str) -> str:
    """`1 job in project lab that has not ended`."""
    return (
        f"1 {what}{where} that has not ended" if count == 1 else f"{count} {what}s{where} that have not ended"
    )


def _new_session(new: NewJob, profile: Profile) -> float | None:
    """How long the session lasts at most that the job starts, if it does."""
    if new.opens is None:
        return None
    # too long a one is refused with the session
    return profile.max_time if new.opens.max_time is None else min(new.opens.max_time, profile.max_time)


def _keys(user: str, project: str, device: str) -> tuple[tuple[str, ...], ...]:
    return ((project, user), (project,), ("", "", device))
