"""Asks an interpreter which drivers it has and what it runs with. Imports none of them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from typing import Any

from sojourn.cli.errors import CliError
from sojourn.driverkit import installed

_PATIENCE = 60.0  # seconds


def told_by(python: str | None) -> dict[str, Any]:
    """`{"environment": …, "drivers": […]}` of this interpreter, or of `python`. CliError when that has no
    worker of Sojourn, or is none."""
    if python is None:
        return {
            "environment": installed.environment(),
            "drivers": [asdict(driver) for driver in installed.drivers()],
        }
    command = [python, "-P", "-m", "sojourn.driverkit.installed"]
    try:
        ran = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
        )
    except OSError as error:
        raise CliError(f"{python} cannot be started: {error.strerror or error}") from None
    except subprocess.TimeoutExpired:
        raise CliError(f"{python} did not answer within {_PATIENCE:g} s") from None
    if ran.returncode:
        last = (ran.stderr.strip() or f"exit status {ran.returncode}").splitlines()[-1]
        raise CliError(
            f"{python} has no worker of this release of Sojourn ({last}); "
            "`sojourn drivers make-env NAME` makes an environment that has one"
        )
    try:
        found: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise CliError(f"{python} does not answer as an interpreter does: {ran.stdout[:200]!r}") from None
    return found
