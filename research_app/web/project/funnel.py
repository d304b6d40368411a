"""How far candidates came, and what they cost: counts over all runs of a project."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet, Sum

from research_app.models import Evidence, Landing, LandingState, Project, Purpose, Run, State, Verdict
from research_app.models.device_time import device_seconds
from research_app.project_file.ladder import SMALLEST
from research_app.web.shared.stats_cache import kept, version_of


@dataclass(frozen=True)
class Step:
    """One step of the way: how many candidates ever came to it."""

    words: str
    count: int
    of_all: float  # share of all candidates
    of_before: float | None  # share of those that came to the step before; None for the first

    @property
    def width(self) -> str:
        """Of its bar, in hundredths."""
        return f"{100 * self.of_all:.2f}"


@dataclass(frozen=True)
class Cost:
    """Device time so far, in seconds: by kind of device, and of the runs of candidates that landed."""

    by_kind: Mapping[str, float]
    landed: int
    runs: int

    @property
    def seconds(self) -> float:
        return sum(self.by_kind.values())

    @property
    def per_landing(self) -> float | None:
        """Device time of everything for each change that landed."""
        return self.seconds / self.landed if self.landed else None

    @property
    def words(self) -> str:
        """Kinds, where there are several."""
        return " and ".join(self.by_kind) if len(self.by_kind) > 1 else ""


def funnel_of(project: Project) -> Sequence[Step]:
    """From proposed to landed; a step that nobody could come to is left out. Four queries."""
    candidates = project.candidates.aggregate(proposed=Count("pk"), checked=Count("pk", filter=Q(patch_set__isnull=False)))
    whose = "patch_set__candidate"
    ended = project.runs.filter(patch_set__isnull=False, state=State.FINISHED)
    ran = ended.aggregate(
        screened=Count(whose, distinct=True),
        replicated=Count(whose, distinct=True, filter=~Q(purpose=Purpose.SCREEN)),  # a large effect goes to fresh seeds at once
        confirmed=Count(whose, distinct=True, filter=Q(purpose=Purpose.CONFIRM)),
        scaled=Count(whose, distinct=True, filter=~Q(scale=SMALLEST)),
    )
    solid = Evidence.objects.filter(patch_set__candidate__project=project, verdict=Verdict.SOLID)
    landings = Landing.objects.filter(project=project).aggregate(
        approved=Count("candidate", distinct=True),
        landed=Count("candidate", distinct=True, filter=Q(state=LandingState.LANDED)),
    )
    counts = {
        "proposed": candidates["proposed"],
        "passed the checks": candidates["checked"],
        "screened": ran["screened"],
        "replicated": ran["replicated"],
        "fresh seeds": ran["confirmed"],
        "solid": solid.aggregate(n=Count(whose, distinct=True))["n"],
        "scaled up": ran["scaled"],
        "approved": landings["approved"],
        "landed": landings["landed"],
    }
    if not ran["scaled"]:
        del counts["scaled up"]
    return steps(counts)


def steps(counts: Mapping[str, int]) -> Sequence[Step]:
    """The counts with their shares."""
    funnel: list[Step] = []
    first = next(iter(counts.values()))
    for words, count in counts.items():
        before = funnel[-1].count if funnel else None
        share = count / before if before else None if before is None else 0.0
        funnel.append(Step(words, count, count / first if first else 0.0, share))
    return funnel


def cost_of(project: Project) -> Cost:
    """What all runs took up to now: those that ended from memory, those that wait or train anew. Four queries."""
    unfinished = project.runs.unfinished()
    waiting = _by_kind(unfinished)
    # A run that ended and is made again leaves the first figure for the second.
    version = version_of(project), unfinished.aggregate(earlier=Sum("earlier_seconds"))["earlier"]
    ended, landed = kept(project, version, _ended_by_kind), _landed(project)
    kinds = {kind: ended.get(kind, NONE)[0] + waiting.get(kind, NONE)[0] for kind in sorted({*ended, *waiting})}
    return Cost(kinds, landed, sum(count for _, count in (*ended.values(), *waiting.values())))


NONE = (0.0, 0)


def _ended_by_kind(project: Project) -> dict[str, tuple[float, int]]:
    return _by_kind(project.runs.filter(state=State.FINISHED))


def _by_kind(runs: QuerySet[Run]) -> dict[str, tuple[float, int]]:
    """Device time and number of the runs that took any, by kind of device (one query)."""
    taken = runs.annotate(taken=device_seconds()).filter(taken__gt=0).order_by()
    rows = taken.values_list("device__kind").annotate(Sum("taken"), Count("pk"))
    return {str(kind or "unknown device"): (float(seconds), count) for kind, seconds, count in rows}


def _landed(project: Project) -> int:
    return Landing.objects.filter(project=project, state=LandingState.LANDED).count()
