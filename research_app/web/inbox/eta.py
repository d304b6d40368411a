"""What the loop of each project is doing, and when something may be expected at a gate. For all projects in few queries."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from django.db.models import Count, Min, Q
from django.utils import timezone

from research_app.models import Candidate, Device, Evidence, Project, Purpose, Round, Run, Stage, State, Verdict
from research_app.models.candidate import IDLE
from research_app.project_file.ladder import SMALLEST
from research_app.web.shared import figures

LATELY = timedelta(days=1)
NEWEST = 2000  # runs that tell how long one takes
UNFINISHED = (State.QUEUED, State.RUNNING)
OF_CANDIDATE = ("project_id", "number", "stage_since", "patch_set__base_id")
OF_RUN = ("purpose", "seed", "budget_share", "state", "progress", "finished_at")
TOLD_FROM, TOLD_WELL = 0.02, 0.25  # shares of a run from which its pace can be told, and told well


@dataclass(frozen=True)
class Expectation:
    """One project in two sentences: what happens now, and what may be expected. `command`: what would start it."""

    now: str
    expected: str
    command: str = ""


@dataclass(frozen=True)
class Confirming:
    """A candidate that is confirmed: of all runs that it waits for, those that ended, and the budgets that are left."""

    number: int
    ended: int
    wanted: int
    left: float

    @classmethod
    def of(cls, number: int, runs: Sequence["Awaited"]) -> "Confirming":
        """Count its runs."""
        left = [run.left for run in runs if run.state in UNFINISHED]
        return cls(number, len(runs) - len(left), len(runs), sum(left))


@dataclass(frozen=True)
class Awaited:
    """One run that a confirmation may wait for."""

    purpose: str
    seed: int
    share: float  # of the budget
    state: str
    progress: float
    finished_at: datetime | None

    @property
    def left(self) -> float:
        """Budget that is still to be spent, in runs."""
        return self.share * (1 - self.progress) if self.state == State.RUNNING else self.share

    def is_for(self, candidate: Candidate, seeds: Collection[int]) -> bool:
        """Whether a run of the baseline is one that this candidate waits for, or has waited for."""
        if self.purpose != Purpose.CURVE:
            return self.seed in seeds
        return self.finished_at is None or self.finished_at > candidate.stage_since


@dataclass(frozen=True)
class Work:
    """The numbers behind it."""

    under_way: int
    training: Sequence[tuple[float, float, float]]  # of every run that trains: progress, what it began with, seconds since
    queued: int
    usual: float | None  # seconds of a run
    devices: int
    rounds: int
    confirming: Sequence[Confirming]
    tried: int
    solid: int
    since: timedelta | None  # since the first candidate

    @property
    def next_result(self) -> float | None:
        """Seconds until the first run that trains now should end; None before a pace can be told.

        A run's own pace counts from a quarter of it on, or where no run has ended: its first seconds are not training.
        """
        left = []
        for progress, begun, seconds in self.training:
            done = progress - begun
            if self.usual is not None and done < TOLD_WELL:
                left.append(self.usual * (1 - progress))
            elif done >= TOLD_FROM:
                left.append(seconds * (1 - progress) / done)
        return min(left) if left else None

    @property
    def pace(self) -> float | None:
        """Seconds that a run takes: those of late, or before one has ended what the runs that train now will; None before."""
        if self.usual is not None:
            return self.usual
        whole = [seconds / (progress - begun) for progress, begun, seconds in self.training if progress - begun >= TOLD_FROM]
        return max(whole) if whole else None

    def soonest(self) -> Confirming | None:
        """The confirming candidate with the least to wait for."""
        return min(self.confirming, key=lambda each: each.left) if self.confirming else None

    def seconds_for(self, runs: float) -> float | None:
        """How long so many runs take on all devices, if they are next; None before a pace can be told."""
        return None if self.pace is None or not self.devices else runs * self.pace / self.devices


def expectation_of(project: Project, work: Work, blocked: bool) -> Expectation:
    """What happens and what comes next. No query."""
    if blocked:
        mend = "Nothing is expected before that is mended: see what needs attention."
        return Expectation("Its baseline cannot be measured, so nothing is proposed for it.", mend)
    if project.paused:
        return Expectation("Paused: nothing new is proposed.", "Resume it on the project's page.")
    if not work.devices:
        lost = f"No {project.file.train.device} worker is online, so nothing trains."
        return Expectation(lost, "Start one, and it goes on where it stopped.", "python manage.py up")
    if not (work.under_way or work.rounds or work.training or work.queued):
        start = f"python manage.py loop --project {project.slug} --experiments 12"
        return Expectation("Nothing is being tried.", "Nothing is expected before somebody asks for candidates.", start)
    return Expectation(now_of(work), expected_of(work))


def now_of(work: Work) -> str:
    """What is under way."""
    sentence = f"{_count(work.under_way, 'candidate')} under way, {_count(len(work.training), 'run')} training"
    if work.queued:
        sentence += f", {work.queued} queued"
    left = work.next_result
    return f"{sentence}; the next result in about {calm(left)}." if left is not None else f"{sentence}."


def expected_of(work: Work) -> str:
    """When somebody may be asked, as far as it can be told."""
    if soonest := work.soonest():
        seconds = work.seconds_for(soonest.left)
        when = "its judgement is due" if not soonest.left else f"expected in about {calm(seconds)}" if seconds else "under way"
        return f"C-{soonest.number} is being confirmed: {when}, if its seeds hold."
    if work.solid and work.since:
        every = figures.duration(work.since / work.solid)
        return f"{work.solid} of {work.tried} came to a gate so far, about one every {every}."
    return f"None of {work.tried} came to a gate so far." if work.tried else "The first candidates are being proposed."


def calm(seconds: float) -> str:
    """A time ahead in steps of ten seconds: a page that counts down would renew itself all the time."""
    return figures.duration(max(10, round(seconds / 10) * 10))


def work_of(projects: Sequence[Project]) -> dict[int, Work]:
    """The numbers of every project. Nine queries."""
    now, confirming = timezone.now(), confirmations()
    training: dict[int, list[tuple[float, float, float]]] = defaultdict(list)
    names = ("project_id", "progress", "resumed_at", "started_at")
    for pk, progress, begun, started in Run.objects.training().values_list(*names):
        training[pk].append((progress, begun, (now - (started or now)).total_seconds()))
    idle = Q(stage__in=IDLE) | ~Q(needs_attention="")
    counts = Candidate.objects.order_by().values_list("project_id")
    totals = counts.annotate(tried=Count("pk"), going=Count("pk", filter=~idle), first=Min("created_at"))
    tried = {pk: (count, going, first) for pk, count, going, first in totals}
    queued = Counter(dict(Run.objects.queued().order_by().values_list("project_id").annotate(Count("pk"))))
    ended = Run.objects.filter(finished_at__gt=now - LATELY, train_seconds__isnull=False, budget_share=1.0, scale=SMALLEST)
    took: dict[int, list[float]] = defaultdict(list)
    for pk, seconds in ended.order_by("-finished_at").values_list("project_id", "train_seconds")[:NEWEST]:
        took[pk].append(float(seconds or 0.0))
    usual = {pk: median(seconds) for pk, seconds in took.items()}  # one slow candidate does not move it
    rounds = Counter(Round.objects.filter(closed_at=None).values_list("project_id", flat=True))
    solid = Evidence.objects.filter(verdict=Verdict.SOLID).order_by().values_list("patch_set__candidate__project")
    solids = dict(solid.annotate(Count("patch_set__candidate", distinct=True)))
    devices = Counter(Device.objects.online().filter(refusal="").values_list("kind", flat=True))
    work = {}
    for project in projects:
        count, under_way, first = tried.get(project.pk, (0, 0, None))
        work[project.pk] = Work(
            under_way=under_way, training=training[project.pk], queued=queued[project.pk], usual=usual.get(project.pk),
            devices=devices[project.file.train.device], rounds=rounds[project.pk], confirming=confirming[project.pk],
            tried=count, solid=solids.get(project.pk, 0), since=now - first if first else None,
        )  # fmt: skip
    return work


def confirmations() -> dict[int, list[Confirming]]:
    """By project: each confirming candidate with the runs that it waits for. Three queries.

    Those are its own fresh seeds, the same seeds of its baseline, and the other budgets that the time saved is read off.
    """
    rows = Candidate.objects.filter(stage=Stage.CONFIRMING, needs_attention="", patch_set__isnull=False)
    candidates = {each.patch_set_id or 0: each for each in rows.select_related("patch_set").only(*OF_CANDIDATE)}
    waits: dict[int, list[Awaited]] = defaultdict(list)
    own = Run.objects.filter(Q(purpose=Purpose.CONFIRM) | Q(state__in=UNFINISHED), patch_set__in=candidates, scale=SMALLEST)
    for patch_set, *run in own.values_list("patch_set", *OF_RUN):
        waits[int(patch_set or 0)].append(Awaited(*run))
    seeds = {patch_set: {run.seed for run in runs if run.purpose == Purpose.CONFIRM} for patch_set, runs in waits.items()}
    fresh = Q(purpose=Purpose.CURVE) | Q(seed__in=set().union(*seeds.values()), budget_share=1.0)
    bases = {each.patch_set.base_id for each in candidates.values() if each.patch_set}
    theirs: dict[int, list[Awaited]] = defaultdict(list)
    for base, *run in Run.objects.of_baseline().filter(fresh, baseline__in=bases).values_list("baseline", *OF_RUN):
        theirs[base].append(Awaited(*run))
    confirming: dict[int, list[Confirming]] = defaultdict(list)
    for patch_set, candidate in candidates.items():
        beside = [run for run in theirs[candidate.revision.base_id] if run.is_for(candidate, seeds.get(patch_set, set()))]
        confirming[candidate.project_id].append(Confirming.of(candidate.number, [*waits[patch_set], *beside]))
    return confirming


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
