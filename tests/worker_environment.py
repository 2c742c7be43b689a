"""Builds an environment of the worker's distribution and of what that declares, without a network.

The files of each distribution are linked from the environment of the tests, by their own records: what nobody
declares cannot be imported.
"""

from __future__ import annotations

import sys
import tomllib
import venv
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging" / "worker"


def declared(folder: Path = PACKAGING) -> dict[str, Any]:
    """The pyproject.toml in `folder`."""
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def needed(requirements: Iterable[str], found: set[tuple[str, str]] | None = None) -> set[str]:
    """The names of the distributions that these requirements come to, with theirs in turn."""
    found = set() if found is None else found
    for text in requirements:
        requirement = Requirement(text)
        for extra in {"", *requirement.extras}:
            key = (requirement.name.lower(), extra)
            if key in found:
                continue
            found.add(key)
            theirs = distribution(requirement.name).requires or ()
            needed(_in_force(theirs, extra), found)
    return {name for name, _ in found}


def _in_force(requirements: Iterable[str], extra: str) -> Iterator[str]:
    for text in requirements:
        marker = Requirement(text).marker
        if marker is None or marker.evaluate({"extra": extra}):
            yield text


def make(folder: Path, *extras: str) -> Path:
    """A virtual environment in `folder` with the worker's distribution and these extras; its interpreter."""
    project = declared()["project"]
    requirements = list(project["dependencies"])
    for extra in extras:
        requirements += project["optional-dependencies"][extra]
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    link(requirements, site)
    _install_worker(site)
    return folder / "bin" / "python"


def link(requirements: Iterable[str], site: Path) -> None:
    """Put what these requirements come to into `site`, by links; what is there already stays."""
    for name in sorted(needed(requirements)):
        _link(name, site)


def _link(name: str, site: Path) -> None:
    for file in distribution(name).files or ():
        if file.parts[0] == "..":  # programs and manuals
            continue
        place = site.joinpath(*file.parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        source = Path(str(file.locate()))
        if source.exists() and not place.exists():
            place.symlink_to(source)


def _install_worker(site: Path) -> None:
    """What the wheel would contain: the files that pyproject.toml lists and its entry points."""
    table = declared()
    for listed in table["tool"]["hatch"]["build"]["only-include"]:
        place = site / Path(listed).relative_to("src")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(ROOT / listed)
    project = table["project"]
    info = site / "sojourn_worker-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
