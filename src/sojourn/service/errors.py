"""The kinds of refusal and their error numbers. No HTTP: `sojourn.api.http.statuses` has a status for each.

A refusal always says what was wrong, the limit where there is one, and what to do.
"""

from __future__ import annotations

from sojourn import codes
from sojourn.store.database import StoreFull


class Refusal(Exception):
    """A request that is not carried out.

    `code` is the service's own number (the client shows it as "Error code"), `message` one or two sentences
    for the user.
    """

    code = codes.BAD_REQUEST

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class ServiceFailed(Exception):
    """The service cannot start, or had to stop; one sentence for the operator says why and what to do."""


class BadRequest(Refusal):
    """The request cannot be understood or breaks a limit."""

    code = codes.BAD_REQUEST


class NotAuthenticated(Refusal):
    """No credentials, or credentials that grant nothing."""

    code = codes.NOT_AUTHENTICATED


class WrongCredentials(NotAuthenticated):
    """Credentials that grant nothing: those of a guess, or of a key that has ended."""


class Forbidden(Refusal):
    """Known caller, but not allowed to do this."""

    code = codes.NOT_ALLOWED


class NotFound(Refusal):
    """No such thing, or not the caller's: the answer is the same, so that ids cannot be probed."""

    code = codes.NOT_FOUND


class Conflict(Refusal):
    """The thing is in a state in which this cannot be done."""

    code = codes.CONFLICT


class SessionClosed(Refusal):
    """R35: the session takes no more jobs."""

    code = codes.SESSION_CLOSED


class TooLarge(Refusal):
    """The body is over the limit."""

    code = codes.TOO_LARGE


class TooMany(Refusal):
    """R50: more than a limit allows at this moment. `retry_after`: seconds after which it may work."""

    code = codes.TOO_MANY_REQUESTS

    def __init__(self, message: str, *, retry_after: float | None = None, code: int | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class NoRoom(Refusal):
    """The disk of the service has no room for it; the caller did nothing wrong. `retry_after`: seconds after
    which it may work."""

    code = codes.DISK_FULL

    def __init__(self, message: str, *, retry_after: float = 60.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def without_room(error: StoreFull) -> NoRoom:
    """What to answer when a change was not written for lack of room."""
    return NoRoom(f"The service's disk is full, and nothing was changed ({error}). Try again later.")


class Expired(Refusal):
    """It was there, and has been deleted because of its age."""

    code = codes.EXPIRED


class Busy(TooMany):
    """A bound of the server is reached, whoever asks. Nothing was done; a client repeats it by itself."""

    code = codes.BUSY
