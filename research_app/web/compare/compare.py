"""/projects/<slug>/compare/ : up to 50 candidates or runs over each other: curves, scores, and what differs in the code."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from agent.constants import find_constants
from research_app.evidence.averages import deviation, mean
from research_app.loop.judge.same_minutes import BENT, SameMinutes, kinds_of, of_same_minutes
from research_app.models import BaselineVersion, Candidate, Project, Run, Verdict
from research_app.models.run import is_usable
from research_app.project_file.ladder import SMALLEST
from research_app.repository import Repository, RepositoryError
from research_app.strict_json import StrictJsonResponse
from research_app.web.candidate.resources import FACTS, mean_fact
from research_app.web.candidates.candidates import for_list
from research_app.web.shared import charts, live
from research_app.web.shared.access import get_project, researcher
from research_app.web.shared.charts import Arms
from research_app.web.shared.effects import Effect, effect_of
from research_app.web.shared.unchanged import still

MOST = 50
MOST_CONSTANTS = 100  # rows: what differs more is a table of numbers
OFFERED = 10  # candidates in a ready-made comparison
_RUN = re.compile(r"\b(?:run|r)[\s-]*(?=\d)", re.IGNORECASE)
_ITEM = re.compile(r"(?:[cC]-?)?(\d{1,9})|r(\d{1,9})")


class BadSelection(ValueError):
    """What was asked for cannot be compared; the message says what to leave out."""


@dataclass(frozen=True)
class Asked:
    """What the address names: numbers of candidates and ids of runs, each once, in the order asked for."""

    candidates: Sequence[int]
    runs: Sequence[int]

    @classmethod
    def of(cls, request: HttpRequest) -> "Asked":
        """`?c=3,7&r=120`, repeated or with commas, or `?items=C-3, C-7, run 120` as people type it. Raises BadSelection."""
        candidates, runs = _numbers(request, "c"), _numbers(request, "r")
        for word in filter(None, re.split(r"[,;\s]+", _RUN.sub("r", request.GET.get("items", "")))):
            if not (match := _ITEM.fullmatch(word)):
                raise BadSelection(f"“{word[:40]}” is neither a candidate nor a run: write C-12 or run 340.")
            (candidates if match[1] else runs).append(int(match[1] or match[2]))
        selection = cls(list(dict.fromkeys(candidates)), list(dict.fromkeys(runs)))
        if (count := len(selection.candidates) + len(selection.runs)) > MOST:
            raise BadSelection(f"{count} were asked for, at most {MOST} can be compared: leave out {count - MOST}.")
        return selection

    @property
    def query(self) -> str:
        """As it stands in an address."""
        query = {"c": self.candidates, "r": self.runs}
        return urlencode({key: ",".join(map(str, numbers)) for key, numbers in query.items() if numbers}, safe=",")

    @property
    def words(self) -> str:
        """As people type it."""
        return ", ".join([*(f"C-{number}" for number in self.candidates), *(f"run {pk}" for pk in self.runs)])


def _numbers(request: HttpRequest, key: str) -> list[int]:
    words = [word.strip() for value in request.GET.getlist(key) for word in value.split(",") if word.strip()]
    for word in words:
        if not re.fullmatch(r"\d{1,9}", word):
            raise BadSelection(f"“{word[:40]}” is not a number of a {'candidate' if key == 'c' else 'run'}.")
    return [int(word) for word in words]


@dataclass(frozen=True)
class Chosen:
    """The rows behind an address, and what it named that this project does not have."""

    project: Project
    selection: Asked
    candidates: Sequence[Candidate]
    runs: Sequence[Run]

    @classmethod
    def of(cls, project: Project, selection: Asked) -> "Chosen":
        """Two queries."""
        candidates = {c.number: c for c in for_list(project.candidates.filter(number__in=selection.candidates)).select_related(
            "project", "patch_set__base", "base", "evidence")}  # fmt: skip
        runs = project.runs.filter(pk__in=selection.runs).select_related("baseline", "patch_set__candidate", "patch_set__base")
        by_pk = {run.pk: run for run in runs.defer("patch_set__diff")}
        return cls(
            project,
            selection,
            [candidates[number] for number in selection.candidates if number in candidates],
            [by_pk[pk] for pk in selection.runs if pk in by_pk],
        )

    @property
    def missing(self) -> str:
        """What was asked for and is not there, in words; empty where all is."""
        numbers = {candidate.number for candidate in self.candidates}, {run.pk for run in self.runs}
        words = [f"candidate C-{number}" for number in self.selection.candidates if number not in numbers[0]]
        words += [f"run {pk}" for pk in self.selection.runs if pk not in numbers[1]]
        return f"{self.project.slug} has no {', no '.join(words)}." if words else ""

    @property
    def found(self) -> Asked:
        """Of what was asked for what is there."""
        return Asked([candidate.number for candidate in self.candidates], [run.pk for run in self.runs])

    @property
    def bases(self) -> list[BaselineVersion]:
        """The baselines that the chosen ones are compared with, oldest first."""
        bases = {version.pk: version for version in (*map(base_of, self.candidates), *(run.baseline for run in self.runs))}
        return sorted(bases.values(), key=lambda version: version.number)

    def arms(self, asked_scale: str) -> Arms:
        """Their runs: a baseline's first, then in the order asked for. One query."""
        bases, ours = self.bases, [c.patch_set_id for c in self.candidates if c.patch_set_id]
        mine = Q(patch_set__in=ours) | Q(pk__in=[run.pk for run in self.runs])
        runs = charts.started(self.project.runs.filter(mine | charts.of_bases(bases)))
        scales = list(dict.fromkeys(r.scale for r in sorted(runs, key=lambda r: r.pk) if r.patch_set_id in ours)) or [SMALLEST]
        scale = asked_scale if asked_scale in scales else scales[0]
        at_scale = [run for run in runs if run.scale == scale]
        references = [r for r in at_scale if r.patch_set_id is None and r.cell_id is None and r.budget_share == 1.0]
        arms = [
            charts.Arm(
                f"b{base.number}", f"baseline {base.number}", "baseline", [r for r in references if r.baseline_id == base.pk]
            )
            for base in bases
        ]
        for candidate in self.candidates:
            theirs = [run for run in at_scale if run.patch_set_id and run.patch_set_id == candidate.patch_set_id]
            key, base = f"c{candidate.number}", f"b{base_of(candidate).number}"
            arms.append(charts.Arm(key, str(candidate), "candidate", theirs, base, candidate.title, candidate.colour))
        arms += [
            charts.Arm(f"r{run.pk}", run_name(run), "candidate", [run], f"b{run.baseline.number}", colour=colour_of(run))
            for run in self.runs
        ]  # of whatever scale: a run was asked for by name
        return Arms(arms, scale, scales)


