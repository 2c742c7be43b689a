"""How much memory there is for a run, and what is said when it does not suffice. Standard library only.

The bound itself is `worker.setup.bounded_memory`; what a circuit needs is the driver's knowledge.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MB = 2**20
KEPT = 256 * MB
"""What a worker keeps from one run to the next: its caches, rounded up."""


def machine_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process and its children may take: the machine's, or the least limit of the control
    groups (both versions) that they are in. None on a system that does not say."""
    found = list(_limits(root))
    with suppress(ValueError, OSError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min((size for size in found if size > 0), default=None)


def run_memory(total: int | None = None) -> int:
    """Bytes that one run may take by default, half of `total` (None: of what there is): the other half is for
    the server, for workers that do nothing, and for a run on another device. 0, which is no bound, where
    nobody knows."""
    total = machine_memory() if total is None else total
    return 0 if total is None else total // 2


def exceeded(device: str, memory: int) -> str:
    """What the user of a job reads that ran into its bound of `memory` bytes; 0: there was none."""
    limit = f"{memory / MB:.0f} MB (memory_mb of the device)" if memory else "what the machine has"
    return (
        f"The job ran out of memory: one run on {device} may take {limit}. Use fewer qubits, less "
        "entanglement, fewer shots, or a device with another simulation method."
    )


def _limits(root: Path) -> Iterator[int]:
    """The limits of all control groups above this process, as far as they can be seen from here."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if (number, controllers) == ("0", ""):
            mount, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mount, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in path.split("/") if part and part != ".."]
        for depth in range(len(parts), -1, -1):
            try:
                yield int((mount.joinpath(*parts[:depth]) / name).read_text())
            except (OSError, ValueError):  # not in sight from inside of a container, or "max"
                continue
