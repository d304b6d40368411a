"""/projects/<slug>/report/ : what a project found, as one file to send: HTML that loads nothing, or Markdown."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Sum
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_safe

from research_app.evidence.ablation_words import summary
from research_app.evidence.digits import Gain
from research_app.evidence.noise import Noise
from research_app.home import CODE
from research_app.loop.runs import NOTHING, Cost, cost_of, costs_of
from research_app.loop.scale_up.price import prices_of
from research_app.models import Candidate, Evidence, Landing, LandingState, Project, Stage
from research_app.models.candidate import DISCARDED, IDLE, WAITING, CandidateQuerySet, failed_at_rungs
from research_app.project_file.ladder import SMALLEST
from research_app.web.candidate.verdict import Saving
from research_app.web.history.report_chart import progress_chart
from research_app.web.project.calibration import false_accepts, why_no_noise
from research_app.web.project.progress import by_score, points_of
from research_app.web.shared.access import get_project, researcher
from research_app.web.shared.effects import Effect
from research_app.web.shared.measured import measured_in_all
from research_app.web.shared.stats_cache import noise_of

MOST_LANDED, MOST_TRIED, MOST_SCALED, MOST_CHECKS = 200, 100, 60, 5
MOST_ASKED = 12  # candidates in one open question
STYLE = CODE / "static" / "css" / "report.css"
FOR_HEADERS = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"  # which a file cannot say of itself
FEW_DEGREES = 5  # of freedom, with which sigma is a guess


@researcher
@require_safe
def report(request: HttpRequest, slug: str) -> HttpResponse:
    """The report as a file that holds all it shows."""
    project = get_project(request, slug)
    response = as_file(html_of(Report.of(project)), f"{project.slug}-report.html", "text/html")
    response.headers["Content-Security-Policy"] = f"{policy()}; {FOR_HEADERS}"
    return response


@researcher
@require_safe
def report_markdown(request: HttpRequest, slug: str) -> HttpResponse:
    """The same as Markdown, without the chart."""
    project = get_project(request, slug)
    return as_file(markdown_of(Report.of(project)), f"{project.slug}-report.md", "text/markdown")


def as_file(text: str, name: str, kind: str) -> HttpResponse:
    """To be kept: links to it ask for a download, and whoever opens its address sees it."""
    response = HttpResponse(text, content_type=f"{kind}; charset=utf-8")
    response.headers["Content-Disposition"] = f'inline; filename="{name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def html_of(report: "Report") -> str:
    """One file: its style inside, and a policy of its own that allows just that style and nothing else."""
    style = mark_safe(f"<style>{STYLE.read_text(encoding='utf-8')}</style>")
    return render_to_string("history/report.html", {"report": report, "style": style, "policy": policy()})


def policy() -> str:
    """What a browser may do with a report: use the style that is in it."""
    digest = base64.b64encode(hashlib.sha256(STYLE.read_bytes()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'"


def markdown_of(report: "Report") -> str:
    """The same words as Markdown, without empty lines in a row."""
    lines = [line.rstrip() for line in render_to_string("history/report/report.md", {"report": report}).split("\n")]
    kept = [line for at, line in enumerate(lines) if line or (at and lines[at - 1])]
    return "\n".join(kept).strip() + "\n"


@dataclass(frozen=True)
class Landed:
    """One landing: the effect on which it was approved, what it cost, and what was found later."""

    landing: Landing
    gain: Gain | None
    saving: Saving | None
    cost: Cost
    money: float

    @property
    def candidate(self) -> Candidate:
        return self.landing.candidate


@dataclass(frozen=True)
class Tried:
    """One candidate that did not land."""

    candidate: Candidate
    gain: Gain | None

    @property
    def why(self) -> str:
        """Without the folder of this installation, which is nobody's business where the report is read."""
        return self.candidate.why.replace(f"{settings.HOME}/", "")


