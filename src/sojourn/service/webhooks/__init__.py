"""Webhooks: a project's events, delivered to the addresses that its admins have named (docs/webhooks.md)."""
