"""The format of a recorded event log: the lane's events, states and decisions as JSON, and back.

Owns the encoding only; reads no file and feeds no lane. Every class of `core.events.Event` is taken up by
itself, by its name and its fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, get_args

import msgspec

from sojourn.core import events as ev
from sojourn.core.calendar import Reservation
from sojourn.core.effects import (
    Charge,
    DeviceChanged,
    Effect,
    JobChanged,
    Rejected,
    ReservationChanged,
    SessionChanged,
    Start,
    Stop,
)
from sojourn.core.fair_share.shares import ProjectShare, Shares
from sojourn.core.model import DeviceStatus, Job, Session
from sojourn.core.profile import Profile

EVENTS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(ev.Event)}
"""Every event by its name in the log."""


class SharesText(msgspec.Struct):
    """`Shares`, whose keys are pairs, as JSON can say it."""

    accounts: dict[str, float]
    projects: dict[str, ProjectShare]
    users: list[tuple[str, str, float]]

    @classmethod
    def of(cls, shares: Shares) -> SharesText:
        users = [(project, user, weight) for (project, user), weight in shares.users.items()]
        return cls(dict(shares.accounts), dict(shares.projects), users)

    def shares(self) -> Shares:
        return Shares(self.accounts, self.projects, {(p, u): weight for p, u, weight in self.users})


class Restored(msgspec.Struct):
    """A server started: what it gave the lane (R55). In a new database everything is empty.

    `charges` are (user, project, seconds, when) of the ledger rows that still count. `lead` is by how
    much the service's time led the machine's clock when the reservations were last given it.
    """

    profile: Profile
    shares: SharesText
    jobs: list[Job]
    sessions: list[Session]
    windows: list[Reservation]
    halt: DeviceStatus | None
    charges: list[tuple[str, str, float, float]]
    lead: float = 0.0


class Line(msgspec.Struct, omit_defaults=True):
    """One line of a log file, and one row of the journal. `at` is the `now` of the event.

    `kind` is the event's name, or "Restored"; `body` its fields. `did` is a line for each decision, for
    people; `digest` stands for all their fields.
    """

    device: str
    at: float
    kind: str
    body: msgspec.Raw
    did: list[str] = []
    digest: str = ""


class Happened(msgspec.Struct):
    """A line, decoded."""

    device: str
    at: float
    what: Any  # an event of the core, or Restored
    did: list[str]
    digest: str


def _plain(value: Any) -> Any:
    if isinstance(value, MappingProxyType):
        return dict(value)
    if isinstance(value, Shares):
        return SharesText.of(value)
    raise TypeError(f"{type(value).__name__} has no place in a log")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)
_DECODERS = {
    name: msgspec.json.Decoder(kind) for name, kind in EVENTS.items() if kind is not ev.SharesChanged
}
_SHARES = msgspec.json.Decoder(SharesText)
_RESTORED = msgspec.json.Decoder(Restored)
_LATER = (b',"stated":true', b',"estimate":null', b',"crashed":[]', b',"reruns":true')
_LINE = msgspec.json.Decoder(Line)


def encode_event(event: ev.Event) -> bytes:
    """The event's fields as JSON."""
    if isinstance(event, ev.SharesChanged):
        return _ENCODER.encode(SharesText.of(event.shares))
    return _ENCODER.encode(event)


def decode_event(kind: str, body: bytes) -> ev.Event:
    """Raises ValueError for an event that this version does not know."""
    if kind == ev.SharesChanged.__name__:
        return ev.SharesChanged(_SHARES.decode(body).shares())
    if kind not in _DECODERS:
        raise ValueError(f"there is no event {kind!r}; the log is of another version of Sojourn")
    event: ev.Event = _DECODERS[kind].decode(body)
    return event


def encode_restored(restored: Restored) -> bytes:
    return _ENCODER.encode(restored)


def _restored(body: bytes) -> Restored:
    """The lanes of earlier versions charged nobody for runs of which the worker died (D23)."""
    found = _RESTORED.decode(body)
    if b'"charged_crashes":' not in body:
        found.profile = replace(found.profile, charged_crashes=0)
    return found


def decode(line: bytes) -> Happened:
    """One line of a file. Raises ValueError saying what is wrong with it."""
    try:
        found = _LINE.decode(line)
        body = bytes(found.body)
        what = _restored(body) if found.kind == "Restored" else decode_event(found.kind, body)
    except msgspec.MsgspecError as error:
        raise ValueError(f"it is no line of an event log: {error}") from None
    return Happened(found.device, found.at, what, found.did, found.digest)


def encode_line(line: Line) -> bytes:
    return _ENCODER.encode(line)


def decisions(effects: Sequence[Effect]) -> list[str]:
    """A short line for each effect."""
    return [_told(effect) for effect in effects]


def digest(effects: Iterable[Effect]) -> str:
    """Equal for the same decisions in every field; 16 characters.

    Fields that a job did not always have count only where they are set, so that older logs can be replayed.
    """
    text = _ENCODER.encode(list(effects))
    for unset in _LATER:  # it is nobody's text: in a text the quotes would be escaped
        text = text.replace(unset, b"")
    return blake2b(text, digest_size=8).hexdigest()


def _told(effect: Effect) -> str:
    match effect:
        case JobChanged(job=job, before=before, cause=cause):
            return f"job {job.id} {before or 'new'} > {job.state}: {cause}"
        case SessionChanged(session=session, before=before, cause=cause):
            return f"session {session.id} {before or 'new'} > {session.state}: {cause}"
        case ReservationChanged(reservation=window, state=state):
            return f"reservation {window.id} {state}"
        case DeviceChanged(halt=halt):
            return f"device {halt.mode if halt is not None else 'online'}"
        case Charge():
            return f"charge {effect.kind} {effect.project} {effect.seconds:.6f} s"
        case Start(job_id, attempt):
            return f"start {job_id} attempt {attempt}"
        case Stop(job_id, attempt):
            return f"stop {job_id} attempt {attempt}"
        case Rejected(code, message):
            return f"rejected {code}: {message}"
