"""Issues and verifies access tokens, and finds out who a request comes from.

A token is a JWT signed with HS256 by the service's own key. An API key that nobody knows gets one as well,
but one that grants nothing: a token exchange that answers 4xx makes today's client wait 60 s before each of
its later calls, while a 401 from the API itself reaches the user at once (docs/decisions/0004).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import jwt

from sojourn import crn
from sojourn.api.http.request_ids import current_id
from sojourn.api.http.values import shown
from sojourn.api.http.wrong_keys import WrongKeys
from sojourn.service.accounts.directory import AUTO
from sojourn.service.errors import BadRequest, NotAuthenticated, WrongCredentials

if TYPE_CHECKING:
    from sojourn.config import AccessSettings
    from sojourn.service.accounts.keys import Key
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
    "Check the API key (QISKIT_IBM_TOKEN); `sojourn keys add` makes a new one, "
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
        self._known: OrderedDict[str, tuple[str, str | None, float]] = OrderedDict()
        self._remembered = remembered

    def issue(
        self, user_id: str | None, key: str | None = None, until: float | None = None
    ) -> dict[str, Any]:
        """The answer of a token exchange; None makes a token that grants nothing. `key` is the id of the API
        key, with which the token ends, and `until` when that ends by itself."""
        now = int(self._clock())
        expiration = now + self._lifetime
        if until is not None:
            expiration = min(expiration, max(now + 1, int(until)))
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id or NOBODY,
            "iat": now,
            "exp": expiration,
            "scope": SCOPE if user_id else "",
        }
        if key is not None:
            claims["key"] = key
        return {
            "access_token": jwt.encode(claims, self._key, algorithm=_ALGORITHM),
            "refresh_token": "not_supported",
            "token_type": "Bearer",
            "expires_in": expiration - now,
            "expiration": expiration,
            "scope": claims["scope"],
        }

    def verify(self, token: str) -> tuple[str, str | None]:
        """The user id in a token of ours that has not expired, and the id of the API key that it was made
        from; NotAuthenticated with the reason otherwise. Tokens of earlier versions name no key."""
        known = self._known.get(token)
        if known is not None:
            if self._clock() < known[2]:
                return known[:2]
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
            raise WrongCredentials(f"The access token is not valid: {error}. {_HOW}") from None
        user_id, expiration, issued = claims["sub"], claims["exp"], claims["iat"]
        if not isinstance(expiration, int) or not isinstance(issued, int):
            raise WrongCredentials(f"The access token is not valid: its times are not integers. {_HOW}")
        if self._clock() >= expiration:
            raise NotAuthenticated("The access token has expired. Fetch a new one from POST /identity/token.")
        if user_id == NOBODY or claims.get("scope") != SCOPE:
            raise WrongCredentials(f"The API key is not known to this server, or was revoked. {_KEY_HELP}")
        key = claims.get("key")
        found = str(user_id), key if isinstance(key, str) else None
        self._known[token] = (*found, float(expiration))
        if len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return found


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose credentials a request has. Without a key it is a token that names none."""

    user_id: str
    key: Key | None


class Authenticator:
    """Turns the headers of a request into a Principal, and API keys into tokens.

    `address` is where the request came from, for the count of wrong credentials.
    """

    def __init__(self, service: Service, lifetime: float, access: AccessSettings) -> None:
        self._accounts = service.accounts
        self._keys = service.accounts.keys
        self.tokens = Tokens(service.accounts.signing_key, lifetime)
        self._wrong = WrongKeys(access.wrong_keys, access.wrong_keys_per_minute, service.audit.login_failed)

    def exchange(self, api_key: str, address: str = "") -> dict[str, Any]:
        try:
            key = self._keys.of_secret(api_key)
        except WrongCredentials:
            self._wrong.count(address)
            return self.tokens.issue(None)
        return self.tokens.issue(key.user, key.id, key.expires)

    def caller(self, headers: Mapping[bytes, bytes], address: str | None = "") -> Caller:
        """Who is behind `Authorization`, NotAuthenticated otherwise, or TooMany for somebody who keeps
        trying. A revoked user's token that names no key goes unnoticed. With address None nothing is counted:
        somebody else answers the request, and counts it."""
        try:
            return self._caller(headers)
        except WrongCredentials:
            if address is not None:
                self._wrong.count(address)
            raise

    def _caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        raw = headers.get(b"authorization")
        if raw is None:
            raise NotAuthenticated(f"The request has no Authorization header. {_HOW}")
        if len(raw) > _LONGEST:
            raise WrongCredentials(f"The Authorization header is longer than {_LONGEST} bytes. {_HOW}")
        scheme, _, credentials = raw.decode("latin-1").strip().partition(" ")
        credentials = credentials.strip()
        kind = scheme.lower()
        if kind == "bearer" and credentials.count(".") == 2:
            user_id, key_id = self.tokens.verify(credentials)
            return Caller(user_id, None if key_id is None else _helped(self._keys.of_token, key_id))
        if kind not in ("bearer", "apikey") or not credentials:
            raise WrongCredentials(f"The Authorization scheme {shown(scheme)} is not supported. {_HOW}")
        key = _helped(self._keys.of_secret, credentials)
        return Caller(key.user, key)

    def user(self, headers: Mapping[bytes, bytes], address: str = "") -> str:
        """The user id of `caller`."""
        return self.caller(headers, address).user_id

    def principal(self, headers: Mapping[bytes, bytes], address: str | None = "") -> Principal:
        """Who calls, in which project (`Service-CRN`). NotAuthenticated, Forbidden, BadRequest, TooMany."""
        caller = self.caller(headers, address)
        return self._accounts.principal(
            caller.user_id, crn_of(headers), caller.key, address=address or "", request=current_id()
        )


def _helped(find: Callable[[str], Key], text: str) -> Key:
    """What `find` finds; its refusal says what to do."""
    try:
        return find(text)
    except WrongCredentials as refusal:
        raise WrongCredentials(f"{refusal.message} {_KEY_HELP}") from None


def address_of(scope: Mapping[str, Any]) -> str:
    """Where a request came from: a proxy's address for all that it passes on."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def crn_of(headers: Mapping[bytes, bytes]) -> str | None:
    raw = headers.get(b"service-crn")
    if not raw:
        return None
    text = raw.decode("latin-1").strip()
    if "%" in text:
        text = unquote(text)
    if text.lower() == AUTO:
        return AUTO
    if not crn.is_crn(text) or len(text) > crn.LONGEST:
        raise BadRequest(
            f"The Service-CRN header is {shown(text)}; it must be the CRN of an instance, crn:v1:…, or "
            f"{AUTO!r} for the only one. `sojourn env` prints yours, "
            "GET /sojourn/v1/instances lists them."
        )
    return text