def base_of(candidate: Candidate) -> BaselineVersion:
    """The version that its runs are compared with."""
    return candidate.patch_set.base if candidate.patch_set else candidate.base


def colour_of(run: Run) -> str:
    """That of its candidate; a baseline's run has that of baselines."""
    return run.patch_set.candidate.colour if run.patch_set else ""


def run_name(run: Run) -> str:
    """Short enough for a legend."""
    group = str(run.patch_set.candidate) if run.patch_set else f"baseline {run.baseline.number}"
    return f"{group} seed {run.seed}"


@researcher
@require_safe
@still(curves=True)
def compare(request: HttpRequest, slug: str) -> HttpResponse:
    """The page. Its number of queries does not depend on how many are compared."""
    project = get_project(request, slug)
    context: dict[str, Any] = {"project": project, "most": MOST, "typed": request.GET.get("items", "")}
    try:
        selection = Asked.of(request)
    except BadSelection as problem:
        return render(request, "compare/compare.html", context | {"problem": str(problem)}, status=400)
    if not selection.candidates and not selection.runs:
        return render(request, "compare/compare.html", context | {"offers": offers(project)})
    chosen = Chosen.of(project, selection)
    context |= {"typed": selection.words, "problem": chosen.missing}
    if not chosen.candidates and not chosen.runs:
        return render(request, "compare/compare.html", context, status=404)
    arms = chosen.arms(request.GET.get("scale", ""))
    address = reverse("compare", args=[slug])
    selection = chosen.found
    context |= {
        "asked": selection,
        "curves_source": f"{address}curves.json?{selection.query}",
        "constants_source": f"{address}constants/?{selection.query}",
        "scale": arms.scale,
        "overview": True,  # a strip below the curves with the window that is looked at
        "scores": scores_of(chosen, arms),
        "chart_version": live.version(" ".join(f"{r.pk}:{r.state}:{r.progress:.3f}" for arm in arms.arms for r in arm.runs)),
    }
    return live.page(
        request, "compare/compare.html", {"scores": "compare/_scores.html", "curves-mark": "run/_mark.html"}, context
    )