@dataclass(frozen=True)
class Transfer:
    """One candidate on one larger rung."""

    candidate: Candidate
    rung: str
    gain: Gain | None
    saving: Saving | None
    n: int
    baseline_n: int
    sentence: str


@dataclass(frozen=True)
class Question:
    """Something that is not settled, and the candidates that it is about."""

    words: str
    candidates: Sequence[Candidate] = ()
    more: int = 0


@dataclass(frozen=True)
class Report:
    """What a project found up to now."""

    project: Project
    made_at: datetime
    chart: str
    tried: int
    stages: Sequence[tuple[str, int]]
    total: Effect | None
    spent: Cost
    money: float
    model_money: float  # dollars paid to models
    noise: Noise | None
    no_noise: str
    false_accepts: Any
    landed: Sequence[Landed]
    landed_count: int
    dropped: Sequence[Tried]
    dropped_count: int
    checks: Sequence[tuple[Any, str]]
    transfers: Sequence[Transfer]
    questions: Sequence[Question]
    imported: Sequence[Any]

    @classmethod
    def of(cls, project: Project) -> "Report":
        """As many queries for ten candidates as for ten thousand."""
        counts = dict(project.candidates.values_list("stage").annotate(Count("pk")).order_by())
        points = points_of(project)
        measured = by_score(project, points)
        noise = noise_of(project)
        landed, spent = landed_in(project), cost_of(project.runs.all())
        discarded = listed(project.candidates.filter(stage__in=DISCARDED))
        return cls(
            project=project,
            made_at=timezone.now(),
            chart=progress_chart(measured.points, measured.bands, measured.lower_is_better, measured.title),
            tried=sum(counts.values()),
            stages=[(stage.label, counts[stage]) for stage in Stage if counts.get(stage)],
            total=measured_in_all(project, noise),
            spent=spent,
            money=round(spent.money(prices_of(project)), 2),
            model_money=project.conversations.aggregate(cost=Sum("cost"))["cost"] or 0.0,
            noise=noise,
            no_noise="" if noise else why_no_noise(project),
            false_accepts=false_accepts(project),
            landed=landed,
            landed_count=project.landings.filter(state=LandingState.LANDED).count(),
            dropped=[Tried(each, gain_of(each.evidence)) for each in discarded.order_by(*BEST_FIRST)[:MOST_TRIED]],
            dropped_count=sum(counts.get(stage, 0) for stage in DISCARDED),
            checks=checks_of(project),
            transfers=transfers_of(project),
            questions=[question for question in questions_of(project, landed, noise) if question],
            imported=list(project.imported_histories.annotate(rows=Count("results"), judged=Count("results__candidate"))[:20]),
        )

    @property
    def unit(self) -> str:
        return self.project.file.metric.name


BEST_FIRST = (F("evidence__effect").desc(nulls_last=True), "-number")


def listed(queryset: CandidateQuerySet) -> CandidateQuerySet:
    """What a row of the report shows, and nothing large."""
    return queryset.with_evidence().defer("patch_set__diff", "proposed", "details", "evidence__numbers")


def gain_of(evidence: Evidence | None) -> Gain | None:
    return evidence.gain if evidence else None


def landed_in(project: Project) -> list[Landed]:
    """The newest landings, oldest of them first. Three queries."""
    landed = project.landings.filter(state=LandingState.LANDED).select_related(
        "version", "candidate__project", "candidate__evidence", "candidate__patch_set", "candidate__undone_by"
    )
    landed = landed.defer("candidate__patch_set__diff", "candidate__proposed", "candidate__details")
    landed = landed.prefetch_related(failed_at_rungs("candidate__"))
    landings = list(landed.order_by("-pk")[:MOST_LANDED])[::-1]
    costs, prices = costs_of([each.candidate for each in landings]), prices_of(project)
    rows = []
    for each in landings:
        evidence, cost = each.candidate.evidence, costs.get(each.candidate.pk, NOTHING)
        saving = Saving.of(evidence.document.savings) if evidence and evidence.gain else None
        rows.append(Landed(each, gain_of(evidence), saving, cost, round(cost.money(prices), 2)))
    return rows


