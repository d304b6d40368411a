"""/projects/<slug>/imported/ : histories of other loops, what their reported scores are worth, and judging a row again."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from agent.proposal import CATEGORIES
from research_app.access import may_operate
from research_app.evidence import digits
from research_app.evidence.noise import Noise
from research_app.evidence.reported import Attempt, HistoryAudit, Reported, audit_history
from research_app.histories.bring_in import title_of_result
from research_app.histories.rejudge import RejudgeRefused, rejudge
from research_app.loop.check.check import CheckFailed
from research_app.models import ImportedHistory, ImportedResult, ReportedOutcome
from research_app.models.run import is_usable
from research_app.repository import RepositoryError
from research_app.strict_json import StrictJsonResponse
from research_app.web.diff.diff import parse, prepare, too_large
from research_app.web.diff.lines import FileDiff
from research_app.web.diff.rows import rows as diff_rows
from research_app.web.project.progress import thinned
from research_app.web.shared import live
from research_app.web.shared.access import get_project, operator, researcher
from research_app.web.shared.drafts import refuse

ON_A_PAGE = 100
MOST_KEEPS, MOST_MISSES = 200, 15
MOST_STEPS = 300  # incumbents whose band is drawn
INLINE_LINES = 3000  # of a diff
MOST_WORDS = 240  # characters of a row's words in the chart


@researcher
@require_safe
def imports(request: HttpRequest, slug: str) -> HttpResponse:
    """Every history of the project. Two queries."""
    project = get_project(request, slug)
    counts = {outcome.value: Count("results", filter=Q(results__outcome=outcome.value)) for outcome in ReportedOutcome}
    histories = project.imported_histories.annotate(rejudged=Count("results__candidate"), **counts).order_by("-pk")
    page = Paginator(histories, ON_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "history/imports.html", {"project": project, "page": page})


@researcher
@require_safe
def imported_history(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """What one history is worth, and its rows. As many queries for ten rows as for ten thousand."""
    history = history_of(request, slug, pk)
    audit = audited(history)
    listed = history.results.for_list().select_related("candidate__project", "candidate__duplicate_of")
    page = Paginator(listed, ON_A_PAGE).get_page(request.GET.get("page"))
    listed_rows = [*audit.keeps[:MOST_KEEPS], *audit.near_misses[:MOST_MISSES]]
    by_number = {row.number: row for row in listed.filter(number__in=[each.row.number for each in listed_rows])}
    gains, floor = {each.row.number: each for each in audit.attempts}, audit.noise.floor if audit.noise else None
    for row in page.object_list:
        row.history = history
    context = {
        "project": history.project,
        "history": history,
        "audit": audit,
        "estimates": estimates_of(history, audit),
        "keeps": claims_of(audit.keeps[:MOST_KEEPS], by_number, history, audit),
        "total": digits.gain(audit.concentration.total, floor) if audit.concentration else digits.UNKNOWN,
        "by_chance": digits.gain(audit.by_chance, floor),
        "contradicted": history.results.filter(outcome=ReportedOutcome.KEEP).exclude(contradictions=[]).count(),
        "near_misses": claims_of(audit.near_misses[:MOST_MISSES], by_number, history, audit),
        "better_misses": sum(each.gain > 0 for each in audit.near_misses),
        "page": page,
        "rows": [Claim(row, gains.get(row.number), floor) for row in page.object_list],
        "counts": counts_of(history),
        "chart_version": f"{history.rows_digest[:12]}",
    }
    return render(request, "history/imported.html", context)


@researcher
@require_safe
def imported_progress(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Every reported score by row, what was kept, and the noise around it."""
    history = history_of(request, slug, pk)
    audit = audited(history)
    floor = audit.noise.floor if audit.noise else None
    small = {each.row.number for each in audit.smaller}
    kinds: dict[str, list[Dot]] = {"discard": [], "keep": [], "small": [], "baseline": [], "unscored": []}
    steps: list[tuple[int, float]] = []
    last = 0
    for row in reported(history):
        last = row.number
        kind = "unscored" if row.score is None else "small" if row.number in small else row.outcome
        kinds[kind if kind in kinds else "discard"].append(Dot(row.number, row.score, row.words, row.outcome))
        if row.score is not None and row.outcome in ("baseline", "keep"):
            steps.append((row.number, row.score))
    body = {
        "title": f"reported {history.metric}",
        "direction": "lower" if history.lower_is_better else "higher",
        "address": history.get_absolute_url(),
        "points": {kind: [dot.plain() for dot in thinned(dots)] for kind, dots in kinds.items()},
        "steps": {"x": [x for x, _ in steps], "y": [y for _, y in steps]},
        "most_bands": MOST_STEPS,
        "floor": floor,
        "last": last,
    }
    return live.with_etag(request, StrictJsonResponse(body), history.rows_digest[:16])


