"""The driver `sojourn`: a device of another Sojourn, or of any service that speaks the dialect of IBM's
client.

Options: `url` (required), `backend` (the device there; required), `key_file` or `key_env` (where the API key
is; one of them), `instance` (a CRN there), `iam_url`, `ca_file`; `mode` (`session`, the default: a session
here holds the device there by one of its own; or `jobs`), `session_seconds` and `job_seconds` (the longest
session and job there), `timeout` (seconds of silence, 30), `patience` (seconds for which a service that is
away is waited for while it has a job, 900), `refresh` (seconds after which the description is asked for
again, 60), `qpy` (the version in which circuits are sent), `label` (this server in the tags of jobs there).

The device runs sampler jobs there, whatever program runs here. docs/federation.md says what follows.
"""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from sojourn import codes
from sojourn.devices.driver import Assignment, DriverError, NotReached, OptionReader, Outcome, Task
from sojourn.devices.remote import payload
from sojourn.devices.remote.base import FailedThere, ServiceDriver
from sojourn.devices.remote.held import Holding, Tags
from sojourn.devices.remote.place import read_choice, read_place, read_seconds, read_text
from sojourn.devices.remote.service import Away, Refused, Service, Stopped, Submit, seconds_of

QUICK, SLOW = 0.1, 0.5
"""Seconds between two questions after a job, as the client has them in a session and outside of one."""

_BRIEF = 4.0  # seconds of silence in what must not take long, as idle workers have to answer
_AT_FIRST = 5.0  # seconds for which a job that has not begun waits in the worker, and then in the queue
_TRIES = 3  # of a job that never began
_LEFT_FOR = 60.0
_THEIR_FAULT = frozenset({codes.SYSTEM_FAILURE, codes.INTERNAL_ERROR, codes.DEVICE_UNAVAILABLE})
_SESSION_GONE = frozenset({codes.SESSION_CLOSED, codes.ROOT_LOST, codes.UNKNOWN_SESSION})
_ENDED_BADLY = {
    "Failed": "failed",
    "Cancelled": "was cancelled",
    "Cancelled - Ran too long": "was cancelled",
}


