"""For tests of landing: a project with many constants that do not touch each other, and training that takes no time.

Git, database, queue, votes and judging are the real ones. Only a run's process is left out: the same code is executed in this
process, because what is tested here happens between the runs.
"""

import contextlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from django.db import transaction

from research_app.loop.check.check import record_patch_set
from research_app.loop.check.duplicates import Fingerprint
from research_app.loop.judge.judge import freeze
from research_app.loop.land.external_moves import adopt, notice
from research_app.loop.project.projects import create_project
from research_app.loop.review.review import Seen, approve
from research_app.loop.train import train
from research_app.models import (
    Author,
    BaselineVersion,
    Candidate,
    Event,
    Evidence,
    Landing,
    PatchSet,
    Project,
    Run,
    Stage,
    Verdict,
)
from research_app.models.event_kinds import EventKind
from research_app.project_file.project_file import ProjectFile
from tests.small_project import FILE, approver, source_repository
from training.spec import Outcome, RunResult

KNOBS = 60
HEAD = '''"""Nothing is learned here: the score follows from the constants and the seed."""

import os
import random

SEED = int(os.environ["SIGNOFF_SEED"])
'''
TAIL = """
# What is measured.
names = [name for name in globals() if name.startswith("KNOB_")]
on = [globals()[name] for name in sorted(names, key=lambda name: (len(name), name))]
noise = random.Random(SEED * 7919 + sum(2 * value + place for place, value in enumerate(on))).gauss(0, 0.001)
pairs = sum(on[first] and on[first + 1] for first in range(0, 2 * PAIRS, 2))
score = 3 - 0.01 * sum(on) + PENALTY * pairs + noise
print(f"score={score:.8f}")
"""


def knobs_file(penalty: float = 0.0, pairs: int = 1) -> str:
    """Training code with constants far enough apart that changes of two of them never conflict.

    With a penalty, the two of each of the first pairs (0 and 1, 2 and 3, …) help alone and hurt together.
    """
    blocks = [f"\n# Constant {number:02}, on its own.\n#\n#\n#\nKNOB_{number:02} = 0\n" for number in range(KNOBS)]
    return HEAD + f"PENALTY, PAIRS = {penalty}, {pairs}\n" + "".join(blocks) + TAIL


def knob(number: int, value: int = 1) -> tuple[str, str, str]:
    """The edit that switches one constant on."""
    return ("train.py", f"KNOB_{number:02} = 0\n", f"KNOB_{number:02} = {value}\n")


def knobs_project(folder: Path, slug: str = "knobs", *, penalty: float = 0.0, pairs: int = 1, **landing: Any) -> Project:
    """A project of such code, nothing trained yet. `landing` is that section of its project file."""
    settings = FILE.model_dump(mode="json")
    settings["policy"] |= {"confirm_runs": 2}
    settings["baseline"] |= {"runs": 2}
    settings["landing"] |= landing
    source = source_repository(folder / f"source-{slug}", text=knobs_file(penalty, pairs))
    return create_project(slug, source=str(source), file=ProjectFile.model_validate(settings))


def ready(project: Project, *edits: tuple[str, str, str], effect: float = 0.01, hypothesis: str = "It helps") -> Candidate:
    """A candidate at gate 2, on the tip, with solid evidence, as the loop would have left it."""
    with transaction.atomic():
        locked = Project.objects.select_for_update().get(pk=project.pk)
        number = locked.last_number + 1
        Project.objects.filter(pk=project.pk).update(last_number=number)
    version = project.tip()
    candidate = Candidate(
        project=project,
        number=number,
        hypothesis=f"{hypothesis} ({number})",
        category="optimiser",
        author_kind=Author.PERSON,
        author="ada",
        base=version,
        stage=Stage.READY,
        proposed={"edits": [list(edit) for edit in edits]},
    )
    repository = project.repository
    change = repository.change_from_edits(version.commit, edits, f"{project.slug} {candidate}", "ada")
    repository.keep(f"candidates/{number}/1", change.commit)
    with transaction.atomic():
        candidate.save()
        Event.objects.seal(
            [candidate], EventKind.CANDIDATE_PROPOSED, candidate, "ada", project, hypothesis=candidate.hypothesis
        )
        patch_set = record_patch_set(candidate, version, change, Fingerprint(change.diff_hash, "", {}), [], number=1)
        evidence = solid_evidence(patch_set, effect)
        freeze(candidate, evidence)
        Event.objects.record(EventKind.STAGE_CHANGED, candidate, "signoff", project, to=Stage.READY, why=evidence.reason)
        Candidate.objects.filter(pk=candidate.pk).update(patch_set=patch_set, evidence=evidence)
    return fresh(candidate)


