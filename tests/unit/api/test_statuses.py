"""Each kind of refusal has one HTTP status, and the service knows none of them."""

from __future__ import annotations

import inspect

from sojourn.api.http.replies import refusal_reply
from sojourn.api.http.statuses import STATUSES, status_of
from sojourn.service import errors
from sojourn.service.errors import Refusal, WrongCredentials

KINDS = {
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, Refusal) and kind is not Refusal
}


def test_every_kind_of_refusal_has_a_status_of_its_own_or_of_its_kind() -> None:
    assert KINDS - {WrongCredentials} == set(STATUSES)
    assert status_of(WrongCredentials("no")) == 401


def test_a_refusal_in_the_service_has_no_http_status() -> None:
    assert not [kind for kind in KINDS if hasattr(kind, "status")]


def test_the_reply_has_the_status_of_the_kind_and_the_code_of_the_refusal() -> None:
    reply = refusal_reply(errors.BadRequest("Too many.", code=3458))
    assert (reply.status, b"3458" in reply.body) == (400, True)
