"""What a caller did wrong, as data: the HTTP layer turns a `Refusal` into a 4xx, nothing else does.

Owns the refusals and their numbers; may not know about HTTP frameworks. A refusal always says what was
wrong, the limit where there is one, and what to do.
"""

from __future__ import annotations

from sojourn import codes
from sojourn.store.database import StoreFull


class Refusal(Exception):
    """A request that is answered with a 4xx, with 503 (`Busy`) or with 507.

    `status` is the HTTP status, `code` the service's own number (the client shows it as "Error code"),
    `message` one or two sentences for the user.
    """

    status = 400
    code = codes.BAD_REQUEST

    def __init__(self, message: str, *, code: int | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status


class ServiceFailed(Exception):
    """The service cannot start, or had to stop; one sentence for the operator says why and what to do."""


class BadRequest(Refusal):
    """The request cannot be understood or breaks a limit."""

    status, code = 400, codes.BAD_REQUEST


class NotAuthenticated(Refusal):
    """No credentials, or credentials that grant nothing."""

    status, code = 401, codes.NOT_AUTHENTICATED


class WrongCredentials(NotAuthenticated):
    """Credentials that grant nothing: those of a guess, or of a key that has ended."""


class Forbidden(Refusal):
    """Known caller, but not allowed to do this."""

    status, code = 403, codes.NOT_ALLOWED


class NotFound(Refusal):
    """No such thing, or not the caller's: the answer is the same, so that ids cannot be probed."""

    status, code = 404, codes.NOT_FOUND


class Conflict(Refusal):
    """The thing is in a state in which this cannot be done."""

    status, code = 409, codes.CONFLICT


class SessionClosed(Refusal):
    """R35: the session takes no more jobs."""

    status, code = 400, codes.SESSION_CLOSED


class TooLarge(Refusal):
    """The body is over the limit."""

    status, code = 413, codes.TOO_LARGE


class TooMany(Refusal):
    """R50: more than a limit allows at this moment. `retry_after`: seconds after which it may work."""

    status, code = 429, codes.TOO_MANY_REQUESTS

    def __init__(self, message: str, *, retry_after: float | None = None, code: int | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class NoRoom(Refusal):
    """The disk of the service has no room for it. Neither a 4xx, as the caller did nothing wrong, nor a 503,
    after which today's client sends a submit five more times and then shows no message at all."""

    status, code = 507, codes.DISK_FULL

    def __init__(self, message: str, *, retry_after: float = 60.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def without_room(error: StoreFull) -> NoRoom:
    """What to answer when a change was not written for lack of room."""
    return NoRoom(f"The service's disk is full, and nothing was changed ({error}). Try again later.")


class Expired(Refusal):
    """It was there, and has been deleted because of its age."""

    status, code = 410, codes.EXPIRED


class Busy(TooMany):
    """A bound of the server is reached, whoever asks. Nothing was done; a client repeats it by itself."""

    status, code = 503, codes.BUSY