@researcher
@require_safe
def imported_result(request: HttpRequest, slug: str, pk: int, number: int) -> HttpResponse:
    """One row: its words, what its commit says, its diff, and judging it again."""
    history = history_of(request, slug, pk)
    return result_page(request, history, result_of(history, number))


@operator
@require_POST
def rejudge_imported(request: HttpRequest, slug: str, pk: int, number: int) -> HttpResponse:
    """Submit a row's diff as an ordinary candidate and show that; or say why it cannot be one."""
    history = history_of(request, slug, pk)
    result = result_of(history, number)
    assert isinstance(request.user, User)  # the decorator lets nobody else in
    category = request.POST.get("category", "")
    try:
        if category not in CATEGORIES:
            raise RejudgeRefused(f"Choose what kind of change it is: {', '.join(CATEGORIES)}.")
        name = request.user.get_username()
        candidate = rejudge(result, author=name, category=category, submitted_by_id=request.user.pk)
    except (RejudgeRefused, CheckFailed, RepositoryError, ValueError) as problem:
        refuse(request, str(problem))
        return redirect(result)
    messages.info(request, f"{candidate} judges row {number} of {history.name} with runs of its own.")
    return redirect(candidate)


def history_of(request: HttpRequest, slug: str, pk: int) -> ImportedHistory:
    """A history of this project, if this person may see that; 404 otherwise."""
    project = get_project(request, slug)
    history = get_object_or_404(ImportedHistory, project=project, pk=pk)
    history.project = project
    return history


def result_of(history: ImportedHistory, number: int) -> ImportedResult:
    """A row of it; 404 otherwise."""
    results = ImportedResult.objects.select_related("candidate__project", "candidate__duplicate_of")
    result = get_object_or_404(results, history=history, number=number)
    result.history = history
    return result


# What the numbers say


@dataclass(frozen=True)
class Claim:
    """One row as a table shows it: its words and reported score, what it claims to gain, and the noise beside that."""

    result: ImportedResult
    attempt: Attempt | None
    floor: float | None

    @property
    def title(self) -> str:
        return title_of_result(self.result)

    @property
    def gain(self) -> str:
        """With as many digits as the noise leaves."""
        return digits.gain(self.attempt.gain, self.floor) if self.attempt else digits.UNKNOWN

    @property
    def in_noise(self) -> float | None:
        """Its gain in units of the noise floor."""
        if self.attempt is None or not self.floor:
            return None
        return self.attempt.gain / self.floor if math.isfinite(self.attempt.gain / self.floor) else None

    @property
    def times(self) -> str:
        """The same as text: `−1.2`."""
        return digits.UNKNOWN if self.in_noise is None else digits.minus(f"{self.in_noise:,.1f}")

    @property
    def small(self) -> bool:
        return self.in_noise is not None and self.result.outcome == ReportedOutcome.KEEP and self.in_noise < 1

    @property
    def repeats(self) -> bool:
        """It is a run of what was there, by its own words or its commit."""
        return self.attempt is not None and self.attempt.repeats


@dataclass(frozen=True)
class NoiseRow:
    """One estimate of the noise as the page shows it."""

    words: str
    limits: str
    sigma: float
    low: float | None
    high: float | None
    count: int
    rests_on: Sequence[int]
    smaller: int
    used: bool

    @property
    def floor(self) -> float:
        return self.sigma * math.sqrt(2)


METHODS: Mapping[str, tuple[str, str]] = {
    "repeats": (
        "repeated runs",
        "Rows whose commit or words say that nothing but the seed differs. The incumbent was kept because it scored well, "
        "so that the true noise may be smaller.",
    ),
    "spread": (
        "spread of the results",
        "The median distance of results beside one incumbent from their own median, as the standard deviation of a normal "
        "distribution. Changes that really help or hurt widen it, so that the true noise is smaller.",
    ),
    "measured": (
        "measured here",
        "This project’s own runs of one tree over seeds. It holds for this history only where code, budget and device "
        "are the same.",
    ),
}


