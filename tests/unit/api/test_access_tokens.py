"""Access tokens: real signatures and times, one algorithm, and tokens that grant nothing."""

from __future__ import annotations

import base64
import json

import jwt
import pytest

from sojourn.api.http.auth import AUDIENCE, ISSUER, SCOPE, Tokens, crn_of
from sojourn.service.errors import BadRequest, NotAuthenticated

KEY = b"0123456789abcdef" * 4
NOW = 1_700_000_000


def tokens(now: float = NOW, key: bytes = KEY) -> Tokens:
    return Tokens(key, 3600, clock=lambda: now)


def forged(key: bytes = KEY, algorithm: str = "HS256", **changes: object) -> str:
    claims: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "u1",
        "iat": NOW,
        "exp": NOW + 3600,
        "scope": SCOPE,
    }
    claims |= changes
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, key, algorithm=algorithm)


def test_a_token_says_when_it_ends_as_both_clients_read_it() -> None:
    answer = tokens().issue("u1")
    assert answer["expires_in"] == 3600
    assert answer["expiration"] == NOW + 3600
    assert answer["token_type"] == "Bearer"
    payload = answer["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (claims["iat"], claims["exp"]) == (NOW, NOW + 3600)


def test_our_token_names_its_user_until_it_ends() -> None:
    token = tokens().issue("u1")["access_token"]
    assert tokens(NOW + 3599).verify(token) == ("u1", None)
    with pytest.raises(NotAuthenticated, match="expired"):
        tokens(NOW + 3600).verify(token)


def test_a_remembered_token_ends_as_well() -> None:
    now = [float(NOW)]
    issuer = Tokens(KEY, 3600, clock=lambda: now[0])
    token = issuer.issue("u1")["access_token"]
    assert issuer.verify(token) == issuer.verify(token) == ("u1", None)
    now[0] += 3600
    with pytest.raises(NotAuthenticated, match="expired"):
        issuer.verify(token)


def test_memory_for_tokens_is_bounded() -> None:
    issuer = Tokens(KEY, 3600, remembered=3, clock=lambda: NOW)
    for user in range(20):
        issuer.verify(issuer.issue(f"u{user}")["access_token"])
    assert len(issuer._known) == 3


def test_a_token_for_an_unknown_key_grants_nothing_and_says_why() -> None:
    answer = tokens().issue(None)
    with pytest.raises(NotAuthenticated, match="API key is not known"):
        tokens().verify(answer["access_token"])


@pytest.mark.parametrize(
    "token",
    [
        forged(key=b"x" * 32),
        forged(key=b"x" * 64, algorithm="HS512"),
        forged(key=KEY, algorithm="HS384"),
        jwt.encode({"sub": "u1", "exp": NOW + 60, "iat": NOW, "iss": ISSUER, "aud": AUDIENCE}, "", "none"),
        forged(aud="another"),
        forged(iss="another"),
        forged(exp=NOW),
        forged(exp=None),
        forged(sub=None),
        forged(scope=""),
        "a.b.c",
        "..",
    ],
)
def test_a_token_that_is_not_ours_is_refused(token: str) -> None:
    with pytest.raises(NotAuthenticated):
        tokens().verify(token)


def test_the_crn_may_be_percent_encoded() -> None:
    crn = "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2::"
    assert crn_of({b"service-crn": crn.replace(":", "%3A").replace("/", "%2F").encode()}) == crn
    assert crn_of({b"service-crn": crn.encode()}) == crn
    assert crn_of({}) is None
    with pytest.raises(BadRequest, match="must be the CRN"):
        crn_of({b"service-crn": b"my-instance"})
