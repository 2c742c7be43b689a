"""A message of a webhook is signed after the convention, and says nothing that is its owner's alone."""

from __future__ import annotations

import base64
import json

import pytest

from sojourn.service.events.events import Event
from sojourn.service.ids import new_webhook_secret
from sojourn.service.webhooks.messages import message_of, signature
from sojourn.service.webhooks.receivers import pause_after
from sojourn.store.history import Entry


def test_the_signature_is_that_of_the_example_of_the_convention() -> None:
    """The example that implementations of Standard Webhooks share."""
    secret, message, at = "whsec_plJ3nmyCDGBKInavdOK15jsl", "msg_loFOjxBNrRLzqYUf", "1731705121"
    body = b'{"event_type":"ping","data":{"success":true}}'
    assert signature(secret, message, at, body) == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="


def test_a_secret_is_new_each_time_and_long_enough() -> None:
    first, second = new_webhook_secret(), new_webhook_secret()
    assert first != second
    assert first.startswith("whsec_")
    assert len(base64.b64decode(first.removeprefix("whsec_"))) == 32


def test_a_message_has_the_event_without_the_reason_and_the_same_id_each_time() -> None:
    entry = Entry(7, 1.5, "d", "j", "run_ended", "running", "failed", "secret words", "job", "u", "p", "s")
    message = message_of(Event(entry, "ann", "chem"))
    assert message.id == "evt_7"
    table = json.loads(message.body)
    assert (table["type"], table["timestamp"]) == ("job.failed", "1970-01-01T00:00:01.500000Z")
    assert table["data"] == {
        "id": 7,
        "kind": "job",
        "subject": "j",
        "device": "d",
        "session": "s",
        "user": "ann",
        "project": "chem",
        "cause": "run_ended",
        "before": "running",
        "after": "failed",
    }
    headers = message.headers("whsec_AAAA", 99.9)
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("evt_7", "99")
    assert headers["webhook-signature"] == signature("whsec_AAAA", "evt_7", "99", message.body)


def test_the_type_of_a_calibration_is_its_cause() -> None:
    entry = Entry(7, 0.0, "d", "cal-2", "measured", "cal-1", "cal-2", None, "calibration")
    assert json.loads(message_of(Event(entry, None, None)).body)["type"] == "calibration.measured"


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 5), (2, 10), (3, 20), (10, 2560), (11, 3600), (99, 3600)]
)
def test_a_pause_doubles_up_to_an_hour(failures: int, seconds: float) -> None:
    assert pause_after(failures) == seconds
