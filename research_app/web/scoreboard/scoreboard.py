"""/projects/<slug>/scoreboard/ : who proposed what, the outcome, and what it cost: new ideas, or known knobs turned?"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import hypot, sqrt

from django.db.models import Count, F, Min, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from research_app.evidence.difference import compare
from research_app.evidence.digits import Gain
from research_app.loop.runs import HOUR
from research_app.models import Author, Candidate, Kind, Landing, LandingState, Project, Purpose, Stage, Verdict
from research_app.models.candidate import CandidateQuerySet
from research_app.models.device_time import total_device_seconds
from research_app.models.documents.moved_constants import moves_read
from research_app.project_file.ladder import SMALLEST
from research_app.web.shared import live
from research_app.web.shared.access import get_project, researcher
from research_app.web.shared.measured import measured_in_all
from research_app.web.shared.stats_cache import noise_of
from research_app.web.shared.unchanged import still

ONE_SIDED = 0.05
EFFECT = ("evidence__effect", "evidence__standard_error")
DOLLARS = ("USD", "$")


@dataclass(frozen=True)
class Part:
    """What a change that landed brought as part of its landing: all of it, or its share of what several brought together."""

    version: int
    gain: float  # positive is better
    error: float


@dataclass(frozen=True)
class OnTheBaseline:
    """One change that landed and was not taken back."""

    part: Part
    knobs: bool | None  # True where nothing but constants moved; None where it never became a patch set
    replicated: bool | None  # None until the baseline that it made has reference runs to compare


@dataclass
class Score:
    """One author's line. `hours` are device-hours of all its runs, `dollars` those of models and devices."""

    author: str
    kind: str
    proposed: int = 0
    trained: int = 0
    solid: int = 0
    duplicates: int = 0
    knobs: int = 0  # changes that are nothing but constants moved
    structural: int = 0  # changes that are more
    changes: list[OnTheBaseline] = field(default_factory=list)
    hours: float = 0.0
    dollars: float = 0.0

    @property
    def seconds(self) -> float:
        """Device time."""
        return self.hours * HOUR

    @property
    def landed(self) -> int:
        return len(self.changes)

    @property
    def replicated(self) -> int:
        return sum(change.replicated is True for change in self.changes)

    @property
    def replicable(self) -> int:
        """Landed changes whose new baseline was measured with runs that took no part in the decision."""
        return sum(change.replicated is not None for change in self.changes)

    @property
    def solid_rate(self) -> float | None:
        """Share of the trained proposals that were found solid."""
        return self.solid / self.trained if self.trained else None

    @property
    def gain(self) -> Gain | None:
        """Sum of what its landings brought when they landed; None where nothing did."""
        return self._gain_for(1.0)

    @property
    def gain_per_hour(self) -> Gain | None:
        return self._gain_for(self.hours)

    @property
    def gain_per_dollar(self) -> Gain | None:
        return self._gain_for(self.dollars)

    def _gain_for(self, cost: float) -> Gain | None:
        """The gain for each unit of a cost, with the error that its parts leave."""
        if not cost or not self.landed:
            return None
        parts = [change.part for change in self.changes]
        return Gain(sum(part.gain for part in parts) / cost, hypot(*(part.error for part in parts)) / cost)

    @property
    def structural_share(self) -> float | None:
        """Share of the changes that are more than constants moved."""
        return self.structural / (self.knobs + self.structural) if self.knobs + self.structural else None

    @property
    def structural_landed(self) -> int:
        return sum(change.knobs is False for change in self.changes)


@researcher
@require_safe
@still()
def scoreboard(request: HttpRequest, slug: str) -> HttpResponse:
    """The page. A constant number of queries, however much was tried."""
    project = get_project(request, slug)
    scores = scores_of(project)
    context = {
        "project": project,
        "scores": scores,
        "priced": any(score.dollars for score in scores),
        "approved": approved_in_all(scores),
        "measured": measured_in_all(project, noise_of(project)),
    }
    return live.page(request, "scoreboard/scoreboard.html", {"scores": "scoreboard/_scores.html"}, context)


def approved_in_all(scores: Sequence[Score]) -> Gain | None:
    """What all landings were approved on, added up over the authors; None where nothing landed."""
    parts = [change.part for score in scores for change in score.changes]
    return Gain(sum(part.gain for part in parts), hypot(*(part.error for part in parts))) if parts else None


def scores_of(project: Project) -> list[Score]:
    """A line for each author, most landed first. Nine queries, whatever the history."""
    scores = counted(project)
    for author, change in landed_changes(project):
        scores[author].changes.append(change)
    for author, hours, dollars in device_time(project):
        if author in scores:
            scores[author].hours += hours
            scores[author].dollars += dollars
    for author, dollars in conversations_cost(project):
        scores.setdefault(author, Score(author, str(Author.AGENT.label))).dollars += dollars
    return sorted(scores.values(), key=lambda score: (-score.landed, -score.solid, -score.proposed, score.author))


