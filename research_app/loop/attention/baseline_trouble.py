"""Baseline trouble: a baseline that cannot be measured, and why. Nothing can be compared with it or is proposed for it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from django.db.models import Count, Max, Min, Q

from research_app.evidence import digits
from research_app.models import BaselineVersion, Project, Purpose, Run, State
from training.spec import Outcome

Kind = Literal["seed", "failed", "stuck", "budget"]
WITHOUT_NOISE = "without run-to-run noise no effect can be told from chance."
DIGITS = "seed everything random with it (or print the metric with more digits)"
ELSE = 'Or say in the project\'s file how the code gets its seed: [seed] how = "argument" or "patch".'
SEEDS = {
    "environment": f"The code must read the environment variable SIGNOFF_SEED and {DIGITS}: {WITHOUT_NOISE} {ELSE}",
    "argument": f"The code must take the seed that its command gives it and {DIGITS}: {WITHOUT_NOISE}",
    "patch": f"What [seed] put writes into the source must {DIGITS}: {WITHOUT_NOISE}",
    "fixed": f'[seed] how = "fixed" works only where the device itself repeats nothing: here it does, and {WITHOUT_NOISE} '
    'Let the runs have seeds: [seed] how = "environment", "argument" or "patch".',
}
"""What to do where runs do not differ, by how the project's file says that they get their seeds."""

BUDGET = (
    "Candidates may spend as much, and are compared all the same. To say what is meant, let the code stop in time, or set "
    "[budget] amount in the project's file to what it really spends. Each run's page says how much that was."
)


@dataclass(frozen=True)
class BaselineTrouble:
    """What is wrong with one version. `blocking`: no candidate can be judged on it, and none is proposed for it."""

    project: Project
    version: int
    kind: Kind
    cause: str
    advice: str
    blocking: bool

    @property
    def sentence(self) -> str:
        """What is wrong, with the last words of a run or what the code must do."""
        return f"{self.cause}. {self.advice}"

    @property
    def mend(self) -> str:
        """What a person does about it."""
        anew = f"or commit the mend to the branch {self.project.file.baseline.branch} of {self.project.repository.path}: "
        anew += "it is measured once somebody takes that over on the page of the baseline"
        if self.kind in ("seed", "budget"):
            return f"Mend the code and create the project anew, {anew}."
        file = f"Where the project's file is wrong: manage.py project configure {self.project.slug} --config FILE.toml"
        return f"Mend what stands in the way and choose “Try again”, {anew}. {file} (or project delete {self.project.slug})."

    @property
    def can_be_tried_again(self) -> bool:
        """Whether fresh attempts of the same runs may go well: the same code scores the same again."""
        return self.kind in ("failed", "stuck")


@dataclass
class _ReferenceRuns:
    """The full-budget runs of one version that candidates are compared with, counted."""

    unfinished: int = 0
    completed: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # by outcome
    stuck: int = 0
    overspent: int = 0
    scores: list[float] = field(default_factory=list)  # the lowest and the highest
    newest_failed: int = 0
    newest_stuck: int = 0

    def count(
        self, state: str, outcome: str, count: int, low: float | None, high: float | None, newest: int, overspent: int
    ) -> None:
        """Add a group of runs that ended alike."""
        self.overspent += overspent
        if state == State.STUCK:
            self.stuck, self.newest_stuck = self.stuck + count, newest
        elif state != State.FINISHED:
            self.unfinished += count
        elif outcome == Outcome.completed:
            self.completed += count
            self.scores = [low or 0.0, high or 0.0]
        elif outcome != Outcome.cancelled:
            self.failed[outcome] += count
            self.newest_failed = max(self.newest_failed, newest)

    @property
    def asked(self) -> int:
        return self.unfinished + self.completed + self.failed.total() + self.stuck


def troubles_of_newest(projects: Iterable[Project]) -> dict[int, BaselineTrouble]:
    """The trouble of each project's newest version, by project; none where all is well. Three queries, however many."""
    by_pk = {project.pk: project for project in projects}
    newest = BaselineVersion.objects.filter(project__in=by_pk).order_by().values_list("project_id").annotate(Max("pk"))
    versions = {pk: by_pk[project] for project, pk in newest}
    return {trouble.project.pk: trouble for trouble in troubles_of(versions).values()}


def trouble_of(version: BaselineVersion) -> BaselineTrouble | None:
    """The trouble of one version; None where it can be measured. Two queries."""
    return troubles_of({version.pk: version.project}).get(version.pk)


def troubles_of(versions: Mapping[int, Project]) -> dict[int, BaselineTrouble]:
    """The trouble of some versions, by their keys. Two queries."""
    runs = Run.objects.of_baseline().filter(baseline__in=versions, purpose=Purpose.REFERENCE, budget_share=1.0).order_by()
    names = ("baseline_id", "baseline__number", "state", "outcome")
    over = Count("pk", filter=Q(facts__findings__icontains='"budget overrun"'))
    rows = runs.values_list(*names).annotate(Count("pk"), Min("score"), Max("score"), Max("pk"), over=over)
    references: dict[int, _ReferenceRuns] = {}
    numbers = {}
    for pk, number, *group in rows:
        numbers[pk] = number
        references.setdefault(pk, _ReferenceRuns()).count(*group)
    newest = [0, *(pk for reference in references.values() for pk in (reference.newest_failed, reference.newest_stuck) if pk)]
    reasons = dict(Run.objects.filter(pk__in=newest).values_list("pk", "reason"))
    troubles = {pk: _judged(versions[pk], numbers[pk], reference, reasons) for pk, reference in references.items()}
    return {pk: trouble for pk, trouble in troubles.items() if trouble}


def _judged(project: Project, number: int, reference: _ReferenceRuns, reasons: Mapping[int, str]) -> BaselineTrouble | None:
    """What the counts of one version say."""
    needed, failed = project.file.baseline.runs, reference.failed.total()
    lacking = reference.completed < needed and not reference.unfinished
    if reference.stuck and lacking:
        cause = f"{_count(reference.stuck)} of baseline {number} cannot be trained"
        return BaselineTrouble(project, number, "stuck", cause, reasons.get(reference.newest_stuck, ""), blocking=True)
    if failed and (failed > needed // 2 or not reference.completed):
        ends = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in reference.failed.most_common())
        cause = f"{failed} of {_count(reference.asked)} of baseline {number} did not end well ({ends})"
        advice = f"Nothing can be compared with what has no score. The newest run: {reasons.get(reference.newest_failed, '')}"
        return BaselineTrouble(project, number, "failed", cause, advice, blocking=lacking)
    if reference.completed > 1 and reference.scores[0] == reference.scores[1]:
        which = f"All {reference.completed}" if not reference.unfinished else f"The first {reference.completed}"
        score = digits.number(reference.scores[0], 6)
        cause = f"{which} runs of baseline {number} scored exactly the same, {score}, whatever their seed"
        return BaselineTrouble(
            project, number, "seed", cause, SEEDS[project.file.seed.how], blocking=not lacking and not reference.unfinished
        )
    if reference.overspent:
        cause = f"{reference.overspent} of {_count(reference.asked)} of baseline {number} spent more than their budget"
        return BaselineTrouble(project, number, "budget", cause, BUDGET, blocking=False)
    return None


def _count(runs: int) -> str:
    return f"{runs} run{'s'[: runs != 1]}"
