"""A project with a ladder whose runs take a tenth of a second: one change that holds at any scale, and one that does not."""

import difflib
import math
import random
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q
from django.utils import timezone

from research_app.loop.check import check
from research_app.loop.review.review import Seen
from research_app.loop.scale_up.scale_up import scale_up
from research_app.loop.scale_up.shortlist import Pick, Plan, approve_scale_ups
from research_app.models import Candidate, Project, Run, ScaleUp, SeriesChunk, State
from research_app.project_file.project_file import ProjectFile
from tests.factories import BASE_SCORE, SIGMA, facts_of, make_series
from tests.small_project import drain, trained
from training.spec import Outcome

TRAIN = '''"""Learn nothing, at any scale: the score falls with the logarithm of the budget, as losses do."""

import math
import os
import random

LEARNING_RATE = 0.01

# Far enough from each other that a change of one is no context of a change of the other.
SEED = int(os.environ["SIGNOFF_SEED"])
BUDGET = float(os.environ["SIGNOFF_BUDGET"])
SIZE = float(os.environ.get("SIGNOFF_SIZE", "1"))
NOISE = 0.001  # not a knob

# What helps a small model and nobody else.
CRUTCH = 0.0

# The end of the file: what is trained,
# what is measured,
# and what is said.
chance = random.Random(SEED * 7919 + BUDGET)
help_of_the_crutch = CRUTCH if SIZE == 1 else -CRUTCH / 2
score = 2 - 0.05 * math.log(BUDGET) + abs(LEARNING_RATE - 0.02) - help_of_the_crutch + chance.gauss(0, NOISE)
for step in range(1, 11):
    print(f"step={step} train_loss={score + 1 / step:.6f}")
print(f"score={score:.8f}")
'''
NUMBER = r"[-+.\deinfa]+"
PATTERN = rf"step=(?P<step>\d+) train_loss=(?P<train_loss>{NUMBER})|score=(?P<score>{NUMBER})"
CONFIG: dict[str, Any] = {
    "metric": {"name": "loss", "source": "pattern", "key": "score", "pattern": PATTERN},
    "data": {"corpus": "none"},
    "budget": {"kind": "wall_seconds", "amount": 20},
    "train": {"wall_limit_seconds": 20},
    "edit": {"protected": ["README.md"]},
    "policy": {"calibration_runs": 4, "confirm_runs": 3},
    "ladder": [
        {"name": "S", "price": 2.0},
        {"name": "M", "budget": 8, "seeds": 4, "settings": {"size": 2}, "price": 2.0},
        {"name": "L", "budget": 64, "seeds": 3, "settings": {"size": 4}, "price": 10.0, "curve": [0.8, 1.3]},
    ],
    "scale_up": {"budget_hours": 50, "currency": "EUR"},
}
HOLDS = ("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.02")
DOES_NOT_HOLD = ("CRUTCH = 0.0", "CRUTCH = 0.012")
ALSO_THE_RATE = ("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.018")


def ladder_project(slug: str = "ladder", **config: Any) -> Project:
    """The project, its reference runs at S trained."""
    file = ProjectFile.model_validate(CONFIG | config)
    return trained(slug, file, TRAIN)


def submit(project: Project, *changes: tuple[str, str], hypothesis: str = "It learns faster") -> Candidate:
    """Enter a change by hand and take it as far as it goes without a person."""
    after = TRAIN
    for old, new in changes:
        assert after.count(old) == 1
        after = after.replace(old, new)
    lines = difflib.unified_diff(TRAIN.splitlines(True), after.splitlines(True), "a/train.py", "b/train.py")
    candidate = check.submit(project, "".join(lines), hypothesis, category="optimiser", author="ada")
    drain()
    return fresh(candidate)


def fresh(candidate: Candidate) -> Candidate:
    return Candidate.objects.with_evidence().get(pk=candidate.pk)


def pick(candidate: Candidate, *plans: tuple[str, int]) -> Pick:
    """A candidate as it is now, for these rungs; without any, for M with its four seeds."""
    shown = fresh(candidate)
    return Pick(shown, Seen.of(shown), [Plan(*plan) for plan in plans or (("M", 4),)])


def approve(candidate: Candidate, reviewer: User, *plans: tuple[str, int]) -> ScaleUp:
    """Approve the scale-up of one candidate; its runs wait in the queue."""
    [step] = approve_scale_ups(candidate.project, [pick(candidate, *plans)], reviewer)
    return step


def finish(step: ScaleUp, gain: float) -> None:
    """End all runs of a scale-up's rung as rows, without training: the candidate better by `gain` there, and judge it."""
    whose = Q(patch_set=step.patch_set) | Q(patch_set=None)
    runs = Run.objects.filter(whose, scale=step.rung, state=State.QUEUED)
    for number, run in enumerate(runs.order_by("pk")):
        better = gain if run.patch_set_id else 0.0
        score = BASE_SCORE - 0.3 - 0.1 * math.log(run.budget_share) - better + SIGMA * 0.4 * (number % 3 - 1)
        series, facts = make_series(random.Random(run.pk), score), facts_of(random.Random(run.pk))
        budget = run.project.file.run_budget(run.budget_share, run.scale).amount
        facts |= {"flops": int(float(facts["flops"]) * budget / run.project.file.budget.amount)}
        SeriesChunk.objects.create(run=run, sequence=0, points=series)
        Run.objects.filter(pk=run.pk).update(
            state=State.FINISHED, outcome=Outcome.completed, score=score, progress=1.0, train_seconds=90.0 * run.budget_share,
            started_at=timezone.now(), finished_at=timezone.now(), facts=facts,
        )  # fmt: skip
    scale_up(step.patch_set_id, "test")
