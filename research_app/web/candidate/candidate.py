"""/projects/<slug>/candidates/<number>/ : the change and its evidence on one page, and the decision bar."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from research_app.evidence.averages import deviation, mean
from research_app.evidence.evidence_document import ArmRun
from research_app.loop.attention.waits import waits_for
from research_app.models import Candidate, Event, Evidence, Run
from research_app.models.run import is_usable
from research_app.project_file.ladder import SMALLEST
from research_app.web.agents.conversation import of_candidate
from research_app.web.candidate import findings
from research_app.web.candidate.comments import mark_of
from research_app.web.candidate.decision import decision_context
from research_app.web.candidate.diff_view import ShownDiff
from research_app.web.candidate.resources import constants_of, facts_table
from research_app.web.candidate.verdict import card_of
from research_app.web.candidates.candidates import neighbours
from research_app.web.diff import comparison
from research_app.web.shared import live
from research_app.web.shared.access import get_candidate, researcher
from research_app.web.shared.effects import Scale, effect_of
from research_app.web.shared.unchanged import still

FRAGMENTS = {
    "head": "candidate/_head.html",
    "verdict": "candidate/_verdict.html",
    "checks": "candidate/_checks.html",
    "scores": "candidate/_scores.html",
    "resources": "candidate/_resources.html",
    "runs": "candidate/_runs.html",
    "events": "candidate/_events.html",
    "curves-mark": "candidate/_mark.html",
    "talk-mark": "candidate/_talk.html",
    "decide": "candidate/_decide.html",
}


@researcher
@require_safe
@still(curves=True)
def candidate(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """The candidate's page; for a script that asks for another comparison, the diff alone."""
    candidate = get_candidate(request, slug, number)
    if request.headers.get("HX-Target") == "diff":
        return diff_alone(request, candidate)
    return live.page(request, "candidate/candidate.html", FRAGMENTS, context_of(request, candidate))


def diff_alone(request: HttpRequest, candidate: Candidate) -> HttpResponse:
    """The diff in another view. The address says what is shown, and the view is remembered as this person's."""
    diff = ShownDiff(request, candidate)
    context = {"shown": diff, "candidate": candidate, "project": candidate.project, "patch_set": candidate.patch_set}
    response = render(request, "candidate/diff.html", context)
    response.headers["HX-Replace-Url"] = f"{candidate.get_absolute_url()}?{diff.comparison.query()}"
    response.headers["Cache-Control"] = "private, no-cache"
    kept: dict[str, Any] = {"max_age": 365 * 86400, "httponly": True, "samesite": "Lax", "secure": request.is_secure()}
    response.set_cookie(comparison.COOKIE, diff.comparison.view, **kept)
    return response


