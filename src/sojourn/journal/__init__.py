"""The record of all events that a live server's lanes are given, and its replay through the same core."""

from sojourn.journal.encoding import Happened, Restored, decode, decode_event, encode_event
from sojourn.journal.replay import Difference, Report, replay

__all__ = [
    "Difference",
    "Happened",
    "Report",
    "Restored",
    "decode",
    "decode_event",
    "encode_event",
    "replay",
]
