"""What an event is, and who may see it: an entry of the history, checked by the one table of permissions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sojourn.service.accounts.directory import Directory
from sojourn.service.accounts.permissions import MAY, Action, Role, may
from sojourn.service.views import Principal
from sojourn.store.history import Entry, Kind

ACTIONS: Mapping[Kind, Action] = MappingProxyType(
    {
        Kind.JOB: Action.SEE_JOB,
        Kind.SESSION: Action.SEE_SESSION,
        Kind.DEVICE: Action.SEE_DEVICES,
        Kind.CALIBRATION: Action.SEE_DEVICES,
        Kind.RESERVATION: Action.SEE_RESERVATION,
    }
)
"""What one must be allowed to do to see a change of such a thing."""

OWNED = frozenset(kind for kind in Kind if MAY[ACTIONS[kind]] <= {Role.OWNER, Role.OPERATOR})
"""What only its owner and those who may see everybody's are told of: nobody else need be asked."""


@dataclass(slots=True, eq=False)
class Event:
    """A committed change with the names of its user and project. `wire` is what the API has made of it, once
    for all streams."""

    entry: Entry
    user: str | None
    project: str | None
    wire: bytes = b""


def event_of(entry: Entry, accounts: Directory) -> Event:
    user, project = entry.user_id, entry.project_id
    return Event(
        entry,
        accounts.user_name(user) if user is not None else None,
        accounts.project_name(project) if project is not None else None,
    )


def sees(who: Principal, entry: Entry, accounts: Directory) -> bool:
    """Whether the caller may know of it, as of now."""
    kind, project = Kind(entry.kind), entry.project_id
    own = who.project_id == project
    member = kind is Kind.RESERVATION and any(p.id == project for p in accounts.projects_of(who.user_id))
    owner = own and who.user_id == entry.user_id
    return may(who, ACTIONS[kind], owner=owner, member=member, admin=own and who.admin)
