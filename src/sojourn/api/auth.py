"""Owns our access tokens and who a request comes from. Knows headers, no routes; asks the accounts only.

A token is a JWT signed with HS256 by the service's own key. An API key that nobody knows gets one as well,
but one that grants nothing: a token exchange that answers 4xx makes today's client wait 60 s before each of
its later calls, while a 401 from the API itself reaches the user at once (docs/decisions/0004).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import jwt

from sojourn.api.query import shown
from sojourn.service.accounts import AUTO
from sojourn.service.errors import BadRequest, NotAuthenticated

if TYPE_CHECKING:
    from sojourn.service.service import Service
    from sojourn.service.views import Principal

ISSUER = "sojourn"
AUDIENCE = "sojourn-api"
SCOPE = "sojourn"
NOBODY = "nobody"
_ALGORITHM = "HS256"
_LONGEST = 8192

_HOW = (
    "Send `Authorization: Bearer <token>` with a token of POST /identity/token, "
    "or `Authorization: apikey <API key>`."
)
_KEY_HELP = (
    "Check the API key (QISKIT_IBM_TOKEN); `sojourn users add` makes a new one, "
    "`sojourn env` prints the settings."
)


class Tokens:
    """Issues and verifies. Verified tokens are remembered (at most `remembered`): a signature costs 30 µs.

    `clock` is seconds since the epoch.
    """

    def __init__(
        self, key: bytes, lifetime: float, *, remembered: int = 4096, clock: Callable[[], float] = time.time
    ) -> None:
        self._key = key
        self._lifetime = int(lifetime)
        self._clock = clock
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._remembered = remembered

    def issue(self, user_id: str | None) -> dict[str, Any]:
        """The answer of a token exchange; None makes a token that grants nothing."""
        now = int(self._clock())
        expiration = now + self._lifetime
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id or NOBODY,
            "iat": now,
            "exp": expiration,
            "scope": SCOPE if user_id else "",
        }
        return {
            "access_token": jwt.encode(claims, self._key, algorithm=_ALGORITHM),
            "refresh_token": "not_supported",
            "token_type": "Bearer",
            "expires_in": self._lifetime,
            "expiration": expiration,
            "scope": claims["scope"],
        }

    def verify(self, token: str) -> str:
        """The user id in a token of ours that is in force; NotAuthenticated with the reason otherwise."""
        known = self._known.get(token)
        if known is not None:
            if self._clock() < known[1]:
                return known[0]
            del self._known[token]
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                # The times are checked below, by our own clock.
                options={
                    "require": ["exp", "iat", "sub", "aud", "iss"],
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidTokenError as error:
            raise NotAuthenticated(f"The access token is not valid: {error}. {_HOW}") from None
        user_id, expiration, issued = claims["sub"], claims["exp"], claims["iat"]
        if not isinstance(expiration, int) or not isinstance(issued, int):
            raise NotAuthenticated(f"The access token is not valid: its times are not integers. {_HOW}")
        if self._clock() >= expiration:
            raise NotAuthenticated("The access token has expired. Fetch a new one from POST /identity/token.")
        if user_id == NOBODY or claims.get("scope") != SCOPE:
            raise NotAuthenticated(f"The API key is not known to this server, or was revoked. {_KEY_HELP}")
        self._known[token] = (user_id, float(expiration))
        if len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return str(user_id)


class Gate:
    """Turns the headers of a request into a Principal, and API keys into tokens."""

    def __init__(self, service: Service, lifetime: float) -> None:
        self._accounts = service.accounts
        self.tokens = Tokens(service.accounts.signing_key, lifetime)

    def exchange(self, api_key: str) -> dict[str, Any]:
        return self.tokens.issue(self._accounts.by_key(api_key))

    def user(self, headers: Mapping[bytes, bytes]) -> str:
        """The user id behind `Authorization`, NotAuthenticated otherwise; a revoked user goes unnoticed."""
        raw = headers.get(b"authorization")
        if raw is None:
            raise NotAuthenticated(f"The request has no Authorization header. {_HOW}")
        if len(raw) > _LONGEST:
            raise NotAuthenticated(f"The Authorization header is longer than {_LONGEST} bytes. {_HOW}")
        scheme, _, credentials = raw.decode("latin-1").strip().partition(" ")
        credentials = credentials.strip()
        kind = scheme.lower()
        if kind == "bearer" and credentials.count(".") == 2:
            return self.tokens.verify(credentials)
        if kind not in ("bearer", "apikey") or not credentials:
            raise NotAuthenticated(f"The Authorization scheme {shown(scheme)} is not supported. {_HOW}")
        user_id = self._accounts.by_key(credentials)
        if user_id is None:
            raise NotAuthenticated(f"The API key is not known to this server, or was revoked. {_KEY_HELP}")
        return user_id

    def principal(self, headers: Mapping[bytes, bytes]) -> Principal:
        """Who calls, in which project (`Service-CRN`). NotAuthenticated, Forbidden, BadRequest."""
        user_id = self.user(headers)
        return self._accounts.principal(user_id, crn_of(headers))


def crn_of(headers: Mapping[bytes, bytes]) -> str | None:
    raw = headers.get(b"service-crn")
    if not raw:
        return None
    crn = raw.decode("latin-1").strip()
    if "%" in crn:
        crn = unquote(crn)
    if crn.lower() == AUTO:
        return AUTO
    if not crn.startswith("crn:") or len(crn) > 512:
        raise BadRequest(
            f"The Service-CRN header is {shown(crn)}; it must be the CRN of an instance, crn:v1:…, or "
            f"{AUTO!r} for the only one. `sojourn env` prints yours, "
            "GET /sojourn/v1/instances lists them."
        )
    return crn
