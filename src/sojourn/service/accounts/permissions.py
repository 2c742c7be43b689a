"""Who may do what to whose object: one table, which the service asks and docs/permissions.md shows."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from types import MappingProxyType

from sojourn.service.views import Principal


class Role(StrEnum):
    """What a caller is with regard to an object. A caller may have several."""

    ANYBODY = "anybody"
    """Without credentials."""
    USER = "user"
    """Every user who has not been revoked."""
    OWNER = "owner"
    """The user whose object it is; of jobs and sessions in the project in which the user acts."""
    MEMBER = "project member"
    ADMIN = "project admin"
    OPERATOR = "operator"
    """In our own API. In the client's dialect an operator is a user like any other, but for calibrations."""


class Action(Enum):
    """The value is what docs/permissions.md calls it."""

    SEE_SERVER = "see the version, the state of the server and the schema of its API"
    GET_TOKEN = "exchange an API key for a token"
    SEE_SELF = "see who one is, and one's instances"
    SEE_DEVICES = "see the devices and their calibrations"
    OPERATE_DEVICES = "pause, drain, maintain, resume, calibrate and check a device"
    FORECAST = "ask what each device offers to a job, without submitting it"
    SUBMIT = "submit a job, and open a session"
    SUBMIT_TO_SESSION = "submit a job into a session"
    RERUN = "submit a job again"
    SEE_JOB = "see a job, its inputs, result, log and history, and why it waits"
    CHANGE_JOB = "cancel and delete a job, and change its tags"
    SEE_SESSION = "see a session"
    END_SESSION = "drain and close a session"
    COUNT_SESSION = "ask for the jobs and the usage of a session"
    SEE_PROJECT = "see a project: its limits, allocation and use"
    SEE_MEMBERS = "see the other members of a project and what each has used"
    MANAGE_PROJECTS = "add and change projects, and weigh accounts"
    SEE_USAGE = "see the usage of a project"
    SEE_USAGE_BY_USER = "see whose usage it is"
    SEE_BOOKED = "see when a device is reserved"
    SEE_RESERVATION = "see for whom a device is reserved"
    RESERVE = "make and cancel reservations of a project"
    RESERVE_MORE = "reserve more than `[reservations]` allows to a project"
    SEE_LEASE = "see to whom another scheduler has leased a device"
    LEASE = "lease a device to a user, and end the lease"
    MANAGE_KEYS = "see, make, rotate and revoke the keys of a user"
    MANAGE_USERS = "see, add, revoke and restore users, and take them out of projects"
    MANAGE_WEBHOOKS = "make, see, change and replay the webhooks of a project, which are told of all its jobs"
    SEE_AUDIT = "read the audit trail"
    SEE_METRICS = "read the metrics"


_R = Role
MAY: Mapping[Action, frozenset[Role]] = MappingProxyType(
    {
        action: frozenset(roles)
        for action, roles in {
            Action.SEE_SERVER: {_R.ANYBODY, _R.USER, _R.OPERATOR},
            Action.GET_TOKEN: {_R.ANYBODY, _R.USER, _R.OPERATOR},
            Action.SEE_SELF: {_R.USER},
            Action.SEE_DEVICES: {_R.USER},
            Action.OPERATE_DEVICES: {_R.OPERATOR},
            Action.FORECAST: {_R.USER},
            Action.SUBMIT: {_R.MEMBER},
            Action.SUBMIT_TO_SESSION: {_R.OWNER},
            Action.RERUN: {_R.OWNER},
            Action.SEE_JOB: {_R.OWNER, _R.OPERATOR},
            Action.CHANGE_JOB: {_R.OWNER, _R.OPERATOR},
            Action.SEE_SESSION: {_R.OWNER, _R.OPERATOR},
            Action.END_SESSION: {_R.OWNER, _R.OPERATOR},
            Action.COUNT_SESSION: {_R.OWNER, _R.ADMIN, _R.OPERATOR},
            Action.SEE_PROJECT: {_R.MEMBER, _R.OPERATOR},
            Action.SEE_MEMBERS: {_R.ADMIN, _R.OPERATOR},
            Action.MANAGE_PROJECTS: {_R.OPERATOR},
            Action.SEE_USAGE: {_R.MEMBER, _R.OPERATOR},
            Action.SEE_USAGE_BY_USER: {_R.OWNER, _R.ADMIN, _R.OPERATOR},
            Action.SEE_BOOKED: {_R.USER},
            Action.SEE_RESERVATION: {_R.MEMBER, _R.OPERATOR},
            Action.RESERVE: {_R.ADMIN, _R.OPERATOR},
            Action.RESERVE_MORE: {_R.OPERATOR},
            Action.SEE_LEASE: {_R.OWNER, _R.OPERATOR},
            Action.LEASE: {_R.OPERATOR},
            Action.MANAGE_KEYS: {_R.OWNER, _R.OPERATOR},
            Action.MANAGE_USERS: {_R.OPERATOR},
            Action.MANAGE_WEBHOOKS: {_R.ADMIN, _R.OPERATOR},
            Action.SEE_AUDIT: {_R.OPERATOR},
            Action.SEE_METRICS: {_R.OPERATOR},
        }.items()
    }
)


def may(
    who: Principal, action: Action, *, owner: bool = False, member: bool = False, admin: bool = False
) -> bool:
    """Whether the caller may do it to an object, being its owner, or a member or an admin of its project.

    Without any of these: to everybody's.
    """
    roles = MAY[action]
    return (
        (owner and Role.OWNER in roles)
        or (who.operator and Role.OPERATOR in roles)
        or (member and Role.MEMBER in roles)
        or (admin and Role.ADMIN in roles)
        or Role.USER in roles
    )


def markdown() -> str:
    """The table of docs/permissions.md."""
    head = f"| May | {' | '.join(Role)} |\n|---|{'---|' * len(Role)}\n"
    rows = (
        f"| {action.value} | {' | '.join('yes' if _has(action, role) else '' for role in Role)} |\n"
        for action in Action
    )
    return (head + "".join(rows)).replace("|  |", "| |").replace("|  |", "| |")


def _has(action: Action, role: Role) -> bool:
    """A user's permission is everybody's who has credentials."""
    return role in MAY[action] or (role is not Role.ANYBODY and Role.USER in MAY[action])
