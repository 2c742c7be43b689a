"""docs/permissions.md shows the table that the service asks."""

from __future__ import annotations

from pathlib import Path

from sojourn.service.accounts.permissions import MAY, Action, Role, markdown

PAGE = Path(__file__).parents[3] / "docs" / "permissions.md"


def test_the_page_has_the_table_of_the_code() -> None:
    assert markdown() in PAGE.read_text(encoding="utf-8"), f"docs/permissions.md should have\n{markdown()}"


def test_every_action_has_somebody_who_may() -> None:
    assert set(MAY) == set(Action)
    assert all(MAY.values())


def test_every_role_is_explained() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [role for role in Role if f"\n| {role} | " not in page] == []
