"""How large a pushed pack is once it is unpacked, told before anybody unpacks it: a small pack may hold a great many zeros.

The pack is walked entry by entry with a window of fixed size (gitformat-pack(5)); nothing that it holds is kept. The size
of a delta's result stands at its beginning, and git refuses it later where that is not true.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import PatchError

MOST_OBJECTS = 10_000
MOST_OF_OBJECT = 8 << 20  # bytes of one object
MOST_UNPACKED = 64 << 20  # of all objects
_WINDOW = 64 << 10
_COMMIT, _TREE, _BLOB, _TAG, _OFFSET_DELTA, _NAMED_DELTA = 1, 2, 3, 4, 6, 7
_HASH = 20


@dataclass(frozen=True)
class Bounds:
    """What a push may unpack to."""

    objects: int = MOST_OBJECTS
    of_object: int = MOST_OF_OBJECT
    unpacked: int = MOST_UNPACKED


def check_pack(pack: bytes, bounds: Bounds = Bounds()) -> None:
    """Raises PatchError where the pack is none, is cut off, or unpacks to more than the bounds allow."""
    if len(pack) < 12 + _HASH or pack[:4] != b"PACK":
        raise PatchError("The push holds no pack of git's.")
    count = int.from_bytes(pack[8:12])
    if count > bounds.objects:
        raise PatchError(f"The push holds {count:,} objects; at most {bounds.objects:,} are taken. Push one commit at a time.")
    left = bounds.unpacked
    for size in _sizes(memoryview(pack), count, bounds):
        left -= size
        if left < 0:
            raise PatchError(f"The push unpacks to more than {bounds.unpacked >> 20} MB; so much is not taken.")


def _sizes(pack: memoryview, count: int, bounds: Bounds) -> Iterator[int]:
    """Bytes that each entry comes to: its own, and for a delta those of its result. Raises PatchError."""
    at = 12
    for _ in range(count):
        try:
            kind, stated, at = _head(pack, at)
            if stated > bounds.of_object:
                raise _too_large(stated, bounds)
            start, at = _inflate(pack, at, stated)
        except (IndexError, zlib.error):
            raise PatchError("The push is cut off, or its pack is broken.") from None
        yield stated
        if kind in (_OFFSET_DELTA, _NAMED_DELTA):
            base, result = _delta_sizes(start)
            if max(base, result) > bounds.of_object:
                raise _too_large(max(base, result), bounds)
            yield result


def _head(pack: memoryview, at: int) -> tuple[int, int, int]:
    """Kind and stated size of the entry at a place, and where its compressed bytes begin. Raises IndexError, PatchError."""
    byte = pack[at]
    kind, size, shift = (byte >> 4) & 7, byte & 15, 4
    while byte & 0x80:
        at += 1
        byte = pack[at]
        size |= (byte & 0x7F) << shift
        shift += 7
        if shift > 60:
            raise PatchError("The push states a size that no object has.")
    at += 1
    if kind == _OFFSET_DELTA:
        while pack[at] & 0x80:
            at += 1
        at += 1
    elif kind == _NAMED_DELTA:
        at += _HASH
    elif kind not in (_COMMIT, _TREE, _BLOB, _TAG):
        raise PatchError(f"The push holds an object of kind {kind}, which git does not know.")
    return kind, size, at


def _inflate(pack: memoryview, at: int, stated: int) -> tuple[bytes, int]:
    """The first bytes of what is compressed at a place, and where it ends. Raises zlib.error, IndexError, PatchError."""
    machine, start, size = zlib.decompressobj(), b"", 0
    while not machine.eof:
        given = bytes(pack[at : at + _WINDOW])
        if not given:
            raise IndexError
        piece = machine.decompress(given, _WINDOW)
        at += len(given) - len(machine.unused_data if machine.eof else machine.unconsumed_tail)
        size += len(piece)
        start = start or piece[:32]
        if size > stated:
            raise PatchError("The push holds an object that is larger than it says.")
    return start, at


def _delta_sizes(start: bytes) -> tuple[int, int]:
    """Sizes of base and result, which stand at the beginning of a delta. Raises PatchError."""
    sizes, at = [], 0
    for _ in range(2):
        size = shift = 0
        more = True
        while more:
            if at == len(start) or shift > 60:
                raise PatchError("The push holds a delta that is cut off.")
            size |= (start[at] & 0x7F) << shift
            more = bool(start[at] & 0x80)
            shift += 7
            at += 1
        sizes.append(size)
    return sizes[0], sizes[1]


def _too_large(size: int, bounds: Bounds) -> PatchError:
    return PatchError(f"The push holds an object of {size:,} bytes; at most {bounds.of_object >> 20} MB are taken.")