@researcher
@require_safe
def compare_curves(request: HttpRequest, slug: str) -> HttpResponse:
    """The data of the page's curves."""
    project = get_project(request, slug)
    try:
        chosen = Chosen.of(project, Asked.of(request))
    except BadSelection as problem:
        return StrictJsonResponse({"error": str(problem)}, status=400)
    if chosen.missing:
        return StrictJsonResponse({"error": chosen.missing}, status=404)
    return charts.answer(request, chosen.arms(request.GET.get("scale", "")), f"{slug}-compared")


@researcher
@require_safe
def compare_constants(request: HttpRequest, slug: str) -> HttpResponse:
    """The constants of the code that differ between what is compared: a piece of page, read from git after the curves."""
    project = get_project(request, slug)
    try:
        chosen = Chosen.of(project, Asked.of(request))
    except BadSelection as problem:
        return render(request, "compare/_constants.html", {"trouble": str(problem)}, status=400)
    return render(request, "compare/_constants.html", {"project": project, **differing(chosen)})


@dataclass(frozen=True)
class Offer:
    """A ready-made comparison."""

    words: str
    query: str
    count: int


def offers(project: Project) -> list[Offer]:
    """What people compare most. One query for each."""
    scored = project.candidates.filter(evidence__isnull=False).exclude(evidence__verdict=Verdict.INVALID)
    groups = {
        "the largest gains": scored.order_by("-evidence__effect"),
        "what waits for a decision": project.candidates.waiting_for_review().order_by("stage_since"),
        "what landed last": project.candidates.on_the_baseline().order_by("-stage_since"),
        "the newest with a score": scored.order_by("-number"),
    }
    numbers_of_groups = {words: list(rows.values_list("number", flat=True)[:OFFERED]) for words, rows in groups.items()}
    return [
        Offer(words, f"c={','.join(map(str, numbers))}", len(numbers))
        for words, numbers in numbers_of_groups.items()
        if numbers
    ]


@dataclass(frozen=True)
class Row:
    """One group in the table of scores: mean, sample standard deviation, n and best, or why they are not shown."""

    key: str
    name: str
    role: str
    address: str
    words: str
    scores: Sequence[float]
    hidden: bool
    sign: float
    candidate: Candidate | None
    effect: Effect | None
    facts: Sequence[str]
    colour: str = ""

    @property
    def n(self) -> int:
        return len(self.scores)

    @property
    def mean(self) -> float | None:
        return mean(self.scores)

    @property
    def std(self) -> float | None:
        return deviation(self.scores)

    @property
    def best(self) -> float | None:
        return min(self.scores, key=lambda score: self.sign * score, default=None)


