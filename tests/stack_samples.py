"""Stacks of planted truth: what each change brings alone and what pairs bring beyond that is written in the training code.

Git, database, queue and the check are the real ones; the runs are executed in this process (landing_samples.training_at_once),
or as processes of their own where a test asks for that.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from research_app.evidence.ablation import Report, read
from research_app.loop.project.projects import create_project
from research_app.loop.stacks import stack_trees
from research_app.loop.stacks.ablate import begin_ablation
from research_app.models import Ablation, Candidate, Project
from research_app.project_file.project_file import ProjectFile
from tests.landing_samples import approved, fresh, knob, ready
from tests.small_project import FILE, drain, source_repository

SIGMA = 0.001
KNOBS = 12
HEAD = '''"""Nothing is learned here: the score follows from what is switched on and from the seed."""

import os
import random

SEED = int(os.environ["SIGNOFF_SEED"])
SINGLE = {single}
PAIRS = {pairs}
TRIPLES = {triples}
NOISE = {noise}
'''
TAIL = """
# What is measured.
on = [number for number in range(KNOBS) if globals()[f"KNOB_{number:02}"]]
gain = sum(SINGLE.get(number, 0.0) for number in on)
gain += sum(more for pair, more in PAIRS.items() if set(pair) <= set(on))
gain += sum(more for triple, more in TRIPLES.items() if set(triple) <= set(on))
chance = random.Random(SEED * 7919 + sum(1 << number for number in on))
print(f"score={3 - gain + chance.gauss(0, NOISE):.8f}")
"""


def same_seeds(patch: pytest.MonkeyPatch) -> None:
    """The luck of a test is its own, whatever was checked before in the same database."""
    patch.setattr(stack_trees, "SEEDS", 0)
    patch.setattr(stack_trees, "FIRST_SEED", 6_500_000)


@dataclass(frozen=True)
class Truth:
    """What is planted, by the number of the constant: alone, and beyond the sum for pairs and triples."""

    single: Mapping[int, float]
    pairs: Mapping[tuple[int, int], float] = field(default_factory=dict)
    triples: Mapping[tuple[int, int, int], float] = field(default_factory=dict)
    noise: float = SIGMA

    def gain(self, on: Sequence[int]) -> float:
        """The true gain of a tree."""
        both = [self.pairs.get(pair, 0.0) for pair in itertools.combinations(sorted(on), 2)]
        three = [self.triples.get(triple, 0.0) for triple in itertools.combinations(sorted(on), 3)]
        return sum(self.single.get(number, 0.0) for number in on) + sum(both) + sum(three)

    @property
    def code(self) -> str:
        """Training code in which constants stand far enough apart that no two changes conflict."""
        blocks = [f"\n# Constant {number:02}, on its own.\n#\n#\n#\nKNOB_{number:02} = 0\n" for number in range(KNOBS)]
        planted = {"single": dict(self.single), "pairs": dict(self.pairs), "triples": dict(self.triples), "noise": self.noise}
        return HEAD.format(**planted) + f"KNOBS = {KNOBS}\n" + "".join(blocks) + TAIL


@dataclass(frozen=True)
class Planted:
    """A project with some changes landed in order and others waiting; candidates by the number of their constant."""

    project: Project
    truth: Truth
    candidates: Mapping[int, Candidate]
    landed: Sequence[int]

    def check(self) -> Ablation:
        """Run a check of all of them to its end."""
        check = begin_ablation(self.project, [fresh(c) for c in self.candidates.values()], True, "grace")
        drain(limit=3000)
        check.refresh_from_db()
        return check

    def report(self) -> Report:
        """What a check of all of them finds."""
        check = self.check()
        report = read(check.result)
        assert report is not None, check.reason
        return report

    def knob_of(self, change: str) -> int:
        """The constant that a change switches."""
        return next(number for number, candidate in self.candidates.items() if str(candidate.number) == change)

    def loss_without(self, number: int) -> float:
        """What the baseline truly loses when one landed change is taken out."""
        return self.truth.gain(self.landed) - self.truth.gain([other for other in self.landed if other != number])


def planted(folder: Path, truth: Truth, landed: Sequence[int], waiting: Sequence[int], slug: str = "planted") -> Planted:
    """A project whose changes have landed in this order, and others that wait at gate 2; each was approved on 0.010."""
    settings = FILE.model_dump(mode="json")
    settings["policy"] |= {"confirm_runs": 2}
    settings["baseline"] |= {"runs": 2}
    source = source_repository(folder / f"source-{slug}", text=truth.code)
    project = create_project(slug, source=str(source), file=ProjectFile.model_validate(settings))
    drain(limit=500)
    candidates = {}
    for number in landed:
        candidates[number] = approved(project, knob(number), effect=0.01)
        drain(limit=500)
    for number in waiting:
        candidates[number] = ready(project, knob(number), effect=0.01)
    return Planted(project, truth, candidates, landed)