def counted(project: Project) -> dict[str, Score]:
    """How many changes each author proposed and their outcome, counted by the database. One query.

    Without A/A candidates, stacks and reverts. Of an author of several kinds, the kind of the first change is named.
    """
    solid, constants = Q(evidence__verdict=Verdict.SOLID), Q(patch_set__isnull=False) & ~Q(patch_set__moved={})
    rows = (
        changes_of(project)
        .values("author", "author_kind")
        .annotate(
            first=Min("number"),
            proposed=Count("pk"),
            trained=Count("evidence"),
            solid=Count("pk", filter=solid),
            repeated=Count("duplicate_of"),
            knobs=Count("pk", filter=constants),
            changed=Count("patch_set"),
        )
    )
    scores: dict[str, Score] = {}
    for row in rows.order_by("first"):
        score = scores.setdefault(row["author"], Score(row["author"], str(Author(row["author_kind"]).label)))
        score.proposed += row["proposed"]
        score.trained += row["trained"]
        score.solid += row["solid"]
        score.duplicates += row["repeated"]
        score.knobs += row["knobs"]
        score.structural += row["changed"] - row["knobs"]
    return scores


def changes_of(project: Project) -> CandidateQuerySet:
    """Every change that was proposed, without A/A candidates, stacks and reverts."""
    return project.candidates.filter(aa=False, kind=Kind.CHANGE).order_by()


def landed_changes(project: Project) -> list[tuple[str, OnTheBaseline]]:
    """Each change that is on the baseline, with its author. Six queries."""
    parts, held = parts_of(project), replications(project)
    rows = changes_of(project).filter(stage=Stage.LANDED).values_list("pk", "author", "patch_set", "patch_set__moved")
    return [
        (author, OnTheBaseline(part, None if patch_set is None else bool(moves_read(moved)), held.get(part.version)))
        for pk, author, patch_set, moved in rows.order_by("number")
        if (part := parts.get(pk))
    ]


def parts_of(project: Project) -> dict[int, Part]:
    """What each change that is on the baseline brought when it landed, by candidate. Three queries.

    The evidence of a landing is measured on the baseline before it, so that landings one after the other add up. What landed
    together, as a batch or a stack, was measured together: its members share that in the proportions of what each was confirmed
    to gain by itself, because those gains need not add up.
    """
    rows = Candidate.objects.filter(project=project, stage=Stage.LANDED, undone_by=None).order_by()
    effects = {pk: (effect or 0.0, error or 0.0) for pk, effect, error in rows.values_list("pk", *EFFECT)}
    members: dict[int, list[int]] = defaultdict(list)
    for stack, member in Candidate.members.through.objects.filter(from_candidate__project=project).values_list(
        "from_candidate", "to_candidate"
    ):
        if member in effects:
            members[stack].append(member)
    parts: dict[int, Part] = {}
    for candidate, version in landings_of(project).filter(batch=None).values_list("candidate", "version__number"):
        share_out(candidate, Part(int(version or 0), *effects.get(candidate, (0.0, 0.0))), members, effects, parts)
    return parts


def share_out(
    candidate: int,
    part: Part,
    members: Mapping[int, Sequence[int]],
    effects: Mapping[int, tuple[float, float]],
    parts: dict[int, Part],
) -> None:
    """Give a candidate its part; a stack hands it on to its members, whose errors together are that of the stack."""
    if not (inside := members.get(candidate)):
        parts[candidate] = part
        return
    weights = [max(0.0, effects[member][0]) for member in inside]
    whole = sum(weights)
    for member, weight in zip(inside, weights, strict=True):
        share = weight / whole if whole else 1 / len(inside)
        share_out(member, Part(part.version, part.gain * share, part.error * sqrt(share)), members, effects, parts)


def landings_of(project: Project) -> QuerySet[Landing]:
    """What landed, made a version and was not taken back."""
    here = {"state": LandingState.LANDED, "version__isnull": False, "candidate__undone_by": None}
    return Landing.objects.filter(project=project, **here)


def replications(project: Project) -> Mapping[int, bool]:
    """By version: whether its reference runs are better than those before (one-sided 5%); they decided nothing. Two queries.

    A version without two runs, or after one without two, is left out. A batch made one version: it holds for all of it.
    """
    noise = noise_of(project)
    references: dict[int, list[float]] = defaultdict(list)
    runs = project.runs.scored().of_baseline(SMALLEST).filter(purpose=Purpose.REFERENCE, budget_share=1.0)
    for number, score in runs.values_list("baseline__number", "score"):
        references[number].append(float(score or 0.0))
    pairs = {}
    for number, reference in references.items():
        before = references.get(number - 1, [])
        if noise and len(reference) > 1 and len(before) > 1:
            pairs[number] = compare(before, reference, noise, lower_is_better=project.sign > 0).p_value < ONE_SIDED
    return pairs


def device_time(project: Project) -> Sequence[tuple[str, float, float]]:
    """(author, device-hours, dollars) of the runs of candidates, by author and rung. One query."""
    prices = {rung.name: rung.price for rung in project.file.rungs}
    counted = project.file.scale_up.currency in DOLLARS
    runs = project.runs.filter(patch_set__isnull=False, patch_set__candidate__aa=False).values("scale")
    rows = runs.annotate(author=F("patch_set__candidate__author"), took=total_device_seconds()).order_by()
    devices = []
    for author, scale, took in rows.values_list("author", "scale", "took"):
        hours = float(took) / HOUR
        devices.append((author, hours, hours * prices.get(scale, 0.0) if counted else 0.0))
    return devices


def conversations_cost(project: Project) -> Sequence[tuple[str, float]]:
    """(author, dollars) of all conversations, those that brought nothing by their model. One query."""
    whose = Coalesce("candidate__author", "model")
    rows = project.conversations.annotate(author=whose).values("author").annotate(dollars=Sum("cost")).order_by()
    return [(row["author"], float(row["dollars"] or 0.0)) for row in rows]
