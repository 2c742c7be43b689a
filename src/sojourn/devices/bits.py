"""Packs classical bits into bytes. NumPy only; no Qiskit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def num_bytes(bits: int) -> int:
    """Bytes that hold `bits` bits."""
    return -(-bits // 8)


def pack_keys(keys: Sequence[str], bits: int) -> NDArray[np.uint8]:
    """Hexadecimal keys (``0x1f``) as (len(keys), bytes) uint8, big-endian."""
    width = num_bytes(bits)
    if width == 0:
        return np.zeros((len(keys), 0), dtype=np.uint8)
    data = b"".join(int(key, 16).to_bytes(width, "big") for key in keys)
    return np.frombuffer(data, dtype=np.uint8).reshape(len(keys), width)


def take_bits(patterns: NDArray[np.uint8], bits: int, wanted: Sequence[int]) -> NDArray[np.uint8]:
    """Patterns over `bits` bits cut down to the bits `wanted` (first = least significant), packed again.

    (u, bytes) -> (u, ceil(len(wanted) / 8)).
    """
    count = len(wanted)
    if count == bits and list(wanted) == list(range(bits)):
        return patterns
    single = np.unpackbits(patterns, axis=-1, bitorder="big")
    total = single.shape[-1]
    # NumPy pads on the right when it packs, so the zeros go in front of the most significant bit
    chosen = np.zeros((*patterns.shape[:-1], num_bytes(count) * 8), dtype=np.uint8)
    pad = chosen.shape[-1] - count
    columns = [total - 1 - bit for bit in reversed(wanted)]
    chosen[..., pad:] = single[..., columns]
    return np.packbits(chosen, axis=-1, bitorder="big")


def merged(
    patterns: NDArray[np.uint8], counts: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Each pattern once, with all of its counts: a driver may tell of equal shots apart from each other."""
    if not patterns.shape[-1]:
        return patterns[:1], counts.sum(keepdims=True)
    found, place = np.unique(patterns, axis=0, return_inverse=True)
    total = np.zeros(len(found), dtype=np.int64)
    np.add.at(total, place.ravel(), counts)
    return found, total


def mask_of(bits: int, wanted: Sequence[int]) -> NDArray[np.uint8]:
    """(bytes,) uint8 with the bits `wanted` set, in the layout of a pattern."""
    value = 0
    for bit in wanted:
        value |= 1 << bit
    return np.frombuffer(value.to_bytes(num_bytes(bits), "big"), dtype=np.uint8)


def parities(patterns: NDArray[np.uint8], masks: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(masks, patterns) array of +1 (even number of ones under the mask) and -1 (odd).

    `patterns` is (u, bytes), `masks` is (m, bytes).
    """
    width = patterns.shape[-1]
    odd = np.zeros((len(masks), len(patterns)), dtype=np.uint8)
    for byte in range(width):  # byte by byte keeps the temporary at masks x patterns
        odd ^= np.bitwise_count(masks[:, byte, None] & patterns[None, :, byte]) & 1
    signs: NDArray[np.int64] = 1 - 2 * odd.astype(np.int64)
    return signs