def estimates_of(history: ImportedHistory, audit: HistoryAudit) -> list[NoiseRow]:
    """Every estimate there is, with how many keeps are below its floor; the project's own noise last (one query)."""
    rows = [
        NoiseRow(*METHODS[each.method], each.sigma, each.low, each.high, each.count, each.rests_on,
                 below(audit, each.floor), each is audit.noise)
        for each in audit.estimates
    ]  # fmt: skip
    own = measured_noise(history)
    if own:
        more = below(audit, own.sigma * math.sqrt(2))
        rows.append(NoiseRow(*METHODS["measured"], own.sigma, own.low, own.high, round(own.degrees), (), more, False))
    return rows


def below(audit: HistoryAudit, floor: float) -> int:
    return sum(each.gain < floor for each in audit.keeps)


def measured_noise(history: ImportedHistory) -> Noise | None:
    """The project's own noise, where it measures what the history reports (one query)."""
    metric = history.project.file.metric
    return history.project.noise() if history.metric in (metric.key, metric.name) else None


def reported(history: ImportedHistory) -> list[Reported]:
    """Its rows for research_app/evidence/reported.py, without their diffs and messages (one query)."""
    rows = history.results.order_by("number").values_list("number", "outcome", "reported", "description", "commit", "at")
    return [
        Reported(number, outcome, score if is_usable(score) else None, words, commit.lower(), at)
        for number, outcome, score, words, commit, at in rows
    ]


def audited(history: ImportedHistory) -> HistoryAudit:
    return audit_history(reported(history), history.lower_is_better)


def claims_of(
    attempts: Sequence[Attempt], rows: Mapping[int, ImportedResult], history: ImportedHistory, audit: HistoryAudit
) -> list[Claim]:
    """These attempts as a table shows them."""
    claims = []
    for attempt in attempts:
        if row := rows.get(attempt.row.number):
            row.history = history
            claims.append(Claim(row, attempt, audit.noise.floor if audit.noise else None))
    return claims


def counts_of(history: ImportedHistory) -> list[tuple[ReportedOutcome, int]]:
    """How many rows of each outcome (one query)."""
    counts = dict(history.results.order_by().values_list("outcome").annotate(Count("pk")))
    return [(outcome, counts.get(outcome.value, 0)) for outcome in ReportedOutcome]


@dataclass(frozen=True)
class Dot:
    """One row in the chart."""

    number: int
    value: float | None
    words: str
    outcome: str

    def plain(self) -> dict[str, Any]:
        words = self.words if len(self.words) <= MOST_WORDS else f"{self.words[:MOST_WORDS]} …"
        return {"x": self.number, "y": self.value, "words": words, "about": self.outcome, "told": digits.score(self.value)}


# One row


def result_page(request: HttpRequest, history: ImportedHistory, result: ImportedResult) -> HttpResponse:
    audit = audited(history)
    attempts = {each.row.number: each for each in audit.attempts}
    files, too_long = files_of(result.diff)
    context = {
        "project": history.project,
        "history": history,
        "claim": Claim(result, attempts.get(result.number), audit.noise.floor if audit.noise else None),
        "result": result,
        "earlier": result.number - 1,
        "later": result.number + 1 if history.results.filter(number=result.number + 1).exists() else 0,
        "files": files,
        "too_long": too_long,
        "categories": CATEGORIES,
        "may_operate": may_operate(request.user),
        "back": reverse("imported", args=[history.project.slug, history.pk]),
    }
    return render(request, "history/imported_result.html", context)


def files_of(diff: str) -> tuple[list[FileDiff], bool]:
    """The files of a diff with their rows, up to a number of lines; and whether it is too long to be shown at all."""
    if too_large(diff):
        return [], True
    files, lines = parse(diff), 0
    for file in files:
        lines += file.added + file.removed
        if lines <= INLINE_LINES:
            prepare(file, (None, None))
            file.html = diff_rows(file.parts, False, lambda threads: "", None)
    return files, False
