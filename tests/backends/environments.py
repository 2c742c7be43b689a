"""The packages of vendors that are tested as devices, each with an environment and a configuration.

`make backends` builds the environments beside the one of the tests. A test whose environment is not there is
skipped and names the command; with `BACKEND_TESTS=all`, as in `.ci/run`, it fails instead. So it does where
the environment has the worker of other files than these, which would be what is tested.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sojourn.cli.drivers.environments import MARKER
from sojourn.cli.drivers.wheel import worker_wheel

HERE = Path(__file__).parent
PACKAGES = HERE / "packages"
CONFIGURATION = HERE / "configuration"
NAMES = sorted(path.stem for path in CONFIGURATION.glob("*.toml"))
WITH_ANGLES = ("aqt", "iqm")
"""Their rotations are gates that the client leaves out unless it is asked for them."""

_ENVIRONMENTS = Path(sys.prefix)


def folder(name: str) -> Path:
    """Where `make backends` puts the environment."""
    return _ENVIRONMENTS / "backends" / name


def pinned(name: str) -> list[str]:
    """The packages of the environment, each with its version."""
    lines = (PACKAGES / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def version(name: str, package: str) -> str:
    """That of a package in the environment."""
    (found,) = (line.removeprefix(f"{package}==") for line in pinned(name) if line.startswith(f"{package}=="))
    return found


def built(name: str) -> bool:
    """Whether the environment is there, with the packages of its list and the worker of these files."""
    try:
        made = json.loads((folder(name) / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    wanted = {"whole": True, "packages": pinned(name), "worker": _worker()}
    return all(made.get(key) == value for key, value in wanted.items())


def interpreter(name: str) -> Path:
    """The Python of the environment. Skips the test, or fails it, where that is not built."""
    if not built(name):
        if os.environ.get("BACKEND_TESTS") == "all":
            pytest.fail(f"{name} is not in {folder(name)}, or is of other files: make backends")
        pytest.skip(f"{name} left out, its environment is not built, or is of other files: make backends")
    return folder(name) / "bin" / "python"


def device(name: str) -> dict[str, Any]:
    """The device as it is configured, with the interpreter of these tests."""
    text = (CONFIGURATION / f"{name}.toml").read_text(encoding="utf-8")
    found: dict[str, Any] = tomllib.loads(text)["devices"][0]
    return {**found, "python": str(interpreter(name))}


@functools.cache
def _worker() -> str:
    return hashlib.sha256(worker_wheel()[1]).hexdigest()
