"""Weights & Biases: a folder for each run as its offline mode leaves it, ready for `wandb sync`.

The transaction log is LevelDB's log in blocks of 32 KiB with W&B's own head, each record a protocol buffer; written here,
because the package starts a service for each run and is 56 MB. Field numbers are those of wandb_internal.proto;
`training/wandb_files.py` reads the same.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC
from pathlib import Path
from typing import BinaryIO

from research_app.histories.export import ExportFormat
from research_app.histories.formats._named_runs import (
    figures_of,
    group_of,
    key_of,
    known_candidates,
    name_of,
    rows_of_steps,
    seconds_of,
    settings_of,
)
from research_app.histories.formats._plain_rows import plain, write_about
from research_app.histories.records import CandidateRecord, Curve, Export, RunRecord

START = b":W&B\xe1\xbe\x00"
BLOCK = 1 << 15
HEAD = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
HISTORY, SUMMARY, RUN, EXIT, HEADER = 2, 3, 17, 18, 21  # fields of a record
VALUE_JSON, KEY, NESTED_KEY = 16, 1, 2  # of an item
PRODUCER, MIN_CONSUMER = "signoff", "0.40.0"


def write(export: Export, folder: Path) -> None:
    """wandb/offline-run-…/run-….wandb for each run, about.json."""
    candidates = known_candidates(export)
    (folder / "wandb").mkdir()
    for run, curves in export.runs():
        key = key_of(export, run)
        began = run.started_at.astimezone(UTC).strftime("%Y%m%d_%H%M%S") if run.started_at else "19700101_000000"
        place = folder / "wandb" / f"offline-run-{began}-{key}"
        (place / "files").mkdir(parents=True)
        candidate = candidates.get(run.candidate) if run.candidate is not None else None
        with (place / f"run-{key}.wandb").open("wb") as file:
            log = Log(file)
            for number, record in enumerate(records_of(export, run, curves, candidate, key), 1):
                log.put(whole(1, number) + record)
    write_about(export, folder)


def records_of(
    export: Export, run: RunRecord, curves: Mapping[str, Curve], candidate: CandidateRecord | None, key: str
) -> Iterator[bytes]:
    """Head, run with its settings, what was logged by step, the figures of the whole, how it ended."""
    yield part(HEADER, part(1, text(1, PRODUCER) + text(2, MIN_CONSUMER)))
    config = b"".join(part(1, item(name, value, KEY)) for name, value in settings_of(run, candidate).items())
    began = seconds_of(run.started_at)
    about = text(1, key) + text(3, export.project.slug) + part(4, config) + text(6, group_of(run)) + text(7, run.purpose)
    about += text(8, name_of(run)) + text(9, candidate.hypothesis if candidate else "") + text(10, run.scale)
    yield part(RUN, about + part(17, whole(1, int(began)) + whole(2, int(began % 1 * 1e9))))
    last = 0
    for last, values in rows_of_steps(curves):
        logged = {**values, "_step": last, "_timestamp": began, "_runtime": 0}
        items = b"".join(part(1, item(name, value, NESTED_KEY)) for name, value in logged.items())
        yield part(HISTORY, items + part(2, whole(1, last)))
    ended = {**figures_of(export, run), "_step": last, "_runtime": int(run.train_seconds or 0)}
    yield part(SUMMARY, b"".join(part(1, item(name, value, NESTED_KEY)) for name, value in ended.items()))
    yield part(EXIT, whole(1, 0 if run.outcome in ("", "completed") else 1) + whole(2, int(run.train_seconds or 0)))


class Log:
    """LevelDB's log: records in parts that end with blocks."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.offset = file, len(START)
        file.write(START)

    def put(self, data: bytes) -> None:
        first = True
        while first or data:
            left = BLOCK - self.offset % BLOCK
            if left < HEAD.size:
                self._write(b"\0" * left)
                left = BLOCK
            piece, data = data[: left - HEAD.size], data[left - HEAD.size :]
            kind = (FULL if first else LAST) if not data else (FIRST if first else MIDDLE)
            self._write(HEAD.pack(zlib.crc32(bytes([kind]) + piece), len(piece), kind) + piece)
            first = False

    def _write(self, data: bytes) -> None:
        self.file.write(data)
        self.offset += len(data)


# The few kinds of fields of a protocol buffer that are needed


def varint(value: int) -> bytes:
    """A whole number from 0 to 2⁶⁴ in groups of seven bits, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def whole(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(max(0, value))


def part(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


def text(field: int, words: str) -> bytes:
    return part(field, words.encode("utf-8", "backslashreplace")) if words else b""


def item(name: str, value: object, field: int) -> bytes:
    """A name with its value as JSON; what is not finite as W&B writes it, in quotes."""
    spoken = plain(value)
    if spoken is None and isinstance(value, float):
        spoken = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    return text(field, name) + text(VALUE_JSON, json.dumps(spoken, allow_nan=False))


FORMAT = ExportFormat("wandb", "offline runs of Weights & Biases, for `wandb sync`", write)
