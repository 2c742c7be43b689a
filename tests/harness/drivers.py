"""Drivers of other packages, on the path of the server and its workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@contextmanager
def installed(folder: Path, **drivers: str) -> Iterator[None]:
    """As if a package with these drivers (name to ``module:Class``) were installed; workers that start while
    it lasts see it. `folder` is for the package, and must not be the server's."""
    info = folder / "drivers_of_tests-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: drivers-of-tests\nVersion: 1\n")
    points = "".join(f"{name} = {value}\n" for name, value in drivers.items())
    (info / "entry_points.txt").write_text(f"[sojourn.drivers]\n{points}")
    with pytest.MonkeyPatch.context() as patch:
        path = [str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(path).rstrip(os.pathsep))
        patch.syspath_prepend(str(folder))
        yield
