"""Weights & Biases' files of offline runs: the history as points, the summary as final figures.

The format is LevelDB's log in blocks of 32 KiB with W&B's own head, each record a protocol buffer (`wandb_internal.proto`). The
package `wandb` reads such files in a program of its own since it left Python's reader (0.31), and sends usage home when it is
imported; so the frame is read here, and protobuf reads the messages, of which these fields are all that is needed.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from training.left_out import NO_POINT, LeftOut
from training.readings import shown
from training.series import Damaged
from training.tables import flat

BLOCK = 1 << 15
RECORD_LIMIT = 16 << 20  # bytes
CUT_OFF = "bytes of a record that was cut off at the end of its file"
_START = b":W&B\xe1\xbe\x00"  # of version 0
_HEAD = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class WandbFile:
    """Takes the bytes of one `run-….wandb` in order."""

    def __init__(self, name: str, left_out: LeftOut) -> None:
        self.name, self.left_out = shown(name), left_out
        self.waiting = b""
        self.offset = 0
        self.parts: list[bytes] = []
        self.finals: dict[str, object] = {}  # of the summary: the last one stands
        self.last: dict[str, object] = {}  # of the history

    def feed(self, chunk: bytes) -> list[dict[str, object]]:
        """The history in the records that are whole by now. Raises Damaged."""
        self.waiting += chunk
        return [record for data in self._records() for record in self._read(data)]

    def finish(self) -> list[dict[str, object]]:
        """What the summary says beyond the history. Raises Damaged."""
        if self.waiting or self.parts:
            self.left_out.count(CUT_OFF, len(self.waiting) + sum(map(len, self.parts)))
        finals = {name: value for name, value in self.finals.items() if name not in self.last or self.last[name] != value}
        return [finals] if finals else []

    def _records(self) -> Iterator[bytes]:
        while piece := self._piece():
            kind, data = piece
            if (kind in (FULL, FIRST)) == bool(self.parts) or kind not in (FULL, FIRST, MIDDLE, LAST):
                raise Damaged(f"{self.name} is damaged before byte {self.offset}: parts of a record in the wrong order")
            self.parts.append(data)
            if sum(map(len, self.parts)) > RECORD_LIMIT:
                raise Damaged(f"{self.name} has a record of more than {RECORD_LIMIT} bytes before byte {self.offset}")
            if kind in (FULL, LAST):
                yield b"".join(self.parts)
                self.parts = []

    def _piece(self) -> tuple[int, bytes] | None:
        """The next part of a record; None where it is not whole yet."""
        if self.offset == 0:
            if len(self.waiting) < len(_START):
                return None
            if not self.waiting.startswith(_START):
                raise Damaged(f"{self.name} does not begin as an offline run of Weights & Biases does")
            self._skip(len(_START))
        if (left := BLOCK - self.offset % BLOCK) < _HEAD.size:
            if len(self.waiting) < left:
                return None
            self._skip(left)
        if len(self.waiting) < _HEAD.size:
            return None
        check, length, kind = _HEAD.unpack_from(self.waiting)
        data = self.waiting[_HEAD.size : _HEAD.size + length]
        if len(data) < length:
            return None
        if zlib.crc32(bytes([kind]) + data) != check:
            raise Damaged(f"{self.name} is damaged at byte {self.offset}: wrong checksum of a record")
        self._skip(_HEAD.size + length)
        return kind, data

    def _skip(self, size: int) -> None:
        self.waiting, self.offset = self.waiting[size:], self.offset + size

    def _read(self, data: bytes) -> Iterator[dict[str, object]]:
        try:
            record = _record_type().FromString(data)
        except DecodeError:
            raise Damaged(f"{self.name} holds a record before byte {self.offset} that is none of W&B's") from None
        self.finals |= self._items(record.summary.update)
        if history := self._items(record.history.item):
            self.last |= history
            yield {**history, "step": history.pop("_step", record.history.step.num)}

    def _items(self, items: Any) -> dict[str, object]:
        """Names and values, of which W&B's own begin with an underscore."""
        values: dict[str, object] = {}
        for item in items:
            name = "/".join(item.nested_key) or item.key
            try:
                value = json.loads(item.value_json)
            except (ValueError, RecursionError):
                self.left_out.count(NO_POINT)
                continue
            if name == "_step" or not name.startswith("_"):
                values |= flat({name: value}, self.left_out)
        return values


@cache
def _record_type() -> Any:
    """The message of a record, with the fields that are read; the numbers are those of wandb_internal.proto."""
    kind = descriptor_pb2.FieldDescriptorProto
    text, integer = kind.TYPE_STRING, kind.TYPE_INT64
    layout: dict[str, list[tuple[str, int, int | str]]] = {
        "Item": [("key", 1, text), ("nested_key", 2, text), ("value_json", 16, text)],
        "Step": [("num", 1, integer)],
        "History": [("item", 1, "Item"), ("step", 2, "Step")],
        "Summary": [("update", 1, "Item")],
        "Record": [("history", 2, "History"), ("summary", 3, "Summary")],
    }
    file = descriptor_pb2.FileDescriptorProto(name="signoff/wandb_record.proto", package="signoff", syntax="proto3")
    for message, fields in layout.items():
        added = file.message_type.add(name=message)
        for name, place, of in fields:
            field = added.field.add(name=name, number=place)
            field.label = kind.LABEL_REPEATED if name in ("nested_key", "item", "update") else kind.LABEL_OPTIONAL
            if isinstance(of, str):
                field.type, field.type_name = kind.TYPE_MESSAGE, f".signoff.{of}"
            else:
                field.type = of
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("signoff.Record"))
