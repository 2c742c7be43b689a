"""Our own API: the event stream, as Server-Sent Events (docs/events.md)."""
