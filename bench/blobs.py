"""Bodies and results: in the database, or in files by content hash? Durable writes, then reads.

A job's row is committed in either case: with its bytes in the same transaction, or after the bytes were
made safe in a file.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from sqlalchemy import Connection, insert

from bench.common import report, summary
from sojourn.store import Database
from sojourn.store import tables as t
from sojourn.store.blobs import put_blobs, read_blob


def to_file(folder: Path, digest: str, data: bytes) -> None:
    """As a careful program writes a file: data, rename, and the folder's entry on disk."""
    path = folder / digest[:2] / digest
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    entry = os.open(path.parent, os.O_RDONLY)
    os.fsync(entry)
    os.close(entry)


def put_row(connection: Connection, key: str) -> None:
    """Something as small as a job's row."""
    connection.execute(insert(t.meta), {"key": key[:64], "value": b"x" * 200})


def put_both(connection: Connection, digest: str, body: bytes) -> None:
    put_row(connection, f"db{digest}")
    put_blobs(connection, {digest: body})


async def measure(size: int, count: int, root: Path) -> list[dict[str, Any]]:
    bodies = [os.urandom(size) for _ in range(count)]
    digests = [hashlib.sha256(b).hexdigest() for b in bodies]
    store = await Database.open(root / f"{size}.db")
    files = root / f"files{size}"
    files.mkdir()
    times: dict[str, list[float]] = {"db write": [], "file write": [], "db read": [], "file read": []}
    for digest, body in zip(digests, bodies, strict=True):
        began = time.perf_counter()
        await store.write(put_both, digest, body)
        middle = time.perf_counter()
        to_file(files, digest, body)
        await store.write(put_row, f"file{digest}")
        times["file write"].append(time.perf_counter() - middle)
        times["db write"].append(middle - began)
    for digest in digests:
        began = time.perf_counter()
        await store.read(read_blob, digest)
        middle = time.perf_counter()
        (files / digest[:2] / digest).read_bytes()
        times["file read"].append(time.perf_counter() - middle)
        times["db read"].append(middle - began)
    store.close()
    return [{"what": f"{size:>9} B {what}", **summary(values)} for what, values in times.items()]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    quick = arguments.parse_args().quick
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for size, count in ((3_000, 300), (100_000, 100), (10_000_000, 10)):
            rows += asyncio.run(measure(size, count // 5 if quick else count, Path(folder)))
    notes = [
        f"{rows[i]['what']} / {rows[i + 1]['what']}: {rows[i]['p50_ms'] / rows[i + 1]['p50_ms']:.2f}"
        for i in range(0, len(rows), 2)
    ]
    report("blobs", rows, notes)


if __name__ == "__main__":
    main()
