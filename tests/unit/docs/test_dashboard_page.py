"""The pictures of the dashboard: each is shown, says what it shows, and they are small together."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PICTURES = ROOT / "docs" / "screenshots"
PAGE = (ROOT / "docs" / "dashboard.md").read_text(encoding="utf-8")
MOST = 1_000_000
"""Bytes of all of them."""


def shown(text: str) -> dict[str, str]:
    """The alternative text of each picture, by its name."""
    return {Path(path).stem: alt for alt, path in re.findall(r"!\[([^]]*)\]\((\S+\.png)\)", text)}


def test_every_picture_is_on_the_page_and_says_what_it_shows() -> None:
    found = shown(PAGE)
    assert set(found) == {path.stem for path in PICTURES.glob("*.png")}
    assert all(len(alt) > 20 for alt in found.values())


def test_the_readme_shows_the_timeline_of_a_device() -> None:
    assert "device" in shown((ROOT / "README.md").read_text(encoding="utf-8"))


def test_the_pictures_are_small() -> None:
    assert sum(path.stat().st_size for path in PICTURES.glob("*.png")) < MOST


def test_the_pictures_are_those_that_the_script_makes() -> None:
    script = (PICTURES / "make.py").read_text(encoding="utf-8")
    made = re.findall(r'Picture\("([\w-]+)"', script)
    assert {path.stem for path in PICTURES.glob("*.png")} == set(made)
