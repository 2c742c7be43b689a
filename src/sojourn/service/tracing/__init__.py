"""Traces: what became of a submit, from its request to the fetch of the result, for OpenTelemetry."""
