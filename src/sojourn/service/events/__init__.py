"""The event stream: committed changes as they happen, for whom may see them (docs/events.md)."""
