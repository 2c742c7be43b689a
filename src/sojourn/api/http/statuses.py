"""The HTTP status of each kind of refusal. The only place that decides on one."""

from __future__ import annotations

from sojourn.service.errors import (
    BadRequest,
    Busy,
    Conflict,
    Expired,
    Forbidden,
    NoRoom,
    NotAuthenticated,
    NotFound,
    Refusal,
    SessionClosed,
    TooLarge,
    TooMany,
)

STATUSES: dict[type[Refusal], int] = {
    BadRequest: 400,
    SessionClosed: 400,
    NotAuthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Expired: 410,
    TooLarge: 413,
    TooMany: 429,
    # The two kinds for which the server is the reason. After a 503 today's client sends a submit five more
    # times and then shows no message at all, so a full disk has a status of its own.
    Busy: 503,
    NoRoom: 507,
}


def status_of(refusal: Refusal) -> int:
    """The status of the refusal's own kind, or of the nearest kind that it is derived from."""
    return next((STATUSES[kind] for kind in type(refusal).__mro__ if kind in STATUSES), 400)
