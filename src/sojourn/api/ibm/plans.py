"""The plans as the client's catalog knows them: ids, names, pricing. Data only.

A project's plan is `open` or `premium`. The client compares `display_name` in lower case with its
`plans_preference`. Both are `free`: this service takes no money, and the client tries the cheapest first, so
the order of a user's instances stays that of the memberships.
"""

from __future__ import annotations

from typing import Any

from sojourn.service.projects.projects import PLANS

PRICING = "free"


def plan_id(plan: str) -> str:
    """The catalog's id of a project's plan."""
    return f"sojourn-{plan}"


BY_ID = {plan_id(plan): plan for plan in PLANS}


def entry(identity: str) -> dict[str, Any]:
    """The catalog's entry of one of BY_ID."""
    name = BY_ID[identity].capitalize()
    return {
        "id": identity,
        "name": BY_ID[identity],
        "kind": "plan",
        "active": True,
        "disabled": False,
        "overview_ui": {"en": {"display_name": name, "description": f"Self-hosted quantum compute, {name}"}},
        "metadata": {"pricing": {"type": PRICING}},
    }