@researcher
@require_safe
def change_diff(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """What is compared, as a file: the stored diff, or what was proposed as a patch where no patch set came of it."""
    candidate = get_candidate(request, slug, number)
    comparison_ = comparison.Comparison.of(request, candidate)
    text = comparison_.diff if comparison_.right else candidate.proposal.patch
    response = HttpResponse(text, content_type="text/plain; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{slug}-C-{number}.diff"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def context_of(request: HttpRequest, candidate: Candidate, **more: Any) -> dict[str, Any]:
    """What all fragments of the page show. A constant number of queries, whatever the number of runs."""
    patch_set, project, evidence = candidate.patch_set, candidate.project, candidate.evidence
    base = patch_set.base if patch_set else candidate.base
    runs = runs_of(candidate)
    reference = list(base.runs.of_baseline().filter(budget_share=1.0).select_related("device").order_by("seed"))
    newest = [run for run in runs if patch_set and run.patch_set_id == patch_set.pk]
    mine = [run for run in newest if run.scale == SMALLEST]  # those of a scale-up have a page of their own
    effect, earlier = effect_of(evidence), earlier_look(evidence)
    previous, following = neighbours(project, candidate)
    landing = candidate.landings.select_related("version").order_by("-pk").first()
    facts = facts_table(reference, mine)
    return {
        "project": project,
        "candidate": candidate,
        "patch_set": patch_set,
        "base": base,
        "waits": waits_for(candidate),
        "evidence": evidence,
        "card": card_of(evidence, earlier, project, mine) if evidence else None,
        "effect": effect,
        "hidden": evidence is not None and effect is None,  # health comes first
        "bar": Scale.of([effect]).bar(effect) if effect else None,
        "arms": arms_of(candidate, earlier, reference, mine),
        "facts": facts,
        "same_facts": sum(fact.same and not fact.note for fact in facts),
        "constants": constants_of(patch_set),
        "contradictions": evidence.document.contradictions if evidence else (),
        "sources": source_table(reference, mine, project.sign),
        "findings": findings.together(mine),
        "reference": reference,
        "runs": runs,
        "device_seconds": sum(run.device_seconds for run in runs),
        "scales": list(dict.fromkeys(run.scale for run in newest if run.scale != SMALLEST)),
        "mine": mine,
        "unsandboxed": any(run.sandbox_level == "none" for run in (*reference, *mine)),
        "chart_version": chart_version((*reference, *mine)),
        "shown": ShownDiff(request, candidate),
        "talk": mark_of(candidate),
        "events": Event.objects.about(candidate),
        "reviews": candidate.reviews.select_related("reviewer").order_by("pk"),
        "curves_source": f"{candidate.get_absolute_url()}curves.json",
        "previous": previous,
        "following": following,
        **decision_context(request, candidate, landing),
        **of_candidate(request, candidate),
        **more,
    }


def earlier_look(evidence: Evidence | None) -> Evidence | None:
    """The look that led to a confirmation: the runs that were looked at before the fresh ones. At most one query."""
    if evidence is None or evidence.document.confirmation is None or not evidence.document.looks:
        return None
    looks = Evidence.objects.filter(patch_set=evidence.patch_set_id, pk__lt=evidence.pk)
    return looks.filter(candidate_n=len(evidence.document.looks)).order_by("-pk").first()


def runs_of(candidate: Candidate) -> list[Run]:
    """All runs of all patch sets of a candidate, newest patch set first. One query."""
    runs = Run.objects.filter(patch_set__candidate=candidate).select_related("device", "patch_set", "baseline")
    return list(runs.defer("patch_set__diff").order_by("-patch_set__number", "seed"))


def chart_version(runs: Sequence[Run]) -> str:
    """Changes when a curve of these runs may have grown."""
    return live.version(" ".join(f"{run.pk}:{run.state}:{run.progress:.3f}" for run in runs))


@dataclass(frozen=True)
class Arm:
    """One side of the comparison: the scores of its runs, by run."""

    name: str
    role: str
    scores: Sequence[tuple[int, int, float]]  # run, seed, score
    sign: float

    @classmethod
    def of(cls, name: str, role: str, kept: Sequence[ArmRun], sign: float) -> "Arm":
        """From what evidence keeps of each run."""
        whole = [(one.run, one.seed, one.score) for one in kept if one.seed is not None and one.score is not None]
        return cls(name, role, [each for each in whole if is_usable(each[2])], sign)

    @property
    def values(self) -> list[float]:
        return [score for _, _, score in self.scores]

    @property
    def n(self) -> int:
        return len(self.scores)

    @property
    def mean(self) -> float | None:
        return mean(self.values)

    @property
    def std(self) -> float | None:
        """Sample standard deviation; None for a single run, which has none."""
        return deviation(self.values)

    @property
    def best(self) -> tuple[int, int, float] | None:
        return min(self.scores, key=lambda entry: self.sign * entry[2], default=None)


def arms_of(candidate: Candidate, earlier: Evidence | None, reference: Sequence[Run], mine: Sequence[Run]) -> list[Arm]:
    """Exactly the runs that the evidence froze, before them those of the earlier looks; without evidence, those that ended."""
    arms = []
    for name, role, runs in (("baseline", "baseline", reference), (str(candidate), "candidate", mine)):
        kept = frozen_runs(candidate.evidence, role) or [ArmRun(run=r.pk, seed=r.seed, score=r.score) for r in runs]
        if earlier is not None:
            arms.append(Arm.of(name, role, frozen_runs(earlier, role), candidate.project.sign))
        arms.append(Arm.of(f"{name}, fresh seeds" if earlier else name, role, kept, candidate.project.sign))
    return arms


def frozen_runs(evidence: Evidence | None, role: str) -> Sequence[ArmRun]:
    """The runs of one arm that evidence names with seed and score."""
    document = evidence.document if evidence else None
    runs = () if document is None else document.baseline if role == "baseline" else document.candidate
    return [run for run in runs if run.seed is not None and run.score is not None]


@dataclass(frozen=True)
class Source:
    """The score on one source of the held-out text."""

    name: str
    before: float
    after: float
    gain: float


def source_table(reference: Sequence[Run], mine: Sequence[Run], sign: float) -> list[Source]:
    """Mean score per source in both arms, the smallest gain first. Empty where the scorer gave none."""
    before, after = _by_source(reference), _by_source(mine)
    table = [Source(n, before[n], after[n], sign * (before[n] - after[n])) for n in before if n in after]
    return sorted(table, key=lambda source: source.gain)


def _by_source(runs: Sequence[Run]) -> Mapping[str, float]:
    scored = [run.source_scores for run in runs if run.score is not None and run.source_scores]
    names = [name for name in (scored[0] if scored else ()) if all(name in scores for scores in scored)]
    return {name: mean([scores[name] for scores in scored]) or 0.0 for name in names}
