"""TensorBoard's event files; its package takes a while to import."""

from pathlib import Path

from research_app.histories.export import ExportFormat
from research_app.histories.records import Export


def write(export: Export, folder: Path) -> None:
    from research_app.histories.formats._event_files import write_event_files

    write_event_files(export, folder)


FORMAT = ExportFormat("tensorboard", "event files, a folder a run", write)
