"""A week of a project, from its audit log and its evidence: what landed and how it held, what failed, what it cost.

The log says what happened and when, the reference runs of the baseline's versions what it brought: no single effect is summed.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db.models import Count, Sum
from django.utils import timezone

from research_app.evidence.difference import compare
from research_app.evidence.digits import Gain
from research_app.evidence.noise import Noise
from research_app.loop.runs import HOUR
from research_app.models import Candidate, Decision, Event, Gate, Project, Purpose, Review, Run, ScaleUp
from research_app.models.candidate import DISCARDED
from research_app.models.device_time import total_device_seconds
from research_app.models.event import EventQuerySet
from research_app.models.event_kinds import EventKind
from training.spec import Outcome

DAYS = timedelta(days=7)
OLDEST = 5  # decisions that wait, which are named
MOST = 200  # candidates of one kind, which are named


@dataclass(frozen=True)
class Span:
    """A week of the calendar (ISO 8601), where the server is."""

    year: int
    number: int

    @classmethod
    def of(cls, day: date) -> "Span":
        year, number, _ = day.isocalendar()
        return cls(year, number)

    @classmethod
    def named(cls, text: str) -> "Span":
        """`2026-W48`. Raises ValueError."""
        year, _, number = text.partition("-W")
        span = cls(int(year), int(number))
        if str(span) != text or not 1970 <= span.year <= 9000 or Span.of(span.monday) != span:
            raise ValueError(f"{text} is no week: write 2026-W48.")
        return span

    def __str__(self) -> str:
        return f"{self.year:04}-W{self.number:02}"

    @property
    def monday(self) -> date:
        """Its first day. Raises ValueError for a week that its year does not have."""
        return date.fromisocalendar(self.year, self.number, 1)

    @property
    def begin(self) -> datetime:
        return timezone.make_aware(datetime.combine(self.monday, time.min))

    @property
    def end(self) -> datetime:
        """The first moment that is not in it."""
        return timezone.make_aware(datetime.combine(self.monday + DAYS, time.min))

    @property
    def before(self) -> "Span":
        return Span.of(self.monday - DAYS)

    @property
    def after(self) -> "Span":
        return Span.of(self.monday + DAYS)


@dataclass(frozen=True)
class LandedChange:
    """A change that landed: the evidence it was approved on, and the step of the baseline in runs that decided nothing."""

    candidate: Candidate
    version: int
    approved: Gain | None
    step: Gain | None

    @property
    def held(self) -> bool | None:
        """Whether the step is better; None where its interval includes 0, or where it is not measured."""
        return better(self.step)

    @property
    def words(self) -> str:
        if self.candidate.undone:
            return "taken back"
        if self.step is None:
            return "not measured yet"
        return {True: "held", False: "worse than before it", None: "not seen: interval includes 0"}[self.held]


def better(gain: Gain | None) -> bool | None:
    """Whether an interval lies above 0, or below; None where it includes 0 or there is none."""
    if gain is None or gain.low is None or gain.high is None or gain.low <= 0 <= gain.high:
        return None
    return gain.low > 0


@dataclass(frozen=True)
class Approval:
    """One vote for a candidate, and where that candidate is now."""

    candidate: Candidate
    by: str
    gate: Gate
    voided: bool


@dataclass(frozen=True)
class Week:
    """All that the digest says. Figures of a week that is not over are those so far."""

    project: Project
    span: Span
    landed: Sequence[LandedChange]
    together: Gain | None  # the newest version of the week against the one before the week
    together_n: int  # runs of the former
    before_n: int  # and of the latter
    approvals: Sequence[Approval]
    scale_ups: Mapping[str, int]  # that ended, by outcome
    proposed: int
    failed: Mapping[str, int]  # candidates that ended off the way, by stage; one may have come to several
    discarded: int  # how many those are; not all of them need be of this week's
    failed_runs: Mapping[str, int]  # by outcome
    attention: int
    device_hours: float
    money: float  # of runs, at the price of their rungs
    dollars: float  # of conversations
    waiting: Sequence[Candidate]
    waiting_count: int

    @property
    def currency(self) -> str:
        return self.project.file.scale_up.currency

    @property
    def sentence(self) -> str:
        """The week in one line, for a message."""
        landed = f"{len(self.landed)} landed"
        if self.together:
            landed += f", measured {self.together.in_unit(self.project.file.metric.name)}"
        return f"{landed}; {self.proposed} proposed; {self.discarded} discarded; {self.device_hours:.1f} device-hours"


def week_of(project: Project, span: Span) -> Week:
    """The digest of a week. A constant number of queries."""
    events = Event.objects.filter(project=project, at__gte=span.begin, at__lt=span.end)
    counts = dict(events.values_list("kind").annotate(n=Count("pk")).order_by())
    runs = project.runs.filter(finished_at__gte=span.begin, finished_at__lt=span.end)
    hours, money = cost_of_runs(project, span)
    together, later_n, earlier_n = together_in(project, span)
    talks = project.conversations.filter(created_at__gte=span.begin, created_at__lt=span.end)
    waiting = project.candidates.waiting_for_review().select_related("project").order_by("stage_since", "pk")
    ended = ScaleUp.objects.filter(project=project, ended_at__gte=span.begin, ended_at__lt=span.end)
    off_the_way = failed_in(events)
    bad = runs.exclude(outcome=Outcome.completed).exclude(outcome=Outcome.cancelled)
    return Week(
        project=project,
        span=span,
        landed=landed_in(project, events),
        together=together,
        together_n=later_n,
        before_n=earlier_n,
        approvals=approvals_in(project, events),
        scale_ups=dict(ended.values_list("state").annotate(n=Count("pk")).order_by("state")),
        proposed=counts.get(EventKind.CANDIDATE_PROPOSED, 0),
        failed={stage: len(candidates) for stage, candidates in sorted(off_the_way.items())},
        discarded=len(set().union(*off_the_way.values())),
        failed_runs=dict(bad.values_list("outcome").annotate(n=Count("pk")).order_by("outcome")),
        attention=counts.get(EventKind.NEEDS_ATTENTION, 0),
        device_hours=hours,
        money=money,
        dollars=float(talks.aggregate(dollars=Sum("cost"))["dollars"] or 0.0),
        waiting=list(waiting[:OLDEST]),
        waiting_count=waiting.count(),
    )


def cost_of_runs(project: Project, span: Span) -> tuple[float, float]:
    """(device-hours, money at the price of each rung) of the runs that ended in a week. One query."""
    runs = project.runs.filter(finished_at__gte=span.begin, finished_at__lt=span.end).order_by().values("scale")
    prices = {rung.name: rung.price for rung in project.file.rungs}
    rows = [(row["scale"], float(row["taken"]) / HOUR) for row in runs.annotate(taken=total_device_seconds())]
    return sum(hours for _, hours in rows), sum(hours * prices.get(scale, 0.0) for scale, hours in rows)


def failed_in(events: EventQuerySet) -> Mapping[str, set[int]]:
    """Keys of the candidates that went off the way, by the stage that they came to. One query."""
    stages: dict[str, set[int]] = defaultdict(set)
    for pk, stage in events.filter(kind=EventKind.STAGE_CHANGED).values_list("subject_id", "data__to"):
        if stage in DISCARDED:
            stages[stage].add(pk)
    return stages


def approvals_in(project: Project, events: EventQuerySet) -> list[Approval]:
    """Votes for candidates, oldest first. Two queries."""
    votes = events.filter(kind=EventKind.VOTE, data__decision=Decision.APPROVE).order_by("sequence")[:MOST]
    rows = list(votes.values_list("subject_id", "actor", "data__gate", "at"))
    candidates = candidates_of(project, {pk for pk, *_ in rows})
    voided = void_votes_of(candidates)
    return [
        Approval(candidates[pk], actor, Gate(gate), (pk, actor, gate) in voided)
        for pk, actor, gate, _ in rows
        if pk in candidates and gate in Gate.values
    ]


def void_votes_of(candidates: Mapping[int, Candidate]) -> set[tuple[int, str, int]]:
    """(candidate, person, gate) whose newest vote for it does not count any more. One query."""
    newest: dict[tuple[int, str, int], bool] = {}
    votes = Review.objects.filter(candidate__in=candidates, decision=Decision.APPROVE).order_by("pk")
    for pk, name, gate, voided in votes.values_list("candidate", "reviewer__username", "gate", "voided_at"):
        newest[pk, name, gate] = voided is not None
    return {key for key, voided in newest.items() if voided}


def landed_in(project: Project, events: EventQuerySet) -> list[LandedChange]:
    """What landed, in its order, beside the step that its version made. Four queries."""
    rows = list(events.filter(kind=EventKind.LANDED).order_by("sequence")[:MOST].values_list("subject_id", "data__baseline"))
    candidates = candidates_of(project, {pk for pk, _ in rows})
    steps = steps_of(project, {number for _, number in rows if number is not None})
    changes = []
    for pk, number in rows:
        if (candidate := candidates.get(pk)) is None or number is None:
            continue
        approved = candidate.evidence.gain if candidate.evidence else None
        changes.append(LandedChange(candidate, number, approved, steps.get(number)))
    return changes


def candidates_of(project: Project, keys: set[int]) -> dict[int, Candidate]:
    """By key, with their evidence. One query."""
    rows = project.candidates.filter(pk__in=keys).select_related("project", "evidence").defer("evidence__numbers")
    return {candidate.pk: candidate for candidate in rows}


def steps_of(project: Project, numbers: set[int]) -> dict[int, Gain]:
    """How versions compare with the one before each: means of their own reference runs. One query, and the noise."""
    scores = scores_of_versions(project, numbers | {number - 1 for number in numbers})
    noise = project.noise()
    gains = {number: gain_between(project, noise, scores.get(number - 1, []), scores.get(number, [])) for number in numbers}
    return {number: gain for number, gain in gains.items() if gain}


def together_in(project: Project, span: Span) -> tuple[Gain | None, int, int]:
    """The newest version of the week against the newest before it, and the runs of both; None where one is not measured."""
    versions = project.baseline_versions.order_by("-number")
    newest = versions.filter(created_at__gte=span.begin, created_at__lt=span.end).exclude(number=0).first()
    before = versions.filter(created_at__lt=span.begin).first() or versions.last()  # which is number 0
    if newest is None or before is None or before.pk == newest.pk:
        return None, 0, 0
    scores = scores_of_versions(project, {before.number, newest.number})
    earlier, later = scores.get(before.number, []), scores.get(newest.number, [])
    return gain_between(project, project.noise(), earlier, later), len(later), len(earlier)


def scores_of_versions(project: Project, numbers: set[int]) -> dict[int, list[float]]:
    """Scores of the reference runs of some versions at the smallest scale, by number. One query."""
    scores: dict[int, list[float]] = defaultdict(list)
    runs = Run.objects.of_baseline().scored().filter(purpose=Purpose.REFERENCE, budget_share=1.0, project=project)
    for number, score in runs.filter(baseline__number__in=numbers).values_list("baseline__number", "score"):
        scores[number].append(float(score or 0.0))
    return scores


def gain_between(project: Project, noise: Noise | None, before: Sequence[float], after: Sequence[float]) -> Gain | None:
    """The gain with its 95% interval; None where one side has no runs or no noise is known."""
    if not before or not after or noise is None:
        return None
    return compare(before, after, noise, lower_is_better=project.sign > 0).gain
