"""A job of a batch system that acquires a device through QRMI and does not come to release it."""

import sys
import time

from qrmi.primitives import QRMIService

resource = QRMIService().resource(sys.argv[1])
print("session", resource.acquire(), flush=True)
time.sleep(3600)
