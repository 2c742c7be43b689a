"""The bad drivers as an installed package: on the path of this process and of the workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.service import run_service

__all__ = ["run_service"]
PACKAGES = Path(__file__).parent / "packages"
DRIVERS = {
    "bad": "bad_drivers:Bad",
    "careless": "bad_drivers:Careless",
    "restless": "bad_drivers:Restless",
    "slow": "slow_driver:Slow",
    "dying": "dying_driver:Dying",
    "missing": "no_such_module:Driver",
}


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return ("asyncio", {"use_uvloop": True})


@pytest.fixture(scope="package", autouse=True)
def bad_drivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """They are installed for the time of these tests."""
    site = tmp_path_factory.mktemp("site")
    info = site / "bad_drivers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-drivers\nVersion: 1.0\n", "utf-8")
    points = "".join(f"{name} = {place}\n" for name, place in DRIVERS.items())
    (info / "entry_points.txt").write_text(f"[sojourn.drivers]\n{points}", "utf-8")
    places = [str(site), str(PACKAGES)]
    with pytest.MonkeyPatch.context() as patch:
        for place in places:
            patch.syspath_prepend(place)
        path = os.environ.get("PYTHONPATH")
        patch.setenv("PYTHONPATH", os.pathsep.join([*places, path] if path else places))
        yield
