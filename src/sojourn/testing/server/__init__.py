"""The server for tests: `sojourn serve` with a clock that can be moved on and with faults that are scripted.

It is put together of the same parts as `sojourn serve`, with another clock, an engine around the real one,
and an ASGI middleware around the real application. Orders come in through a socket that it inherits; no
request over HTTP gives any. Nothing else imports this package.
"""
