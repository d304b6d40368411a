"""Exports of a project: a folder in one of the formats of `research_app/histories/formats/`, all of it or nothing."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from django.db import transaction

from research_app.histories.records import Export
from research_app.models import Event, Project
from research_app.models.event_kinds import EventKind
from training.registry import Registry


@dataclass(frozen=True)
class ExportFormat:
    """One way out: what is written, for people; what writes it into an empty folder; a package beyond requirements.txt."""

    name: str
    words: str
    write: Callable[[Export, Path], None]
    package: str = ""  # as it is imported

    @property
    def missing(self) -> str:
        """Why it cannot be written here, with the fix; empty where it can."""
        if not self.package or find_spec(self.package):
            return ""
        return f"This format needs the package {self.package}. Install it: pip install -r requirements-export.txt"


FORMATS = Registry("export format", "research_app.histories.formats", "FORMAT", ExportFormat)


class ExportRefused(Exception):
    """Nothing was written; the message says why and what to do."""


def export_project(project: Project, name: str, out: Path, actor: str) -> Mapping[str, int]:
    """Write a project into the folder `out`: all of it or nothing. Returns how many candidates, runs and points went out.

    Raises ExportRefused, UnknownVariant, or OSError where the disk is full.
    """
    kind = FORMATS.named(name)
    if kind.missing:
        raise ExportRefused(kind.missing)
    out = out.expanduser().absolute()
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ExportRefused(f"There is something at {out} already. Name a folder that is empty or not there yet.")
    out.parent.mkdir(parents=True, exist_ok=True)
    export = Export(project)
    building = Path(tempfile.mkdtemp(prefix=f".{out.name[:40]}-", dir=out.parent))
    try:
        kind.write(export, building)
        building.chmod(0o755)
        building.rename(out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    with transaction.atomic():
        Event.objects.record(EventKind.PROJECT_EXPORTED, project, actor, project, format=name, **export.written)
    return export.written
