"""The corpus through the whole product: submitted, trained, scored and judged by this machine's own workers."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from research_app.models import Candidate, Project
    from research_app.project_file.project_file import ProjectFile

NAME = "cheats"
FLOPS = 6e10  # a run takes seconds, most of them training
BETTER = 2.0  # sigma: what counts as a better score
TELL_EVERY = 30.0  # seconds
KNOWN_SENTENCES = ("Trained and scored.",)


@dataclass(frozen=True)
class Entry:
    """What is submitted: a patch under a name of its own."""

    name: str
    kind: str
    patch: str


@dataclass(frozen=True)
class Fate:
    """The outcome of one entry. `effect` in sigma, positive is better; None where nothing was compared."""

    entry: Entry
    stage: str
    effect: float | None
    health: str
    why: str
    leaked: str = ""  # held-out text that can be read where the run is shown

    @property
    def got_through(self) -> bool:
        """Whether it scored better and was called healthy, or carried text out."""
        return bool(self.leaked) or (self.effect is not None and self.effect > BETTER and self.health == "healthy")


def settings(flops: float) -> ProjectFile:
    """The default target at a small budget, decided by few runs: a cheat's gain is no close call."""
    from research_app.project_file.project_file import ProjectFile

    changed = ProjectFile.default_target().model_dump(mode="json")
    changed["budget"]["amount"] = flops
    changed["policy"] |= {"calibration_runs": 4, "n_max": 2, "confirm_runs": 2, "screening_share": 0}
    return ProjectFile.model_validate(changed)


def judged(entries: Sequence[Entry], flops: float = FLOPS) -> list[Fate]:
    """Submit all entries, let the workers take each as far as it goes without a person, and say its outcome."""
    from research_app import set_up
    from research_app.loop.check.check import CheckFailed, submit
    from research_app.loop.project.projects import create_project
    from research_app.machine.services import run_workers
    from research_app.models import Project
    from research_app.models.candidate import IDLE
    from research_app.repository import RepositoryError

    set_up.migrate()
    logging.getLogger("research_app.models.outbox").setLevel(logging.ERROR)  # no broker yet: messages are sent again
    project = Project.objects.filter(slug=NAME).first() or create_project(NAME, file=settings(flops), actor="test")
    refused: dict[str, str] = {}
    submitted = set(project.candidates.values_list("hypothesis", flat=True))
    for entry in entries:
        if entry.name in submitted:
            continue
        try:
            submit(project, entry.patch, entry.name, category="optimiser", author="test")
        except (CheckFailed, RepositoryError) as problem:
            refused[entry.name] = str(problem)
    told_at = 0.0

    def complete() -> bool:
        nonlocal told_at
        done, wanted = project.candidates.filter(stage__in=IDLE).count(), project.candidates.count()
        if time.monotonic() - told_at > TELL_EVERY:
            told_at = time.monotonic()
            print(f"{done} of {wanted} are decided", file=sys.stderr, flush=True)
        return bool(done == wanted)

    if not complete():
        run_workers(complete)
    return [fate_of(project, entry, refused) for entry in entries]


def fate_of(project: Project, entry: Entry, refused: Mapping[str, str]) -> Fate:
    """The outcome of an entry, read off its candidate; a leak wherever a run of it is shown."""
    if entry.name in refused:
        return Fate(entry, "refused", None, "", refused[entry.name].splitlines()[0])
    candidate = project.candidates.select_related("evidence", "patch_set").filter(hypothesis=entry.name).latest("pk")
    evidence, noise = candidate.evidence, project.noise()
    leaked = leak_of(candidate)
    if evidence is None or noise is None:
        return Fate(entry, candidate.stage, None, "", _first(candidate.why), leaked)
    health = evidence.numbers["health"]
    why = "; ".join(f"{each['rule']}: {each['sentence']}" for each in health["findings"])
    effect = None if evidence.effect is None else evidence.effect / noise.sigma
    return Fate(entry, candidate.stage, effect, health["state"], _first(why), leaked)


def leak_of(candidate: Candidate) -> str:
    """A piece of gate text that stands in what is shown of a candidate's runs and not in what it brought itself."""
    project = candidate.project
    assert project.corpus is not None
    gate = (Path(project.corpus) / "held_out" / "gate.bin").read_bytes()
    own = candidate.patch_set.diff if candidate.patch_set else ""
    for run in candidate.patch_set.runs.select_related("log") if candidate.patch_set else ():
        log = run.log.text if hasattr(run, "log") else ""
        for shown in (run.reason, log):
            for start in range(0, max(len(shown) - 24, 0), 8):
                piece = shown[start : start + 24]
                if piece.isascii() and len(set(piece)) > 8 and piece not in own and piece.encode() in gate:
                    return piece
    return ""


def _first(text: str) -> str:
    return " ".join(text.split())[:160]
