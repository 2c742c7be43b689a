"""The core driven without a server: the replay of recorded event logs. Imports the core and nothing else of
Sojourn."""

from sojourn.simulate.log import Happened, Restored, decode, decode_event, encode_event
from sojourn.simulate.replay import Difference, Report, replay

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