def solid_evidence(patch_set: PatchSet, effect: float) -> Evidence:
    """Solid evidence that names no runs, unsaved."""
    evidence = Evidence(
        patch_set=patch_set,
        policy_version=patch_set.candidate.project.policy_version,
        verdict=Verdict.SOLID,
        reason="Confirmed on fresh seeds.",
        effect=effect,
        standard_error=0.0007,
        low=effect - 0.0014,
        high=effect + 0.0014,
        sigma=0.001,
        candidate_n=2,
        baseline_n=2,
        numbers={"confirmation": {"effect": effect, "standard_error": 0.0007, "solid": True}},
    )
    evidence.content_hash = evidence.compute_hash()
    return evidence


def fresh(candidate: Candidate) -> Candidate:
    """The candidate as it is now."""
    return Candidate.objects.with_evidence().get(pk=candidate.pk)


def approved(project: Project, *edits: tuple[str, str, str], **fields: Any) -> Candidate:
    """The same, with an approval: it is in the queue."""
    candidate = ready(project, *edits, **fields)
    approve(candidate, approver(), Seen.of(candidate))
    return candidate


def executed(run: Run, *_: Any) -> RunResult:
    """What `train.execute` gives, without a process: the run's own code is executed here."""
    file = run.project.file
    text = run.project.repository.read(run.commit, "train.py").decode()
    budget = file.run_budget(run.budget_share, run.scale).amount
    environment = {"SIGNOFF_SEED": str(run.seed), "SIGNOFF_BUDGET": str(budget), **file.rung(run.scale).environment}
    out, begun = io.StringIO(), time.time()
    with mock.patch.dict(os.environ, environment), contextlib.redirect_stdout(out):
        exec(compile(text, "train.py", "exec"), {"__name__": "__main__"})
    score = float(out.getvalue().split("score=")[1])
    return RunResult(Outcome.completed, "", score, {}, True, {"steps": 1}, out.getvalue(), "none", begun, time.time(), 0.1, 0)


@contextlib.contextmanager
def training_at_once() -> Iterator[None]:
    """Runs end as soon as they begin."""
    with mock.patch.object(train, "execute", executed):
        yield


def landed(project: Project) -> list[str]:
    """Candidates on the baseline branch, newest first, as git tells it."""
    return [value for entry in project.repository.log(200) for key, value in entry.trailers if key == "Candidate"]


def take_over(project: Project, reason: str = "It was agreed on.") -> BaselineVersion:
    """A person takes over where somebody moved the branch to by hand."""
    move = notice(project, project.repository.tip())
    assert move is not None
    return adopt(move, approver(), reason)


def check_agreement(project: Project) -> None:
    """Database and git tell the same story: every version is a commit in order, every tree was judged, nothing is twice."""
    repository = project.repository
    entries = repository.log(500)
    versions = list(project.baseline_versions.order_by("-number"))
    assert repository.tip() == versions[0].commit, "the branch is where the database says"
    outside = any(version.moved_outside for version in versions)
    if not outside:
        assert [entry.commit for entry in entries] == [version.commit for version in versions], "version by version"
    names = landed(project)
    assert len(names) == len(set(names)), f"landed twice: {names}"
    rows = Landing.objects.filter(project=project, state="landed").select_related("candidate__project", "version", "patch_set")
    assert {f"{project.slug}/{row.candidate.number}" for row in rows} == set(names), "git and the queue name the same"
    judged = set(Evidence.objects.filter(patch_set__candidate__project=project).values_list("patch_set__tree", flat=True))
    for row in rows:
        assert row.version and row.commit == row.version.commit
        assert repository.tree_of(row.commit) in judged, "what landed was judged, byte for byte"
        assert row.candidate.stage == Stage.LANDED
    assert not list(repository.path.rglob("*.lock"))
    repository.fsck()