def scores_of(chosen: Chosen, arms: Arms) -> dict[str, Any]:
    """The table of scores, and of the measured facts that differ. Health hides a score here too. One query."""
    candidates = {f"c{candidate.number}": candidate for candidate in chosen.candidates}
    runs = {f"r{run.pk}": run for run in chosen.runs}
    sign, home = chosen.project.sign, chosen.project.get_absolute_url()
    columns = [(key, words, written) for key, words, written in FACTS if differs(arms, key)]
    rows, kinds = [], kinds_of([run for arm in arms.arms for run in arm.runs])
    for arm in arms.arms:
        candidate, run = candidates.get(arm.key), runs.get(arm.key)
        of = candidate or (run.patch_set.candidate if run and run.patch_set else None)
        hidden = bool(candidate and candidate.evidence and candidate.evidence.verdict == Verdict.INVALID)
        effect = effect_of(candidate.evidence) if candidate and candidate.evidence and arms.scale == SMALLEST else None
        address = f"{home}runs/{run.pk}/" if run else f"{home}candidates/{of.number}/" if of else f"{home}baseline/"
        scores = [] if hidden else [each.score for each in arm.runs if each.score is not None and is_usable(each.score)]
        beside = of_same_minutes(arms.arms[0].runs, arm.runs, kinds)
        facts = [told_fact(arm.runs, beside, key, written) for key, _, written in columns]
        words = of.title if of else ""
        rows.append(
            Row(arm.key, arm.name, arm.role, address, words, scores, hidden, sign, candidate, effect, facts, arm.colour)
        )
    return {"rows": rows, "columns": [words for _, words, _ in columns]}


def told_fact(runs: Sequence[Run], beside: SameMinutes, key: str, written: Callable[[float | None], str]) -> str:
    """A fact of one group; where the machine's load bends it, over its runs of the same minutes as the first group's alone."""
    if key in BENT and beside.why_not:
        return "other minutes"
    return written(mean_fact(beside.candidate if key in BENT else runs, key))


def differs(arms: Arms, key: str) -> bool:
    """Whether a measured fact differs by more than half a percent between any two groups."""
    means = [value for arm in arms.arms if (value := mean_fact(arm.runs, key)) is not None]
    return bool(means) and max(means) - min(means) > 0.005 * max(abs(min(means)), abs(max(means)))


@dataclass(frozen=True)
class Side:
    """What has constants of its own: a baseline, a candidate with its effect, or a run."""

    name: str
    commit: str
    colour: str = ""
    effect: Effect | None = None


def differing(chosen: Chosen) -> Mapping[str, Any]:
    """Per constant that differs its value in every group; read from the code itself, not from what was said about it."""
    sides = [Side(f"baseline {base.number}", base.commit) for base in chosen.bases]
    sides += [
        Side(str(candidate), candidate.patch_set.commit, candidate.colour, effect_of(candidate.evidence))
        for candidate in chosen.candidates
        if candidate.patch_set
    ]
    sides += [Side(run_name(run), run.commit, colour_of(run)) for run in chosen.runs]
    patterns = chosen.project.file.edit.editable
    try:
        constants_of_sides = [constants_at(chosen.project, side.commit, patterns) for side in sides]
    except RepositoryError as problem:
        return {"trouble": f"The code cannot be read: {problem}"}
    labels = list(dict.fromkeys(name for constants in constants_of_sides for name in constants))
    table = [
        (name, [constants.get(name, "–") for constants in constants_of_sides])
        for name in labels
        if len({constants.get(name) for constants in constants_of_sides}) > 1
    ]
    listed = table[:MOST_CONSTANTS]
    short = _short([name for name, _ in listed])
    constants = [(short[name], name, values) for name, values in listed]
    return {"sides": sides, "constants": constants, "more": len(table) - len(listed)}


def _short(names: Sequence[str]) -> dict[str, str]:
    """Names without their file, where that is unambiguous."""
    last = [name.rpartition(":")[2] for name in names]
    return {name: short if last.count(short) == 1 else name for name, short in zip(names, last, strict=True)}


def constants_at(project: Project, commit: str, patterns: tuple[str, ...]) -> Mapping[str, str]:
    """The constants of the editable files of a commit: {file:name: literal}. Raises RepositoryError."""
    return _constants_at(project.repository.path, project.repository.branch, commit, patterns)


@lru_cache(maxsize=512)
def _constants_at(path: Path, branch: str, commit: str, patterns: tuple[str, ...]) -> Mapping[str, str]:
    constants: dict[str, str] = {}
    for name, text in Repository(path, branch).texts(commit, patterns).items():
        if not name.endswith(".py"):
            continue
        try:
            constants |= {constant.name: constant.literal for constant in find_constants(name, text)}
        except SyntaxError:
            continue  # code that does not parse has no constants; its candidate's page says so
    return constants
