"""The clients that must work, and programs run with one of them: each has an environment of its own.

`make clients` builds the environments beside the one of the tests. The newest client is in the latter as
well, so it is always tested. A test whose client is not there is skipped and names the command; with
`CLIENT_TESTS=all`, as in `.ci/run`, it fails instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
CONSTRAINTS = HERE / "constraints"
ROOT = HERE.parents[1]

NEWEST = "0.51"
PINNED = sorted(path.name.removesuffix(".txt") for path in CONSTRAINTS.glob("*.txt"))
"""The others, each with the file of the packages in its environment."""

_ENVIRONMENTS = Path(sys.prefix)
_FOREIGN = (
    *("QISKIT_", "SOJOURN_", "IAM_", "GLOBAL_", "QRMI_", "SLURM_"),
    *("PYTHON", "REQUESTS_", "CURL_", "SSL_"),
)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
PATIENCE = 150.0


def folder(client: str) -> Path:
    """Where `make clients` puts the environment of a client."""
    return _ENVIRONMENTS / "client" if client == NEWEST else _ENVIRONMENTS / "clients" / client


def built(client: str) -> bool:
    """Whether the environment is there, and not older than the list of its packages."""
    stamp = folder(client) / ".stamp"
    wanted = CONSTRAINTS / f"{client}.txt"
    return stamp.exists() and (not wanted.exists() or stamp.stat().st_mtime >= wanted.stat().st_mtime)


def interpreter(client: str) -> Path:
    """The Python that has the client. Skips the test, or fails it, where that is not built."""
    if built(client):
        return folder(client) / "bin" / "python"
    if os.environ.get("CLIENT_TESTS") == "all":
        pytest.fail(f"client {client} is not in {folder(client)}: make clients")
    if client == NEWEST:
        return Path(sys.executable)
    pytest.skip(f"client {client} left out, its environment is not built: make clients")


def clean() -> dict[str, str]:
    """This process's environment without what would lead a client, or its Python, elsewhere."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and name.lower() not in _PROXIES
    }


def run(client: str, program: str, environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """What a program of `programs/` printed, by the first word of each line. It must end well."""
    python = interpreter(client)
    done = subprocess.run(
        [str(python), str(PROGRAMS / program)],
        capture_output=True,
        text=True,
        # A home of its own: no saved account of whoever runs the tests.
        env={**clean(), "PYTHONWARNINGS": "ignore::DeprecationWarning", "HOME": str(home), **environment},
        cwd=home,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{program} with {client}\n{done.stdout}\n{done.stderr}"
    assert "Unable to retrieve IBM Cloud access token" not in done.stderr
    said: dict[str, str] = {}
    for line in done.stdout.splitlines():
        word, _, rest = line.partition(" ")
        assert word not in said, f"{program} says {word!r} twice\n{done.stdout}"
        said[word] = rest
    return said
