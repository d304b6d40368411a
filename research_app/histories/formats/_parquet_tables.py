"""Parquet: candidates, runs and curves as typed columns, written a chunk at a time."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from research_app.histories.formats._plain_rows import plain, row_of, write_about
from research_app.histories.records import CandidateRecord, Export, RunRecord, chunks_of

TYPES: Mapping[Any, Any] = {
    int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_(), datetime: pa.timestamp("us", tz="UTC"),
}  # fmt: skip
CURVES = pa.schema([("run", pa.int64()), ("series", pa.string()), ("step", pa.float64()), ("value", pa.float64())])


def write_tables(export: Export, folder: Path) -> None:
    """candidates.parquet, runs.parquet with facts as JSON, curves.parquet with a row for each point, about.json."""
    _write(folder / "candidates.parquet", schema_of(CandidateRecord), (row_of(row) for row in export.candidates()))
    runs = (row_of(run) | {"facts": json.dumps(plain(run.facts), allow_nan=False)} for run, _ in export.runs())
    _write(folder / "runs.parquet", schema_of(RunRecord), runs)
    with pq.ParquetWriter(folder / "curves.parquet", CURVES) as file:
        for batch in curve_batches(export):
            file.write_batch(batch)
    write_about(export, folder)


def schema_of(record: type) -> Any:
    """Columns with the types of a record's fields; lists are of text, and other documents JSON as text."""
    return pa.schema([(name, _type(hint)) for name, hint in get_type_hints(record).items()])


def _type(hint: Any) -> Any:
    known = [each for each in get_args(hint) or (hint,) if each in TYPES]
    listed = "Sequence" in str(hint)
    return pa.list_(pa.string()) if listed else TYPES[known[0]] if known and "Mapping" not in str(hint) else pa.string()


def _write(path: Path, schema: Any, rows: Iterable[dict[str, Any]]) -> None:
    with pq.ParquetWriter(path, schema) as file:
        for chunk in chunks_of(rows):
            file.write_table(pa.Table.from_pylist(chunk, schema=schema))


def curve_batches(export: Export) -> Iterator[Any]:
    """The points of one run at a time."""
    for run, curves in export.runs():
        for name, (steps, values) in curves.items():
            count = len(steps)
            columns = [pa.repeat(pa.scalar(run.run, pa.int64()), count), pa.repeat(pa.scalar(name), count)]
            yield pa.record_batch([*columns, pa.array(steps), pa.array(values)], schema=CURVES)
