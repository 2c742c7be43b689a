"""Builds environments for drivers: an interpreter with the worker of this release and a vendor's packages.

They lie beside the data folder and not in it, as workers put that out of their own reach.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sojourn
from sojourn.cli.drivers.interpreters import told_by
from sojourn.cli.drivers.wheel import NAME, PROGRAMS, NoDistribution, worker_wheel
from sojourn.cli.errors import CliError

MARKER = "sojourn-environment.json"
"""Of a folder that was made here: what it is made of, and whether it is whole."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class BuildFailed(CliError):
    """The environment cannot be built; the message says why."""


def folder_of(data: Path, name: str) -> Path:
    """`/srv/sojourn` has the environment `vendor` in `/srv/sojourn-environments/vendor`."""
    data = data.absolute()
    return data.with_name(f"{data.name}-environments") / name


def build(
    folder: Path,
    name: str,
    packages: Sequence[str],
    python: str | None,
    *,
    older: bool = False,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """The environment in `folder`: `{"name", "folder", "python", "environment", "drivers"}`.

    One that is as wanted is left as it is, and one with the worker of another release gets that of this one;
    one that was made of something else, or not to its end, is made anew. `older` leaves out what needs the
    server's Qiskit. What pip says goes to standard error, and its variables `PIP_…` hold. Raises
    `BuildFailed`.
    """
    if not _NAME.fullmatch(name):
        raise BuildFailed(f"{name!r} cannot be the name of an environment: letters, digits, `.`, `_` and `-`")
    base = python or sys.executable
    try:
        file, content = worker_wheel()
    except NoDistribution as error:
        raise BuildFailed(str(error)) from None
    wanted = {
        "sojourn": sojourn.__version__,
        "worker": hashlib.sha256(content).hexdigest(),
        "packages": list(packages),
        "older": older,
        "base": base,
    }
    known = _known(folder)
    interpreter = folder / "bin" / "python"
    if known == {**wanted, "whole": True} and interpreter.exists():
        tell(f"{folder} is as wanted; remove it to have it built again")
    else:
        kept = interpreter.exists() and _differs_by_worker(known, wanted)
        _make(folder, wanted, base, interpreter, packages, file, content, tell, kept=kept)
    told = told_by(str(interpreter))
    return {"name": name, "folder": str(folder), "python": str(interpreter), **told}


def _make(
    folder: Path,
    wanted: Mapping[str, Any],
    base: str,
    interpreter: Path,
    packages: Sequence[str],
    file: str,
    content: bytes,
    tell: Callable[[str], None],
    *,
    kept: bool,
) -> None:
    """`kept`: only the worker is installed anew."""
    python = [str(interpreter), "-I", "-m", "pip", "--disable-pip-version-check"]
    try:
        if folder.exists() and not kept:
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _note(folder, {**wanted, "whole": False})
        if kept:
            tell(f"{folder} gets the worker of this release")
            _run([*python, "uninstall", "--yes", NAME], "pip has not removed the worker")
        else:
            tell(f"building {folder} with {base}")
            _run([base, "-m", "venv", str(folder)], "the environment cannot be made")
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / file
            path.write_bytes(content)
            worker = str(path) if wanted["older"] else f"{path}[{PROGRAMS}]"
            _run([*python, "install", worker, *packages], "pip has not installed the packages")
    except OSError as error:
        raise BuildFailed(f"{folder} cannot be written: {error.strerror or error}") from None
    if list(folder.glob("lib/python*/site-packages/sojourn-[0-9]*.dist-info")):
        raise BuildFailed(
            f"the packages have brought `sojourn` itself into {folder}, which has the modules of the worker "
            "as well; a package with a driver should require neither of the two"
        )
    _note(folder, {**wanted, "whole": True})


def _known(folder: Path) -> Any:
    """What `folder` is made of; None when it is not there yet. Raises `BuildFailed` for somebody else's."""
    try:
        return json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BuildFailed(
                f"{folder} was not made by this command and is not empty; name another folder with --to"
            ) from None
        return None
    except (OSError, ValueError) as error:
        raise BuildFailed(f"{folder / MARKER} cannot be read ({error}); remove the folder") from None


def _differs_by_worker(known: Any, wanted: Mapping[str, Any]) -> bool:
    """Whether an environment that is whole is as wanted but for the release of its worker."""
    if not isinstance(known, dict) or known.get("whole") is not True:
        return False
    return all(known.get(key) == value for key, value in wanted.items() if key not in ("sojourn", "worker"))


def _note(folder: Path, what: Mapping[str, Any]) -> None:
    (folder / MARKER).write_text(json.dumps(what, indent=2) + "\n", encoding="utf-8")


def _run(command: Sequence[str], what: str) -> None:
    """Its output goes to standard error: standard output is for the lines of the configuration."""
    sys.stderr.flush()
    try:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, check=False).returncode
    except OSError as error:
        raise BuildFailed(f"{what}: {command[0]} cannot be started: {error.strerror or error}") from None
    if status:
        raise BuildFailed(f"{what}: `{' '.join(command[:6])} …` ended with {status}; what it said is above")
