"""Words what the service answered, or that it did not, as the sentence that ends a command."""

from __future__ import annotations

from sojourn.cli.output import visible
from sojourn.client import ClientError, Refused, TooSlow, Unreachable

_KEYS = {
    "/reservations": "The key of an admin of the project or of an operator is needed; the operator's is",
    "/usage": "An operator's key shows the usage of everybody; it is",
}
"""Whose key helps after a 403, by what was asked for."""
_ANY_OTHER = "An operator's key is needed; it is"


def sentence(error: ClientError) -> str:
    """What was wrong and what to do."""
    if isinstance(error, Refused):
        return f"{visible(error.message).rstrip('.')}{_hint(error)} ({error.url} answered {error.status})"
    if isinstance(error, Unreachable) and not isinstance(error, TooSlow):
        return f"{error}. Start it with `sojourn serve`, or name another one with --url or SOJOURN_URL"
    return str(error)


def _hint(error: Refused) -> str:
    if error.status == 401:
        return ". The key is wrong, was revoked, or belongs to another server: see --token and --data"
    if error.status == 403:
        whose = next((said for path, said in _KEYS.items() if error.path.startswith(path)), _ANY_OTHER)
        return f". {whose} in the server's data folder as operator.key"
    return ""
