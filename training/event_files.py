"""TensorBoard's event files: scalars as points. Checksums and messages are TensorBoard's, lengths are bounded here."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError
from tensorboard.compat.proto import event_pb2, types_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from training.left_out import LeftOut
from training.readings import shown
from training.series import Damaged

RECORD_LIMIT = 16 << 20  # bytes; a scalar has under a hundred, a picture some hundred thousand
CUT_OFF = "bytes of a record that was cut off at the end of its file"
_HEAD = struct.Struct("<QI")
_FIELDS = {types_pb2.DT_FLOAT: ("float_val", "<f"), types_pb2.DT_DOUBLE: ("double_val", "<d")}


class EventFile:
    """Takes the bytes of one event file in order."""

    def __init__(self, name: str, left_out: LeftOut) -> None:
        self.name, self.left_out = shown(name), left_out
        self.waiting = b""
        self.offset = 0  # of the record that comes next

    def feed(self, chunk: bytes) -> list[dict[str, object]]:
        """The scalars in the records that are whole by now, those of one step together. Raises Damaged."""
        self.waiting += chunk
        return [record for data in self._records() for record in self._scalars(data)]

    def finish(self) -> list[dict[str, object]]:
        if self.waiting:
            self.left_out.count(CUT_OFF, len(self.waiting))
        return []

    def _records(self) -> Iterator[bytes]:
        at = 0
        while len(self.waiting) - at >= _HEAD.size:
            length, check = _HEAD.unpack_from(self.waiting, at)
            if masked_crc32c(self.waiting[at : at + 8]) != check:
                raise Damaged(f"{self.name} is damaged at byte {self.offset}: wrong checksum of a record's length")
            if length > RECORD_LIMIT:
                raise Damaged(f"{self.name} has a record of {length} bytes at byte {self.offset}, more than {RECORD_LIMIT}")
            start, end = at + _HEAD.size, at + _HEAD.size + length
            if len(self.waiting) < end + 4:
                break
            data = self.waiting[start:end]
            if struct.pack("<I", masked_crc32c(data)) != self.waiting[end : end + 4]:
                raise Damaged(f"{self.name} is damaged at byte {self.offset}: wrong checksum of a record")
            at, self.offset = end + 4, self.offset + _HEAD.size + length + 4
            yield data
        self.waiting = self.waiting[at:]

    def _scalars(self, data: bytes) -> Iterator[dict[str, object]]:
        try:
            event = event_pb2.Event.FromString(data)
        except DecodeError:
            raise Damaged(f"{self.name} holds a record before byte {self.offset} that is no event of TensorBoard") from None
        scalars = {value.tag: number for value in event.summary.value if (number := _scalar(value)) is not None and value.tag}
        if scalars:
            yield {**scalars, "step": event.step}


def _scalar(value: Any) -> float | None:
    """The number of a summary, in either of the two ways in which they are written; None for pictures and the like."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if not value.HasField("tensor") or any(dimension.size != 1 for dimension in value.tensor.tensor_shape.dim):
        return None
    field, layout = _FIELDS.get(value.tensor.dtype, ("", ""))
    if field and (numbers := getattr(value.tensor, field)):
        return float(numbers[0])
    content = value.tensor.tensor_content
    return float(struct.unpack(layout, content)[0]) if field and len(content) == struct.calcsize(layout) else None