class RemoteDriver(ServiceDriver):
    """A device behind the queue of another service."""

    cancel_seconds = 10.0

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        reader = OptionReader(name, "sojourn", options)
        place = self.place = read_place(reader)
        mode = read_choice(reader, "mode", "session", ("session", "jobs"))
        session_seconds = reader.integer("session_seconds", None, 1, 10 * 366 * 86_400)
        self._job_seconds = reader.integer("job_seconds", None, 1, 604_800)
        timeout = read_seconds(reader, "timeout", 30.0, 1.0, 600.0)
        self._patience = read_seconds(reader, "patience", 900.0, 0.0, 7 * 86_400.0)
        self.read_shared(reader)
        label = read_text(reader, "label", "a name for this server") or socket.gethostname()
        reader.finish()
        self._stop = threading.Event()
        self._service = Service(place, timeout=timeout, stop=self._stop)
        self._tags = Tags.of(f"{label} {place.url} {place.instance}", name)
        self._holding = Holding(
            self._service, self._tags, "dedicated" if mode == "session" else None, session_seconds
        )
        self._opened_at = 0.0
        self._opened = self._taken_over = False
        self._job = Assignment("")
        self._begin("")
        with self._service.waiting(0.0, timeout=2 * _BRIEF):
            self.look()

    def _begin(self, job: str) -> None:
        """Nothing has been sent of the job here. `_run_tag` tells its jobs there from all others."""
        self._run_tag = self._tags.job(job) if job else f"run:{uuid.uuid4().hex}"
        self._sent = 0
        self._seconds = 0.0
        self._told: list[str] = []

    # what it is

    def ask(self) -> tuple[bytes, bytes]:
        return self._service.configuration(), self._service.properties()

    def refresh(self) -> bool:
        with self._service.waiting(0.0, timeout=_BRIEF):
            return super().refresh()

    def health(self) -> str | None:
        """Whether the other service would start a job now."""
        try:
            with self._service.waiting(0.0, timeout=_BRIEF):
                self.open()
                if self._holding.has_left and time.monotonic() > self._opened_at + _LEFT_FOR:
                    self._holding.cancel_left()
                status = self._service.status()
        except DriverError as error:
            return str(error)
        words, why = str(status.get("status") or ""), str(status.get("message") or "")[:300]
        if status.get("state") and words in ("active", "online"):
            return None
        more = f": {why}" if why and why not in words else ""
        return f"{self.place} is {words[:300] or 'not operational'}{more}"

    # what it runs

    def open(self) -> None:
        """In the process that runs jobs: look for what another one has left there."""
        if not self._opened:
            self._opened_at = time.monotonic()
            self._holding.look()
            self._opened, self._taken_over = True, False

    def assign(self, job: Assignment) -> None:
        self._job = job
        self._begin(job.job)

    def begin_job(self) -> None:
        self._stop.clear()
        if not self._job.job:  # nobody has told of one: each is another one
            self._begin("")

    def account(self) -> Sequence[str]:
        return tuple(self._told)

    def device_seconds(self) -> float | None:
        return self._seconds

    def execute(self, tasks: Sequence[Task], *, seed: int | None, memory: bool) -> list[list[Outcome]]:
        try:
            return super().execute(tasks, seed=seed, memory=memory)
        except (Away, Stopped):
            self._opened = False  # something may be there that nobody waits for
            raise

    def run(self, pieces: Sequence[payload.Piece], seed: int | None) -> list[list[Outcome]]:
        """Run one job there. One that its session there has taken with it before it began is sent again, in
        another session."""
        params = payload.params_of(pieces, seed)
        for turn in range(_TRIES):
            session = self._session()
            try:
                job = self._submit(params, turn, session)
                self._sent += 1
                ended = self._wait(job, session)
            except (FailedThere, Refused) as error:
                if turn + 1 == _TRIES or session is None or error.said not in _SESSION_GONE:
                    raise
                self._holding.lost()
                continue
            self._account_for(job, ended)
            with self._service.waiting(self._patience):
                text = self._service.result(job)
            try:
                return payload.outcomes_of(pieces, text)
            except payload.Unreadable as error:
                raise FailedThere(f"job {job} of {self.place}: {error}", codes.SYSTEM_FAILURE) from error
        raise AssertionError("the last try raises or returns")

    def _session(self) -> str | None:
        """The session there for the job at hand."""
        try:
            with self._service.waiting(self._patience, search=None if self._sent else _AT_FIRST):
                self.open()
                if not self._taken_over:
                    self._holding.take_over(self._job)
                    self._taken_over = True
                return self._holding.session_for(self._job.session)
        except (Away, Refused) as error:
            self._has_to_wait(error, begun=False)
            raise

    def _submit(self, params: bytes, turn: int, session: str | None) -> str:
        """The job there. The same part of the same job here is the same job there, also when another worker
        has submitted it: neither a lost answer nor a lost worker makes a second run."""
        tags = [self._tags.device, self._run_tag, f"part:{self._sent}.{turn}"]
        if self._job.session is not None:
            tags.append(self._tags.session(self._job.session))
        key = blake2b("\0".join([*tags, str(session)]).encode() + params, digest_size=20)
        submit = Submit(
            "sampler", params, f"sojourn-{key.hexdigest()}", tuple(tags), session, self._job_seconds
        )
        try:
            with self._service.waiting(self._patience, search=None if self._sent else _AT_FIRST):
                job = self._service.submit(submit)
        except (Away, Refused) as error:
            self._has_to_wait(error, begun=isinstance(error, Away) and error.done)
            raise
        where = f" in its session {session}" if session is not None else ""
        self._told.append(f"job {job} of {self.place}{where}")
        return job

    def _has_to_wait(self, error: Away | Refused, *, begun: bool) -> None:
        """While nothing of the job is there, a service that is away or does not know us means that the job
        waits in the queue here. Raises `NotReached` then."""
        waits = not error.reached if isinstance(error, Away) else error.unknown
        if waits and not begun and not self._sent:
            self._opened = False
            raise NotReached(str(error)) from error

    def _wait(self, job: str, session: str | None) -> Mapping[str, Any]:
        """The job, when it has ended. Raises `FailedThere` unless it has completed, and `Stopped` when it is
        not wanted any more; then it is cancelled."""
        pause = 0.0
        try:
            while True:
                if self._stop.wait(pause):
                    raise Stopped("the run was stopped")
                with self._service.waiting(self._patience):
                    found = self._service.job(job)
                state = found.get("state")
                state = state if isinstance(state, dict) else {}
                word = str(state.get("status") or found.get("status"))
                if word == "Completed":
                    return found
                if word in _ENDED_BADLY:
                    raise self._failure(job, word, state, found)
                pause = QUICK if session is not None else SLOW
        except Refused as refused:
            if refused.status not in (404, 410):
                raise
            why = f"job {job} is not there any more. {refused}"
            raise FailedThere(why, codes.SYSTEM_FAILURE) from refused
        except Stopped:
            self._cancel(job)
            raise

    def _failure(
        self, job: str, word: str, state: Mapping[str, Any], found: Mapping[str, Any]
    ) -> FailedThere:
        """In the words of the other service."""
        said = state.get("reason_code")
        number = said if isinstance(said, int) and not isinstance(said, bool) else None
        if number not in _SESSION_GONE:
            self._account_for(job, found)
        cancelled = word == "Cancelled" and number != codes.RAN_TOO_LONG
        shown = "" if number is None else f" (error {number})"
        reason = str(state.get("reason") or "no reason is given")[:4000]
        return FailedThere(
            f"job {job} of {self.place} {_ENDED_BADLY[word]}: {reason}{shown}",
            codes.SYSTEM_FAILURE if cancelled or number in _THEIR_FAULT else codes.RUN_FAILED,
            number,
        )

    def _account_for(self, job: str, ended: Mapping[str, Any]) -> None:
        """Add what the device worked for the job, as its service counts it."""
        try:
            seconds = seconds_of(ended.get("usage"), "quantum_seconds")
            if seconds is None:
                with self._service.waiting(_AT_FIRST):
                    seconds = self._service.seconds(job)
        except DriverError as error:
            self._told.append(f"how long the device worked for job {job} is not known: {error}")
            return
        if seconds is None:
            self._told.append(f"{self.place} does not say how long its device worked for job {job}")
            return
        self._told.append(f"the device worked {seconds:g} s for job {job}")
        self._seconds += seconds

    # how it ends

    def cancel(self) -> None:
        """Called in another thread. The thread of `execute` cancels what it waits for."""
        self._stop.set()

    def _cancel(self, job: str) -> None:
        self._stop.clear()  # else nothing could be asked for
        try:
            with self._service.waiting(0.0, timeout=_BRIEF):
                self._service.cancel(job)
        except DriverError as error:
            self._told.append(f"job {job} of {self.place} could not be cancelled: {error}")

    def end_session(self, session: str) -> None:
        if session == self._job.session:
            self._job = Assignment("")
        if session == self._holding.mine:
            with self._service.waiting(0.0, timeout=_BRIEF):
                self._holding.end()
