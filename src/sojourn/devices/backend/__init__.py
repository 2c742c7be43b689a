"""The driver `backend`: any Qiskit `BackendV2` as a device, by configuration alone."""
