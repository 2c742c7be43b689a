"""A driver whose import takes a while and leaves a thread behind, as some vendors' packages do."""

from __future__ import annotations

import threading
import time

from sojourn.devices.aer.ideal import AerDriver

time.sleep(6)
threading.Thread(target=time.sleep, args=(1000,), name="vendor-telemetry", daemon=True).start()


class Slow(AerDriver):
    """Otherwise as it should be."""
