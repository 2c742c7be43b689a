"""Colours that can be told apart, also by those who see fewer of them, on a light and on a dark ground."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

OF_PROJECTS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d1f", "#56b4e9", "#7a5195", "#b03a48")
"""After Okabe and Ito's palette, some darker for white text."""
INK = "getComputedStyle(document.body).getPropertyValue('--ink')"
"""JavaScript for the colour of text, which depends on whether the page is dark; for a key `:color`."""
LINK = "getComputedStyle(document.body).getPropertyValue('--link')"
"""The same for what stands out on both grounds."""
TEXT = {":color": INK, "fontFamily": "Roboto, system-ui, sans-serif"}
"""Of a whole chart."""
FAINT = {"lineStyle": {":color": INK, "opacity": 0.12}}
"""Lines behind what is drawn."""
BUSY = "#8a8f98"
"""Others' jobs."""
SYSTEM = "#6e6e6e"


def of_project(name: str | None) -> str:
    """The same for a project on every page and after every restart."""
    if name is None:
        return BUSY
    return OF_PROJECTS[hashlib.sha256(name.encode()).digest()[0] % len(OF_PROJECTS)]


def of_each(names: Iterable[str]) -> dict[str, str]:
    """For one picture: their colours, or another one where two have the same, as far as there are more."""
    found: dict[str, str] = {}
    for name in names:
        wanted = SYSTEM if name == "system" else of_project(name)
        free = (colour for colour in (wanted, *OF_PROJECTS) if colour not in found.values())
        found[name] = next(free, wanted)
    return found


def text_on(ground: str) -> str:
    """Black or white, whichever can be read better on this colour (WCAG 2, relative luminance)."""
    parts = [int(ground[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if light > 0.179 else "#ffffff"
