"""What holds for all tests."""

from __future__ import annotations

import os
import signal

# Only the tests of the dashboard start one beside a server.
os.environ["SOJOURN_DASHBOARD"] = '{"enabled": false}'

# A shell starts what it runs in the background with SIGINT ignored, and so would be what the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
