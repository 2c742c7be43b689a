"""Devices of other services: the driver `sojourn` asks another server over HTTP, `qrmi` through that library.

Both send what a device executes as sampler jobs, so that every program of this service runs on every device
of the other one. Nothing here needs more than the standard library, msgspec, NumPy and Qiskit.
"""
