"""How a simulator or another library says that it got no memory. Standard library only."""

from __future__ import annotations

_SIGNS = ("bad_alloc", "MemoryError", "annot allocate memory", "emory allocation", "nsufficient memory")


def ran_out(text: str) -> bool:
    """Whether that is what an error says, or what a worker printed before its end."""
    return any(sign in text for sign in _SIGNS)
