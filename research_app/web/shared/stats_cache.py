"""Figures that take a look at every run of a project: worked out again only when one more run has ended."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import Max

from research_app.evidence.noise import Noise
from research_app.models import Project

T = TypeVar("T")
_kept: dict[tuple[int, str], tuple[Any, Any]] = {}  # of this process: {project and name: (version, figure)}


def version_of(project: Project) -> Any:
    """Changes when a run of the project ends. One query, on the index run_ended."""
    return project.runs.aggregate(newest=Max("finished_at"))["newest"]


def kept(project: Project, version: Any, figure: Callable[[Project], T]) -> T:
    """The figure of this version: from memory, or worked out now."""
    key = project.pk, f"{figure.__module__}.{figure.__qualname__}"
    entry = _kept.get(key)
    if entry is None or entry[0] != version:
        entry = _kept[key] = version, figure(project)
    value: T = entry[1]
    return value


def noise_of(project: Project) -> Noise | None:
    """Sigma for a page: it reads every score of the project's repeated runs, so not once for each page. One query otherwise."""
    return kept(project, version_of(project), Project.noise)
