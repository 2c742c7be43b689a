"""Says what an interpreter runs with and which drivers it has; printed as JSON when it is run as a program.

Standard library only, so that it answers in an environment where nothing else can be imported.
"""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version

GROUP = "sojourn.drivers"
OURS = ("sojourn", "sojourn-worker")


@dataclass(frozen=True, slots=True)
class InstalledDriver:
    """A driver of an environment: where its class is defined, and the distribution that it came with."""

    name: str
    place: str
    package: str
    version: str


def drivers() -> list[InstalledDriver]:
    """By their names. Of several with one name the first is the one that a device gets, and is told."""
    found: dict[str, InstalledDriver] = {}
    for point in entry_points(group=GROUP):
        package = point.dist.name if point.dist is not None else ""
        number = point.dist.version if point.dist is not None else ""
        found.setdefault(point.name, InstalledDriver(point.name, point.value, package, number))
    return [found[name] for name in sorted(found)]


def version_of(*distributions: str) -> str:
    """The version of the first of them that is installed; empty when none is."""
    for name in distributions:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""


def environment() -> dict[str, str]:
    """The versions of what matters to a device."""
    return {
        "interpreter": sys.executable,
        "python": platform.python_version(),
        "sojourn": version_of(*OURS),
        "qiskit": version_of("qiskit"),
        "qiskit_aer": version_of("qiskit-aer"),
    }


def main() -> None:
    told = {"environment": environment(), "drivers": [asdict(driver) for driver in drivers()]}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
