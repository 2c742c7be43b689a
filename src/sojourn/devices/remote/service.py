"""Calls another service in the dialect of IBM's clients: credentials, JSON, refusals, patience.

A call that meets no server, or one that has no room, is repeated until the caller's patience is over. What is
not repeatable by itself has a key that makes it so, see `Service.submit`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

import sojourn
from sojourn import codes
from sojourn.devices.driver import DriverError, RunCancelled
from sojourn.devices.remote.http import MAX_TEXT, Connection, Reply, Unreached
from sojourn.devices.remote.place import Place

VERSION = "2026-04-15"
"""The version of the dialect, as the newest client names it."""

MAX_RESULT = 256 << 20
_GRANT = "urn:ibm:params:oauth:grant-type:apikey"
_NOT_NOW = frozenset({429, 500, 502, 503, 504, 507, 520, 521, 522, 524})
_NOT_OURS = frozenset({401, 403})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_TOKEN_SPARE = 0.8  # of its life a token is used


class Away(DriverError):
    """The other service gave no answer that could be used, for as long as the caller would wait. `reached`:
    it is there. `done`: it may have done all the same what it was asked for."""

    code = codes.SYSTEM_FAILURE

    def __init__(self, message: str, *, reached: bool = True, done: bool = True) -> None:
        super().__init__(message)
        self.reached = reached
        self.done = done


class Refused(DriverError):
    """The other service answered that it does not do this. `said` is its number of the error, if it has
    one."""

    def __init__(self, message: str, status: int, said: int | None) -> None:
        super().__init__(message)
        self.status = status
        self.said = said
        if status in _NOT_OURS:  # it is about our account there, and not about what was asked for
            self.code = codes.SYSTEM_FAILURE

    @property
    def unknown(self) -> bool:
        """Whether our key is not taken, for anything."""
        return self.status == 401


class Stopped(RunCancelled):
    """The run is not wanted any more."""


class _Found(Exception):
    """The job that a lost answer was about."""

    def __init__(self, job: str) -> None:
        super().__init__(job)
        self.job = job


@dataclass(frozen=True, slots=True)
class Submit:
    """A job for `Service.submit`. `params` is JSON text. `key` names the job: two submits with one key are
    one job. `tags` find it again, `seconds` is the longest that it may run."""

    program: str
    params: bytes
    key: str
    tags: tuple[str, ...]
    session: str | None = None
    seconds: int | None = None


class Service:
    """One service, seen from one thread. `timeout`: seconds of silence that end a call; `stop` ends all
    waiting with `Stopped`. A call is repeated inside `waiting` only."""

    def __init__(self, place: Place, *, timeout: float, stop: threading.Event) -> None:
        self.place = place
        self.stop = stop
        self._patience = self._search = 0.0
        self._base = urlsplit(place.url).path.rstrip("/")
        self._api = Connection(place.url, timeout=timeout, authority=place.authority)
        self._iam = Connection(place.iam, timeout=timeout, authority=place.authority)
        self._token = ""
        self._until = 0.0

    @contextmanager
    def waiting(
        self, patience: float, *, search: float | None = None, timeout: float | None = None
    ) -> Iterator[None]:
        """In this block a call is repeated for `patience` seconds, or for `search` seconds while nothing
        answers, and with a `timeout` of its own if one is given."""
        kept, usual = (self._patience, self._search), self._api.timeout
        self._patience, self._search = patience, patience if search is None else search
        self._set_timeout(usual if timeout is None else min(timeout, usual))
        try:
            yield
        finally:
            self._patience, self._search = kept
            self._set_timeout(usual)

    def _set_timeout(self, seconds: float) -> None:
        self._api.set_timeout(seconds)
        self._iam.set_timeout(seconds)

    # what the drivers ask for

    def configuration(self) -> bytes:
        return self._text("GET", f"/backends/{_name(self.place.device)}/configuration")

    def properties(self) -> bytes:
        """JSON text; of a device of which nothing is measured it is an empty object or null."""
        return self._text("GET", f"/backends/{_name(self.place.device)}/properties")

    def status(self) -> dict[str, Any]:
        return self.get(f"/backends/{_name(self.place.device)}/status")

    def submit(self, job: Submit) -> str:
        """The id of the job there. A submit whose answer was lost makes no second job: the service knows it
        by the key, and one that reads no keys has it under its tags, where it is looked for first."""
        head: dict[str, Any] = {"program_id": job.program, "backend": self.place.device, "tags": job.tags}
        if job.session is not None:
            head["session_id"] = job.session
        if job.seconds is not None:
            head["cost"] = job.seconds
        text = b'%b,"params":%b}' % (msgspec.json.encode(head)[:-1], job.params)

        def found() -> str | None:
            jobs = self.jobs(job.tags, 2)
            return str(jobs[0]["id"]) if jobs else None

        try:
            answer = self._call("POST", "/jobs", body=text, key=job.key, lost=found)
        except _Found as known:
            return known.job
        return _field(self._object(answer), "id", self.place)

    def job(self, job: str) -> dict[str, Any]:
        return self.get(f"/jobs/{_name(job)}", exclude_params="true")

    def jobs(self, tags: Sequence[str], limit: int) -> list[dict[str, Any]]:
        """Those that have all of the tags, the newest first."""
        wanted = [("tags", tag) for tag in tags]
        wanted += [("limit", str(limit)), ("exclude_params", "true"), ("include_mocks", "true")]
        found = self.get(f"/jobs?{urlencode(wanted)}").get("jobs")
        if not isinstance(found, list) or not all(isinstance(job, dict) and "id" in job for job in found):
            raise Away(f"{self.place} lists its jobs in a form that is not known here")
        mine = set(tags)
        return [job for job in found if mine <= set(job.get("tags") or ())]

    def result(self, job: str) -> bytes:
        return self._text("GET", f"/jobs/{_name(job)}/results", most=MAX_RESULT)

    def seconds(self, job: str) -> float | None:
        """What the device worked for the job, by what its service charges; None when it does not say."""
        usage = self.get(f"/jobs/{_name(job)}/metrics").get("usage")
        return seconds_of(usage, "quantum_seconds", "qpu_charge_time_seconds", "seconds")

    def cancel(self, job: str) -> None:
        """A job that has ended already is no error."""
        self._quietly("POST", f"/jobs/{_name(job)}/cancel")

    def open_session(self, mode: str, seconds: int | None) -> str:
        body: dict[str, Any] = {"mode": mode, "backend": self.place.device}
        if self.place.instance:
            body["instance"] = self.place.instance
        if seconds is not None:
            body["max_ttl"] = seconds
        answer = self._call("POST", "/sessions", body=msgspec.json.encode(body))
        return _field(self._object(answer), "id", self.place)

    def session(self, session: str) -> dict[str, Any]:
        return self.get(f"/sessions/{_name(session)}")

    def end_session(self, session: str) -> None:
        """At once; one that is not there any more is no error."""
        self._quietly("DELETE", f"/sessions/{_name(session)}/close")

    # calls

    def get(self, path: str, **query: str) -> dict[str, Any]:
        answer = self._call("GET", path + (f"?{urlencode(query)}" if query else ""))
        return self._object(answer)

    def _text(self, method: str, path: str, *, most: int = MAX_TEXT) -> bytes:
        answer = self._call(method, path, most=most)
        return answer.body

    def _quietly(self, method: str, path: str) -> None:
        try:
            self._call(method, path)
        except Refused as refused:
            if refused.status not in (404, 409):
                raise

    def _object(self, reply: Reply) -> dict[str, Any]:
        try:
            return msgspec.json.decode(reply.body, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise Away(f"{self.place} does not answer as a service of this kind: {error}") from error

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        key: str | None = None,
        most: int = MAX_TEXT,
        lost: Callable[[], str | None] | None = None,
    ) -> Reply:
        """The good reply. Where one may have been lost, `lost` is asked whether there is what was asked for,
        which is raised as `_Found`. Raises `Away`, `Refused`, `Stopped`."""
        begun = time.monotonic()
        pause, done = _FIRST_PAUSE, False
        while True:
            wait: float | None = None
            patience, reached = self._patience, True
            try:
                reply = self._once(method, path, body, key, most)
            except Unreached as error:
                why, sent = f"{self.place} cannot be reached: {error}", error.sent
                patience, reached = self._search, False
            else:
                if reply.good:
                    return reply
                refusal = self._refusal(reply)
                if reply.status not in _NOT_NOW:
                    raise refusal
                why, sent, wait = str(refusal), reply.status not in (429, 503), reply.retry_after
            done = done or sent
            pause = min(_LONGEST_PAUSE, 2 * pause)
            if time.monotonic() + (wait or pause) > begun + patience:
                raise Away(why, reached=reached, done=done)
            if self.stop.wait(wait or pause):
                raise Stopped(f"the run was stopped while {self.place} was waited for")
            if sent and lost is not None and (found := lost()) is not None:
                raise _Found(found)

    def _once(self, method: str, path: str, body: bytes | None, key: str | None, most: int) -> Reply:
        """One request, and another one with a new token if the old one was refused. Raises `Unreached`."""
        for fresh in (False, True):
            headers = {
                "Authorization": f"Bearer {self._bearer(fresh)}",
                "Accept": "application/json, text/plain",
                "IBM-API-Version": VERSION,
                "User-Agent": f"sojourn/{sojourn.__version__}",
                "X-Qx-Client-Application": f"sojourn-{sojourn.__version__}",
            }
            if self.place.instance:
                headers["Service-CRN"] = self.place.instance
            if body is not None:
                headers["Content-Type"] = "application/json"
            if key is not None:
                headers["Idempotency-Key"] = key
            reply = self._api.request(method, self._base + path, headers=headers, body=body, most=most)
            if reply.status != 401 or fresh:
                break
        return reply

    def _bearer(self, fresh: bool) -> str:
        """A token for the key. Raises `Unreached`, `Refused`."""
        if self._token and not fresh and time.monotonic() < self._until:
            return self._token
        form = {"grant_type": _GRANT, "apikey": self.place.key(), "response_type": "cloud_iam"}
        path = urlsplit(self.place.iam).path.rstrip("/") + "/identity/token"
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        reply = self._iam.request("POST", path, headers=headers, body=urlencode(form).encode())
        if reply.status in _NOT_NOW:
            raise Unreached(f"it gives no token ({reply.status})", sent=False)
        if not reply.good:
            raise self._refusal(reply)
        answer = self._object(reply)
        life = answer.get("expires_in")
        self._token = _field(answer, "access_token", self.place)
        seconds = float(life) if isinstance(life, int | float) else 60.0
        self._until = time.monotonic() + _TOKEN_SPARE * seconds
        return self._token

    def _refusal(self, reply: Reply) -> Refused:
        """In the words of the other service, whose errors have a number and a message."""
        message, code = "", None
        try:
            error = msgspec.json.decode(reply.body)["error"]
            message, code = str(error["message"]), error.get("code")
        except (msgspec.MsgspecError, KeyError, TypeError, AttributeError):
            message = " ".join(reply.body[:300].decode("utf-8", "replace").split()) or "no message"
        number = code if isinstance(code, int) and not isinstance(code, bool) else None
        shown = f"error {number}" if number is not None else f"HTTP status {reply.status}"
        return Refused(f"{self.place} answers: {message[:4000]} ({shown})", reply.status, number)


def seconds_of(usage: Any, *names: str) -> float | None:
    """The first of these members that is a number of seconds."""
    for name in names if isinstance(usage, dict) else ():
        value = usage.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return float(value)
    return None


def _name(text: str) -> str:
    return quote(text, safe="")


def _field(answer: Mapping[str, Any], name: str, place: Place) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value or len(value) > 8192 or not value.isprintable():
        raise Away(f"{place} gives no {name!r} where it should")
    return value
