"""Rights of the data folder: who else can read the keys or change the database is the operator.

Checked at the start, before anything in the folder is used. What is too open is closed, with a line in the
log; what this process cannot close, or should not, such as a folder with other people's files, is refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import structlog

from sojourn.service.errors import ServiceFailed

log = structlog.get_logger("sojourn.data")

Trust = Literal["private", "group", "any"]

_OTHERS = {"private": 0o077, "group": 0o007}
"""The rights that nobody may have."""
_OURS = ("sojourn.db", "database.created", "operator.key", "local.key", "server.", "answered", ".")
"""How the names begin of what Sojourn keeps in the folder."""
_KEYS = ("operator.key", "local.key", "operator.key.new", "local.key.new")
_DATABASE = ("sojourn.db", "sojourn.db-wal", "sojourn.db-shm")


def check(data: Path, trust: Trust) -> None:
    """Close what is too open, or raise ServiceFailed with what to do. `trust` is `access.data_folder`."""
    if trust == "any":
        return
    too_much = _OTHERS[trust]
    found = data.stat()
    _check_owner(data, found, trust)
    open_rights = found.st_mode & too_much
    if open_rights:
        alone = all(entry.name.startswith(_OURS) for entry in data.iterdir())
        if alone and found.st_uid == os.geteuid():
            _close(data, found, too_much)
            log.warning("data.closed", path=str(data), was=_octal(found), now=_octal(data.stat()))
        elif open_rights & 0o022:
            raise ServiceFailed(
                f"others may write into the data folder {data} (mode {_octal(found)}), so they can replace "
                f"the database and the keys. {_advice(data, too_much)}"
            )
    for path in _files(data):
        found = path.stat()
        _check_owner(path, found, trust)
        if found.st_mode & too_much:
            _close(path, found, too_much)
            secret = path.name in _KEYS
            hint = "others may have read it; `sojourn keys rotate` makes another key" if secret else None
            log.warning(
                "data.closed",
                path=str(path),
                was=_octal(found),
                now=_octal(path.stat()),
                **({"what": hint} if hint else {}),
            )


def _files(data: Path) -> Iterator[Path]:
    for name in (*_KEYS, *_DATABASE):
        if (path := data / name).exists():
            yield path


def _check_owner(path: Path, found: os.stat_result, trust: Trust) -> None:
    if trust == "private" and found.st_uid != os.geteuid():
        raise ServiceFailed(
            f"{path} belongs to user {found.st_uid}, and the server runs as user {os.geteuid()}: its owner "
            "could replace the database and the keys. Change the owner, choose another folder, or set "
            'data_folder = "group" in [access] if its owner and group are trusted ("any" for a volume whose '
            "rights cannot be set)"
        )


def _close(path: Path, found: os.stat_result, too_much: int) -> None:
    try:
        path.chmod(stat.S_IMODE(found.st_mode) & ~too_much)
    except OSError as error:
        raise ServiceFailed(
            f"others have rights on {path} (mode {_octal(found)}), and they cannot be taken away "
            f"({error.strerror}). {_advice(path, too_much)}"
        ) from None


def _advice(path: Path, too_much: int) -> str:
    return (
        f"Take the rights away (chmod {'go-rwx' if too_much & 0o070 else 'o-rwx'} {path}), choose another "
        'folder, or say in [access] who is trusted: data_folder = "group" or "any"'
    )


def _octal(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):04o}"
