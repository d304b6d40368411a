"""TensorBoard: a folder of event files for each run, with its curves and figures as scalars and what is known of it as text.

TensorBoard keeps scalars as 32-bit floats.
"""

import json
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.record_writer import RecordWriter

from research_app.histories.formats._named_runs import (
    figures_of,
    group_of,
    known_candidates,
    name_of,
    plain_name,
    seconds_of,
    settings_of,
    whole_steps,
)
from research_app.histories.formats._plain_rows import write_about
from research_app.histories.records import CandidateRecord, Curve, Export, RunRecord

EFFECTS = ("effect", "low", "high")


def write_event_files(export: Export, folder: Path) -> None:
    """A folder for each run below one for each candidate; `effects`, whose steps are numbers of candidates; about.json."""
    candidates = known_candidates(export)
    for run, curves in export.runs():
        place = folder / plain_name(group_of(run)) / plain_name(f"{name_of(run)} run {run.run}")
        _write_run(place, export, run, curves, candidates.get(run.candidate) if run.candidate is not None else None)
    with Events(folder / "effects") as events:
        for number, row in candidates.items():
            for name in EFFECTS:
                if (value := getattr(row, name)) is not None:
                    events.scalar(name, number, value, seconds_of(row.created_at))
    write_about(export, folder)


def _write_run(
    place: Path, export: Export, run: RunRecord, curves: dict[str, Curve] | Any, candidate: CandidateRecord | None
) -> None:
    began, ended, last = seconds_of(run.started_at), seconds_of(run.finished_at or run.started_at), 0
    with Events(place) as events:
        for name, curve in curves.items():
            for step, value in whole_steps(curve):
                events.scalar(name, step, value, began)
                last = max(last, step)
        for name, value in figures_of(export, run).items():
            events.scalar(f"run/{name}", last, value, ended)
        known = json.dumps(settings_of(run, candidate), indent=2, ensure_ascii=False, allow_nan=False)
        events.text("about", "\n".join(f"    {line}" for line in known.split("\n")), began)  # indented: code, and no markup


class Events:
    """An event file in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.file = (folder / "events.out.tfevents.0.signoff").open("wb")
        self.writer = RecordWriter(self.file)

    def __enter__(self) -> "Events":
        self._put(Event(file_version="brain.Event:2"))
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def scalar(self, name: str, step: int, value: float, at: float) -> None:
        self._put(Event(wall_time=at, step=step, summary=Summary(value=[Summary.Value(tag=name, simple_value=value)])))

    def text(self, name: str, words: str, at: float) -> None:
        data = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        value = Summary.Value(tag=f"{name}/text_summary", metadata=data)
        value.tensor.dtype = DT_STRING
        value.tensor.tensor_shape.CopyFrom(TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]))
        value.tensor.string_val.append(words.encode("utf-8", "backslashreplace"))
        self._put(Event(wall_time=at, step=0, summary=Summary(value=[value])))

    def _put(self, event: Event) -> None:
        self.writer.write(event.SerializeToString())
