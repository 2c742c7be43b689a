"""Takes a folder out of reach of this process and its children, by Landlock (Linux 5.13 or newer).

A worker decodes and runs what users send, in native code. Should a job take over its worker, the keys and the
database must be out of its reach although it has the server's user: it cannot open, change or make files in
the folder, cannot read the memory of processes outside, and on Linux 6.12 or newer cannot send them signals.

Landlock can only grant. So everything is granted beside the way from the root to the folder: what is made
later in a directory on that way is out of reach too, until the next worker starts. Names can be listed.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_CHANGE_DIRS = sum(1 << bit for bit in range(4, 13))  # remove and make entries
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_SCOPE_SIGNALS = 1 << 1
_LONGEST_LISTING = 20_000

_libc = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def landlock_version() -> int:
    """The version of the kernel's Landlock interface; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)))


def put_out_of_reach(folder: Path) -> bool:
    """Whether `folder` is out of reach now, for this thread and all that it starts. There is no way back.

    OSError when the kernel has Landlock and refuses.
    """
    version = landlock_version()
    if version == 0:
        return False
    of_files = _EXECUTE | _WRITE_FILE | _READ_FILE | (_TRUNCATE if version >= 3 else 0)
    everything = of_files | _READ_DIR | _CHANGE_DIRS | (_REFER if version >= 2 else 0)
    ruleset = _Ruleset(everything, 0, _SCOPE_SIGNALS if version >= 6 else 0)
    size = ctypes.sizeof(ruleset) if version >= 6 else 8  # older kernels know the first field only
    rules = _call(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0)
    try:
        folder = folder.resolve()
        _grant(rules, Path(folder.anchor), _READ_DIR, _READ_DIR)
        for parent in folder.parents:
            for entry in _beside(parent, folder):
                _grant(rules, entry, everything, of_files)
        if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "no_new_privs was refused")
        _call(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)
    return True


def _beside(parent: Path, folder: Path) -> list[Path]:
    try:
        found = [entry for entry in parent.iterdir() if entry != folder and entry not in folder.parents]
    except PermissionError:
        return []
    if len(found) > _LONGEST_LISTING:
        raise OSError(f"{parent} has more than {_LONGEST_LISTING:,} entries; keep the data elsewhere")
    return found


def _grant(rules: int, path: Path, of_directories: int, of_files: int) -> None:
    """What cannot be opened, or is gone, is not granted; a link is judged by what it leads to."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISLNK(mode):
            return
        allowed = of_directories if stat.S_ISDIR(mode) else of_files
        rule = _Beneath(allowed, descriptor)
        _call(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock: {os.strerror(error)}")
    return result
