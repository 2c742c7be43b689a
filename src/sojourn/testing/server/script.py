"""What is to go wrong, in the order in which it was asked for. Plain data; nothing happens here."""

from __future__ import annotations

import fnmatch
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Act:
    """How a run on a device is to go: after `seconds` of the service's time it ends as `status` says."""

    status: str = "completed"
    seconds: float = 0.0
    reason: str | None = None
    code: int | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """How one request is to be answered: by `status`, or with the connection `cut` before it is looked at
    ("request"), or when the reply is about to be sent ("reply")."""

    status: int = 0
    cut: str = ""
    message: str | None = None
    retry_after: float | None = None
    method: str | None = None
    path: str | None = None

    def meets(self, method: str, path: str) -> bool:
        return self.method in (None, method) and (self.path is None or fnmatch.fnmatchcase(path, self.path))


class Script:
    """The acts of the next runs, the answers to the next requests."""

    def __init__(self) -> None:
        self.acts: deque[Act] = deque()
        self.answers: deque[Answer] = deque()
        self.calibrate = False
        """The device is calibrated when the next job of a session has run there."""
        self.crowd: dict[str, float] = {}
        """For a device, how long the next run of the others there takes."""
        self._of: dict[str, Act | None] = {}

    def add(self, acts: list[Mapping[str, Any]], answers: list[Mapping[str, Any]], calibrate: bool) -> None:
        self.acts += [Act(**act) for act in acts]
        self.answers += [Answer(**answer) for answer in answers]
        self.calibrate = self.calibrate or calibrate

    def clear(self) -> None:
        """Runs in progress go on as they were to."""
        self.acts.clear()
        self.answers.clear()
        self.calibrate = False
        self.crowd.clear()

    def forget(self) -> None:
        """All jobs have ended."""
        self._of.clear()

    def left(self) -> dict[str, int]:
        """How much of it has not happened."""
        return {
            "next_jobs": len(self.acts),
            "http": len(self.answers),
            "calibration_during_session": int(self.calibrate),
        }

    def act(self, job_id: str, device: str, of_crowd: bool) -> Act | None:
        """How a run of this job goes; None as it goes by itself. Every attempt of a job goes the same way."""
        if job_id not in self._of:
            self._of[job_id] = self._crowded(device) if of_crowd else self._next(device)
        return self._of[job_id]

    def answer(self, method: str, path: str) -> Answer | None:
        """The first answer that is for such a request; each is given once."""
        for answer in self.answers:
            if answer.meets(method, path):
                self.answers.remove(answer)
                return answer
        return None

    def _next(self, device: str) -> Act | None:
        for act in self.acts:
            if act.device in (None, device):
                self.acts.remove(act)
                return act
        return None

    def _crowded(self, device: str) -> Act | None:
        seconds = self.crowd.pop(device, None)
        return None if seconds is None else Act(seconds=seconds)