def checks_of(project: Project) -> list[tuple[Any, str]]:
    """The newest ablations that ended with a result, and what they found in words. Two queries."""
    checks = project.ablations.filter(state="finished").select_related("version").prefetch_related("candidates")[:MOST_CHECKS]
    results = [(check, check.report) for check in checks]
    return [(check, summary(result)) for check, result in results if result is not None]


def transfers_of(project: Project) -> list[Transfer]:
    """The newest evidence on larger rungs, one row for each candidate and rung. One query."""
    evidence = Evidence.objects.filter(patch_set__candidate__project=project).exclude(scale=SMALLEST)
    rows = evidence.select_related("patch_set__candidate__project").defer("patch_set__diff", "patch_set__candidate__proposed")
    newest: dict[tuple[int, str], Evidence] = {}
    for row in rows.order_by("-pk")[: 4 * MOST_SCALED]:
        newest.setdefault((row.patch_set.candidate_id, row.scale), row)
    newest_rows = sorted(list(newest.values())[:MOST_SCALED], key=lambda row: (row.patch_set.candidate.number, row.pk))
    return [transfer_of(row) for row in newest_rows]


def transfer_of(row: Evidence) -> Transfer:
    saving = Saving.of(row.document.savings) if row.gain else None
    transfer = row.document.transfer
    sentence = (transfer.sentence if transfer else "") or row.reason
    return Transfer(row.patch_set.candidate, row.scale, row.gain, saving, row.candidate_n, row.baseline_n, sentence)


# What is open


def questions_of(project: Project, landed: Sequence[Landed], noise: Noise | None) -> list[Question | None]:
    """Everything that somebody should look at next. Six queries."""
    candidates, contradicted_gains = (
        project.candidates,
        [each for each in landed if each.landing.contradictions and not each.candidate.undone],
    )
    within = candidates.filter(stage=Stage.INCONCLUSIVE)
    odd = [each for each in landed if contradicted(each.candidate.evidence)]
    rungs = len(project.file.rungs) > 1
    scaled_up = set(project.scale_ups.values_list("candidate_id", flat=True)) if rungs else set()
    small = [each.candidate for each in landed if each.candidate.pk not in scaled_up and not each.candidate.undone]
    return [
        about("Waiting for a person’s decision", candidates.filter(stage__in=WAITING)),
        about("Within the noise after all runs: real or not", within.filter(evidence__effect__gt=0)),
        of_rows("Landed, and contradicted by what was measured later", [each.candidate for each in contradicted_gains]),
        of_rows("Landed, and its words and its facts disagree", [each.candidate for each in odd]),
        about("In quarantine: only a person can clear it", candidates.filter(evidence__quarantined=True, stage__in=WAITING)),
        of_rows("Landed at the smallest size alone: whether it holds at a larger one is not known", small if rungs else []),
        about("Still being measured", candidates.exclude(stage__in=IDLE)),
        thin(noise),
    ]


def about(words: str, queryset: CandidateQuerySet) -> Question | None:
    """A question about some candidates (two queries); None where there are none."""
    rows = list(listed(queryset).order_by(*BEST_FIRST)[:MOST_ASKED])
    return Question(words, rows, queryset.count() - len(rows)) if rows else None


def of_rows(words: str, rows: Sequence[Candidate]) -> Question | None:
    return Question(words, rows[:MOST_ASKED], max(0, len(rows) - MOST_ASKED)) if rows else None


def thin(noise: Noise | None) -> Question | None:
    """Whether the noise itself is known well enough."""
    if noise is None:
        return Question("The run-to-run noise is not measured, so that no effect can be told from it.")
    if noise.degrees < FEW_DEGREES:
        return Question(f"The run-to-run noise rests on {noise.degrees:.0f} degrees of freedom: intervals are wide for that.")
    return None


def contradicted(evidence: Evidence | None) -> bool:
    return evidence is not None and bool(evidence.document.contradictions)
