"""What is sent to a receiver: a message after the Standard Webhooks convention, with its signature.

The convention: https://www.standardwebhooks.com. The signed text is `id.timestamp.body`, the secret is
`whsec_` and the key in base64, and a signature is `v1,` and the HMAC-SHA256 in base64.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from sojourn.service import ids
from sojourn.service.events.events import Event
from sojourn.store.history import Kind

PREFIX = ids.WEBHOOK_SECRET

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Message:
    """`id` is the same for every attempt, and `body` the bytes that are signed."""

    id: str
    body: bytes

    def headers(self, secret: str, now: float) -> dict[str, str]:
        """Those of one attempt at the time `now`, in seconds since the epoch."""
        at = str(int(now))
        return {
            "webhook-id": self.id,
            "webhook-timestamp": at,
            "webhook-signature": signature(secret, self.id, at, self.body),
        }


def signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def message_of(event: Event) -> Message:
    """`type` is the kind with the new state, or with the cause of a calibration. The reason of a change is
    left out: it may quote what is its owner's alone."""
    entry = event.entry
    word = entry.cause if entry.kind == Kind.CALIBRATION else entry.after
    body = {
        "type": f"{entry.kind}.{word}",
        "timestamp": datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="microseconds")[:-6] + "Z",
        "data": {
            "id": entry.id,
            "kind": entry.kind,
            "subject": entry.entity,
            "device": entry.device,
            "session": entry.session_id,
            "user": event.user,
            "project": event.project,
            "cause": entry.cause,
            "before": entry.before,
            "after": entry.after,
        },
    }
    return Message(f"evt_{entry.id}", _encode(body))
