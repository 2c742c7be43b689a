"""The processes of this machine, as /proc has them."""

from __future__ import annotations

from pathlib import Path


def parents() -> dict[int, int]:
    """Each process with its parent, by their numbers."""
    found: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
    return found


def command(pid: int) -> list[bytes]:
    """The words with which it was started; none of one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
