"""How much of a held-out shard occurs, word for word, in text that a run could read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from training.detectors.record import Overlap

NGRAM = 96  # bytes of a default window of 129; code repeats itself, and shorter ones are licences and common lines
PIECE = 1 << 20  # bytes hashed at a time: 8 MiB per array
BUCKETS = 22  # bits of the table that rules out most n-grams before the exact search
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no bit of a hash is lost

Hashes = NDArray[np.uint64]


def gate_overlap(read: Iterable[bytes], gate: bytes, window: int, ngram: int = NGRAM) -> Overlap:
    """Count the windows of `gate` (pieces of `window` bytes, one after another) that share `ngram` bytes with a text in `read`.

    `read` may be large and lazy; texts are hashed piece by piece (about 25 MB a second), and a match is confirmed byte for
    byte. Raises ValueError when the gate is not made of whole windows, or a window is shorter than an n-gram.
    """
    if window < ngram or not gate or len(gate) % window:
        raise ValueError(f"{len(gate)} bytes of gate text are no whole windows of {window} bytes with n-grams of {ngram}")
    windows = np.frombuffer(gate, np.uint8).reshape(-1, window)
    hashes = np.stack([_hashes(row, ngram) for row in windows])  # (windows, window - ngram + 1)
    order = np.argsort(hashes, axis=None, kind="stable")
    ordered = hashes.ravel()[order]
    table = np.zeros(1 << BUCKETS, bool)
    table[_bucket(ordered)] = True
    windows_with_overlap: set[int] = set()
    example = b""
    for text in read:
        for piece in _pieces(text, ngram):
            for position, value in _candidates(_hashes(piece, ngram), table, ordered):
                rows = _rows(order, ordered, value, hashes.shape[1]) - windows_with_overlap
                match = piece[position : position + ngram].tobytes()
                hit = {row for row in rows if match in windows[row].tobytes()}
                example = example or (match if hit else b"")
                windows_with_overlap |= hit
    return Overlap(len(windows), len(windows_with_overlap), ngram, example.decode("utf-8", "replace"))


def _hashes(text: NDArray[np.uint8], ngram: int) -> Hashes:
    """Polynomial hash of every `ngram` bytes of `text`, (N,) to (N - ngram + 1,), in about log2(ngram) passes.

    The hash of a + b bytes is that of the first a, times FACTOR to the b, plus that of the next b; all modulo 2**64.
    """
    doubled, length = text.astype(np.uint64) + np.uint64(1), 1  # hashes of `length` bytes, a power of two
    result: Hashes | None = None
    taken = 0  # bytes that `result` covers
    with np.errstate(over="ignore"):
        while True:
            if ngram & length:
                if result is None:
                    result = doubled
                else:
                    count = len(text) - taken - length + 1
                    result = result[:count] * _power(length) + doubled[taken : taken + count]
                taken += length
            if taken == ngram:
                return result if result is not None else doubled
            doubled = doubled[:-length] * _power(length) + doubled[length:]
            length *= 2


def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(int(FACTOR), exponent, 1 << 64))


def _bucket(hashes: Hashes) -> Hashes:
    return hashes >> np.uint64(64 - BUCKETS)


def _pieces(text: bytes, ngram: int) -> Iterator[NDArray[np.uint8]]:
    """Pieces that overlap, so that no n-gram is cut; nothing of a text shorter than one."""
    array = np.frombuffer(text, np.uint8)
    for start in range(0, len(array) - ngram + 1, PIECE):
        yield array[start : start + PIECE + ngram - 1]


def _candidates(hashes: Hashes, table: NDArray[np.bool_], ordered: Hashes) -> Iterator[tuple[int, np.uint64]]:
    """(position, hash) of the n-grams whose hash occurs in the gate; each hash once."""
    likely = np.flatnonzero(table[_bucket(hashes)])
    places = np.minimum(np.searchsorted(ordered, hashes[likely]), len(ordered) - 1)
    sure = likely[ordered[places] == hashes[likely]]
    values, first = np.unique(hashes[sure], return_index=True)
    yield from zip(sure[first].tolist(), values, strict=True)


def _rows(order: NDArray[np.int64], ordered: Hashes, value: np.uint64, per_row: int) -> set[int]:
    """The windows that hold an n-gram with this hash."""
    first, last = np.searchsorted(ordered, value, "left"), np.searchsorted(ordered, value, "right")
    return set((order[first:last] // per_row).tolist())
