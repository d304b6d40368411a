"""One JSON object a line: candidates with their diffs, runs with their facts and curves."""

import json
from pathlib import Path
from typing import Any

from research_app.histories.export import ExportFormat
from research_app.histories.formats._plain_rows import plain, row_of, write_about
from research_app.histories.records import Export


def write(export: Export, folder: Path) -> None:
    """candidates.jsonl, runs.jsonl, about.json."""
    with (folder / "candidates.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(_line(row_of(row)) for row in export.candidates())
    with (folder / "runs.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for run, curves in export.runs():
            drawn = {name: {"steps": steps.tolist(), "values": values.tolist()} for name, (steps, values) in curves.items()}
            file.write(_line(row_of(run) | {"curves": drawn}))
    write_about(export, folder)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n"


FORMAT = ExportFormat("jsonl", "one JSON object a line: candidates.jsonl, and runs.jsonl with their curves", write)
