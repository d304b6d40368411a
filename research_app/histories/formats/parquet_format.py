"""Parquet, which needs a package beyond requirements.txt."""

from pathlib import Path

from research_app.histories.export import ExportFormat
from research_app.histories.records import Export


def write(export: Export, folder: Path) -> None:
    from research_app.histories.formats._parquet_tables import write_tables

    write_tables(export, folder)


FORMAT = ExportFormat("parquet", "candidates.parquet, runs.parquet, curves.parquet", write, package="pyarrow")
