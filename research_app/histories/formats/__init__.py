"""Exports of a project, a format a module: `write(export, folder)` in each. They register here, and nobody asks `if`."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from django.db import transaction

from research_app.histories.records import Export
from research_app.models import Event, Project


@dataclass(frozen=True)
class Format:
    """One way out: the module that writes it, and the package that it needs beyond requirements.txt, if any."""

    words: str
    package: str = ""  # as it is imported

    @property
    def missing(self) -> str:
        """Why it cannot be written here, with the fix; empty where it can."""
        if not self.package or find_spec(self.package):
            return ""
        return f"This format needs the package {self.package}. Install it: pip install -r requirements-export.txt"


FORMATS: Mapping[str, Format] = {
    "tsv": Format("tables with tabs: candidates.tsv as a results table, runs.tsv, curves.tsv"),
    "jsonl": Format("one JSON object a line: candidates.jsonl, and runs.jsonl with their curves"),
    "tensorboard": Format("event files, a folder a run"),
    "mlflow": Format("MLflow's file store"),
    "wandb": Format("offline runs of Weights & Biases, for `wandb sync`"),
    "parquet": Format("candidates.parquet, runs.parquet, curves.parquet", "pyarrow"),
}


class ExportRefused(Exception):
    """Nothing was written; the message says why and what to do."""


def export_project(project: Project, name: str, out: Path, actor: str) -> Mapping[str, int]:
    """Write a project into the folder `out`: all of it or nothing. Returns how many candidates, runs and points went out.

    Raises ExportRefused, or OSError where the disk is full.
    """
    kind = FORMATS[name]
    if kind.missing:
        raise ExportRefused(kind.missing)
    out = out.expanduser().absolute()
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ExportRefused(f"There is something at {out} already. Name a folder that is empty or not there yet.")
    out.parent.mkdir(parents=True, exist_ok=True)
    writer = import_module(f"{__name__}.{name}_format")
    export = Export(project)
    building = Path(tempfile.mkdtemp(prefix=f".{out.name[:40]}-", dir=out.parent))
    try:
        writer.write(export, building)
        building.chmod(0o755)
        building.rename(out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    with transaction.atomic():
        Event.objects.record("project exported", project, actor, project, format=name, **export.written)
    return export.written
