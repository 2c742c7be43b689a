"""Makes the distribution `sojourn-worker` out of the installed Sojourn: the files that a worker needs.

So an environment of a device's own gets the same release without a checkout and without an index. What is in
it is what packaging/worker builds; a test compares the two.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import sojourn
from sojourn.driverkit.installed import GROUP

NAME = "sojourn-worker"
PROGRAMS = "programs"
"""The extra with what only some programs need."""
PARTS = ("__init__.py", "codes.py", "py.typed", "devices", "driverkit", "programs.py", "worker")
"""Of the package `sojourn`."""

REQUIRED = frozenset({"msgspec", "numpy", "qiskit", "qiskit-aer", "qiskit-qasm3-import", "symengine"})
"""What it needs of what Sojourn requires, in the same versions but for those of Qiskit and Aer."""

EXTRAS = {PROGRAMS: frozenset({"qiskit", "qiskit-mitigation", "samplomatic"})}
"""What it can use of it besides."""

QISKIT, AER = "qiskit>=1.4", "qiskit-aer>=0.17"
"""The packages of some vendors need earlier ones than the server. Samplomatic needs the server's Qiskit."""

_PYTHON = ">=3.11"
_THEN = (1980, 1, 1, 0, 0, 0)  # the same files make the same wheel


class NoDistribution(Exception):
    """Sojourn is not installed as a distribution: nobody knows what it requires."""


def worker_wheel() -> tuple[str, bytes]:
    """The file's name and content. Raises `NoDistribution`."""
    try:
        ours = distribution("sojourn")
    except PackageNotFoundError:
        raise NoDistribution(
            "Sojourn runs from its files and is not installed; install it with pip, which records what it "
            "needs"
        ) from None
    files = {f"sojourn/{place}": content for place, content in _files(Path(sojourn.__file__).parent)}
    points = {
        GROUP: {
            point.name: point.value
            for point in ours.entry_points
            if point.group == GROUP and point.value.startswith("sojourn.devices.")
        }
    }
    earlier = {"qiskit": QISKIT, "qiskit-aer": AER}
    requires = [earlier.get(name, text) for name, text in _stated(ours, REQUIRED)]
    for extra, names in EXTRAS.items():
        requires += [f"{text}; extra == '{extra}'" for _, text in _stated(ours, names)]
    return wheel(NAME, sojourn.__version__, files, requires, points, tuple(EXTRAS))


def _stated(ours: Distribution, names: Collection[str]) -> list[tuple[str, str]]:
    """The requirements of Sojourn that are of these names: name and text."""
    found = []
    for text in ours.requires or ():
        name = re.match(r"[A-Za-z0-9._-]+", text)
        if name is not None and name[0].lower() in names and "extra ==" not in text:
            found.append((name[0].lower(), text))
    return sorted(found)


def wheel(
    name: str,
    version: str,
    files: Mapping[str, bytes],
    requires: list[str],
    points: Mapping[str, Mapping[str, str]],
    extras: Collection[str] = (),
) -> tuple[str, bytes]:
    """The name and the content of a wheel of pure Python with these files, by their places in site-packages,
    and entry points."""
    plain = re.sub(r"[-_.]+", "_", name)
    info = f"{plain}-{version}.dist-info"
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        f"Requires-Python: {_PYTHON}",
        *(f"Provides-Extra: {extra}" for extra in extras),
        *(f"Requires-Dist: {text}" for text in requires),
    ]
    lines = []
    for group, entries in points.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    whole = dict(files)
    whole[f"{info}/METADATA"] = _text(metadata)
    whole[f"{info}/WHEEL"] = _text(
        ["Wheel-Version: 1.0", "Generator: sojourn", "Root-Is-Purelib: true", "Tag: py3-none-any"]
    )
    whole[f"{info}/entry_points.txt"] = _text(lines)
    record = [f"{place},sha256={_digest(content)},{len(content)}" for place, content in whole.items()]
    whole[f"{info}/RECORD"] = _text([*record, f"{info}/RECORD,,"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, content in whole.items():
            entry = zipfile.ZipInfo(place, _THEN)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return f"{plain}-{version}-py3-none-any.whl", packed.getvalue()


def _files(root: Path) -> Iterator[tuple[str, bytes]]:
    for part in PARTS:
        place = root / part
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and path.suffix != ".pyc":
                yield path.relative_to(root).as_posix(), path.read_bytes()


def _text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
