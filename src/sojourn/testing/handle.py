"""What a test has of the server for tests: a user's client, the time, and what is to go wrong."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sojourn.client import Client, Refused
from sojourn.connecting import client_of
from sojourn.embedded import Key
from sojourn.testing import faults as wording
from sojourn.testing.durations import Duration, seconds
from sojourn.testing.faults import Faults, Reply, Run
from sojourn.testing.process import ScriptedServer, ScriptError

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService

_PROGRAM = 'OPENQASM 3.0; include "stdgates.inc"; qubit[1] q; bit[1] c; c[0] = measure q[0];'
"""What the others run."""
_PATIENCE = 60.0
"""Seconds until the job of the others runs."""
_TICK = 0.02

_numbers = itertools.count(1)


class Sojourn:
    """One test's part of a server: a user in a project of its own, and the word over the whole server.

    Other tests use the same process, one after the other; `reset` ends what a test has left.
    """

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self._operator = Client(server.url, server.operator_key)
        number = next(_numbers)
        self._others: Key | None = None
        self.key: Key | None = server.user(f"tester-{number}", f"project-{number}")
        self._name, self._project = self.key.name, self.key.project

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a path."""
        return self._server.url

    @property
    def data(self) -> Path:
        """The data folder."""
        return self._server.data

    @property
    def log(self) -> Path:
        """What the server writes about its work."""
        return self._server.log

    @property
    def devices(self) -> list[str]:
        """The names of the devices, those for dry runs left out."""
        return [each["name"] for each in self.get("/devices")["devices"] if not each["mock"]]

    def service(self, key: Key | None = None) -> QiskitRuntimeService:
        """A new client of the test's user, or of another one (see `user`)."""
        if key is None:
            if self.key is None:  # it was revoked
                made = self._operator.post(f"/users/{self._name}/keys")
                instance = self._operator.get(f"/projects/{self._project}")["instance"]
                self.key = Key(self._name, self._project, instance, made["api_key"])
            key = self.key
        return client_of(self.url, key.api_key, key.instance)

    def user(self, project: str | None = None) -> Key:
        """Another user, in a new project or in one that is named (the test's own is `key.project`)."""
        number = next(_numbers)
        return self._server.user(f"tester-{number}", project or f"project-{number}")

    def env(self, key: Key | None = None) -> dict[str, str]:
        """The variables for a program of its own process, as of `sojourn env`."""
        return self._server.env(key or self.key)

    def get(self, path: str, **query: Any) -> Any:
        """GET of the server's own API, as its operator: `/jobs`, `/sessions/ID`, `/jobs/ID/why` …"""
        return self._operator.get(path, **query)

    # time

    @property
    def now(self) -> datetime:
        """The server's time."""
        return datetime.fromisoformat(self._server.order("now"))

    def advance(self, by: Duration) -> datetime:
        """Let so much of the server's time pass now, and all that is due in it happen; the time then.

        Jobs that run have run for so much longer, but get nothing done in it: a run on a device takes real
        time. On a device with realistic timing the time of a job passes by itself. Access tokens age by the
        real time as well, as the client's own clock is not moved.
        """
        return datetime.fromisoformat(self._server.order("advance", seconds=seconds(by, "the time to pass")))

    # what goes wrong

    def faults(
        self,
        *,
        next_jobs: Iterable[Run] | Run = (),
        queue_delay: Duration | None = None,
        device: str | Mapping[str, str] | None = None,
        usage_limit: float | None = None,
        reject_tokens: bool = False,
        http: Iterable[Reply] | Reply = (),
        calibration_during_session: bool = False,
    ) -> Faults:
        """Have this go wrong from now on, until the end of the test or of a `with` block around it.

        Parameters:
            next_jobs: how the next jobs end that start on a device, in their order: "completed" or None,
                "failed", "cancelled" (by an operator), "ran_too_long" (stopped at its limit, code 1305: the
                time moves on to it), "crashed" (its worker dies in every run, code 9702); or a table with
                `status`, `seconds` (of the server's time that it runs before), `device`, and for "failed"
                `reason` and `code`.
            queue_delay: another user's job is on every device, and takes so long by the server's time.
            device: a state for all devices, or one for each: "offline" or "maintenance", "paused" (jobs
                wait), "draining" (no new jobs).
            usage_limit: device seconds that the test's project may use.
            reject_tokens: the user's API keys are revoked, and all tokens made of them.
            http: how the next requests of clients are answered, in their order: a status from 400 to 599,
                "cut" (the connection ends before the request is looked at), "cut_reply" (it is carried out,
                and the connection ends before the reply); or a table with `status` or `cut`, `method`, `path`
                (as in docs/api.md, `*` for any part), `message`, `retry_after`, `times`.
            calibration_during_session: the device is calibrated when the next job of a session has run.

        Raises:
            ValueError: something that is not possible, with what is. ScriptError if the server refuses.
        """
        devices = self.devices
        acts, answers = wording.runs(next_jobs, devices), wording.replies(http)
        halted = wording.halts(device, devices)
        delay = None if queue_delay is None else seconds(queue_delay, "queue_delay")
        made = Faults(self, halted, usage_limit is not None)
        if usage_limit is not None:
            self._limit(seconds(usage_limit, "usage_limit"))
        if delay:
            for name in devices:
                self._occupy(name, delay)
        for name, order in halted.items():
            self._operator.post(f"/devices/{name}/{order}", {"message": "the test asked for it"})
        if acts or answers or calibration_during_session:
            self._server.order(
                "script", acts=acts, answers=answers, calibrate=bool(calibration_during_session)
            )
        if reject_tokens:
            self._revoke()
        return made

    def lift(self, faults: Faults) -> None:
        """As `Faults.lift`."""
        self._server.order("clear")
        for name in faults.halted:
            self._operator.post(f"/devices/{name}/resume")
        if faults.limited:
            self._limit(None)

    def left(self) -> dict[str, int]:
        """As `Faults.left`."""
        return dict(self._server.order("left"))

    def reset(self) -> None:
        """End every job and session, lift every fault."""
        self._server.order("reset")
        self._limit(None)

    # within

    def _limit(self, allocation: float | None) -> None:
        self._operator.patch(f"/projects/{self._project}", {"allocation": allocation})

    def _revoke(self) -> None:
        for key in self._operator.get(f"/users/{self._name}/keys")["keys"]:
            self._operator.post(f"/users/{self._name}/keys/{key['name']}/revoke")
        self.key = None

    def _occupy(self, device: str, delay: float) -> None:
        """Have another user's job run on the device for so long, and wait until it does."""
        if self._others is None:
            self._others = self.user()
        self._server.order("crowd", user=self._others.name, device=device, seconds=delay)
        job = {
            "program": "sampler",
            "device": device,
            "params": {"pubs": [[_PROGRAM, None, 1]], "options": {}, "version": 2},
        }
        others = Client(self.url, self._others.api_key)
        try:
            made = others.post("/jobs", job)
        except Refused as error:
            raise ScriptError(f"queue_delay is not possible on {device}: {error.message}") from None
        until = time.monotonic() + _PATIENCE
        while made["state"] != "running":
            why = self.get(f"/jobs/{made['id']}/why")
            if made["state"] not in ("accepted", "queued") or time.monotonic() > until or _held(why):
                said = "; ".join(reason["sentence"] for reason in why["reasons"]) or made["state"]
                with suppress(Refused):  # it may have ended
                    others.post(f"/jobs/{made['id']}/cancel")
                raise ScriptError(f"queue_delay is not possible on {device} now: {said}")
            time.sleep(_TICK)
            made = self.get(f"/jobs/{made['id']}")


def _held(why: Mapping[str, Any]) -> bool:
    """Whether the job of the others waits for something that the test has to end."""
    return any(reason["kind"] in ("SessionHolds", "DeviceStopped") for reason in why["reasons"])
