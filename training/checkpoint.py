"""What a checkpoint holds, by the header at its front: nothing of it is loaded, and nothing is unpickled."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from typing import Any

HEADER_LIMIT = 8 << 20  # bytes of the description at the front of a safetensors file


@dataclass(frozen=True)
class Stored:
    """What stands in a checkpoint, parameters and buffers alike: a table that was filled without training counts as well."""

    values: int  # floating-point numbers; what is whole or true is no weight, and counts as bytes
    bytes: int


def read_header(fd: int) -> Stored:
    """What the header of a safetensors file states, which the scorer holds against the file's length.

    Raises ValueError, KeyError, TypeError, AttributeError or IndexError where it is none.
    """
    size = os.fstat(fd).st_size
    length = int.from_bytes(os.pread(fd, 8, 0), "little")
    if size < 8 or length > min(size - 8, HEADER_LIMIT):
        raise ValueError("its header is longer than the file")
    header: dict[str, Any] = json.loads(os.pread(fd, length, 8))
    tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
    values = sum(math.prod(int(side) for side in tensor["shape"]) for tensor in tensors if "F" in str(tensor["dtype"]))
    return Stored(values, sum(int(tensor["data_offsets"][1]) - int(tensor["data_offsets"][0]) for tensor in tensors))
