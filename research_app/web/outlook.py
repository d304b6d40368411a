"""What the loop of each project is doing, and when something may be expected at a gate. For all projects in few queries."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from django.db.models import Count, Min, Q
from django.utils import timezone

from research_app.ladder import SMALLEST
from research_app.loop.baseline_trouble import troubles_of_newest
from research_app.models import Candidate, Device, Evidence, Project, Purpose, Round, Run, Stage, State, Verdict
from research_app.models.candidate import RESTING
from research_app.web import figures

LATELY = timedelta(days=1)
NEWEST = 2000  # runs that tell how long one takes
UNFINISHED = (State.QUEUED, State.RUNNING)


@dataclass(frozen=True)
class Outlook:
    """One project in two sentences: what happens now, and what may be expected. `command`: what would start it."""

    now: str
    expected: str
    command: str = ""


@dataclass(frozen=True)
class Work:
    """The numbers behind it."""

    under_way: int
    training: Sequence[tuple[float, float, float]]  # of every run that trains: progress, what it began with, seconds since
    queued: int
    usual: float | None  # seconds of a run
    devices: int
    rounds: int
    confirming: Sequence[tuple[int, float]]  # candidate, runs of either arm that it still waits for, by their budgets
    tried: int
    solid: int
    since: timedelta | None  # since the first candidate

    @property
    def next_result(self) -> float | None:
        """Seconds until the first run that trains now should end; None before a pace can be told."""
        left = [
            seconds * (1 - progress) / (progress - begun)
            for progress, begun, seconds in self.training
            if progress - begun >= 0.02
        ]
        return min(left) if left else None

    def soonest(self) -> tuple[int, float] | None:
        """The confirming candidate with the least to wait for, and seconds until then if its runs were next."""
        if not self.confirming or self.usual is None or not self.devices:
            return None
        number, runs = min(self.confirming, key=lambda each: each[1])
        return number, runs * self.usual / self.devices


def outlooks(projects: Sequence[Project]) -> dict[int, Outlook]:
    """The outlook of every project. Eleven queries, however many there are, and one more where a baseline has trouble."""
    work, baselines = work_of(projects), troubles_of_newest(projects)
    blocked = {pk for pk, trouble in baselines.items() if trouble.blocking}
    return {project.pk: outlook(project, work[project.pk], project.pk in blocked) for project in projects}


def outlook(project: Project, work: Work, blocked: bool) -> Outlook:
    """What happens and what comes next. No query."""
    if blocked:
        mend = "Nothing is expected before that is mended: see what needs attention."
        return Outlook("Its baseline cannot be measured, so nothing is proposed for it.", mend)
    if project.paused:
        return Outlook("Paused: nothing new is proposed.", "Resume it on the project's page.")
    if not work.devices:
        lost = f"No {project.file.train.device} worker is online, so nothing trains."
        return Outlook(lost, "Start one, and it goes on where it stopped.", "python manage.py up")
    if not (work.under_way or work.rounds or work.training or work.queued):
        start = f"python manage.py loop --project {project.slug} --experiments 12"
        return Outlook("Nothing is being tried.", "Nothing is expected before somebody asks for candidates.", start)
    return Outlook(now_of(work), expected_of(work))


def now_of(work: Work) -> str:
    """What is under way."""
    said = f"{_count(work.under_way, 'candidate')} under way, {_count(len(work.training), 'run')} training"
    if work.queued:
        said += f", {work.queued} queued"
    left = work.next_result
    return f"{said}; the next result in about {calm(left)}." if left is not None else f"{said}."


def expected_of(work: Work) -> str:
    """When somebody may be asked, as far as it can be told."""
    if soonest := work.soonest():
        number, seconds = soonest
        when = f"expected in about {calm(seconds)}" if seconds else "its judgement is due"
        return f"C-{number} is being confirmed: {when}, if its seeds hold."
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
    for pk, progress, begun, started in Run.objects.filter(state=State.RUNNING).values_list(*names):
        training[pk].append((progress, begun, (now - (started or now)).total_seconds()))
    resting = Q(stage__in=RESTING) | ~Q(needs_attention="")
    counts = Candidate.objects.order_by().values_list("project_id")
    totals = counts.annotate(tried=Count("pk"), going=Count("pk", filter=~resting), first=Min("created_at"))
    tried = {pk: (count, going, first) for pk, count, going, first in totals}
    queued = Counter(dict(Run.objects.filter(state=State.QUEUED).order_by().values_list("project_id").annotate(Count("pk"))))
    ended = Run.objects.filter(finished_at__gt=now - LATELY, train_seconds__isnull=False, budget_share=1.0, scale=SMALLEST)
    took: dict[int, list[float]] = defaultdict(list)
    for pk, seconds in ended.order_by("-finished_at").values_list("project_id", "train_seconds")[:NEWEST]:
        took[pk].append(float(seconds or 0.0))
    usual = {pk: median(seconds) for pk, seconds in took.items()}  # one slow candidate does not move it
    rounds = Counter(Round.objects.filter(closed_at=None).values_list("project_id", flat=True))
    solid = Evidence.objects.filter(verdict=Verdict.SOLID).order_by().values_list("patch_set__candidate__project")
    solids = dict(solid.annotate(Count("patch_set__candidate", distinct=True)))
    devices = Counter(Device.objects.online().filter(refusal="").values_list("kind", flat=True))
    found = {}
    for project in projects:
        count, under_way, first = tried.get(project.pk, (0, 0, None))
        found[project.pk] = Work(
            under_way=under_way, training=training[project.pk], queued=queued[project.pk], usual=usual.get(project.pk),
            devices=devices[project.file.train.device], rounds=rounds[project.pk], confirming=confirming[project.pk],
            tried=count, solid=solids.get(project.pk, 0), since=now - first if first else None,
        )  # fmt: skip
    return found


def confirmations() -> dict[int, list[tuple[int, float]]]:
    """By project: each confirming candidate with the budgets of the runs that it waits for. Three queries.

    Those are its own fresh seeds, the same seeds of its baseline, and the other budgets that the time saved is read off.
    """
    rows = Candidate.objects.filter(stage=Stage.CONFIRMING, needs_attention="", patch_set__isnull=False)
    candidates = {
        patch_set: each for patch_set, *each in rows.values_list("patch_set", "project_id", "number", "patch_set__base")
    }
    seeds: dict[int, set[int]] = defaultdict(set)
    waits: dict[int, float] = defaultdict(float)
    own = Run.objects.filter(patch_set__in=candidates, scale=SMALLEST)
    for patch_set, seed, state, purpose in own.values_list("patch_set", "seed", "state", "purpose"):
        seeds[int(patch_set or 0)] |= {seed} if purpose == Purpose.CONFIRM else set()
        waits[int(patch_set or 0)] += state in UNFINISHED
    theirs: dict[int, list[tuple[str, int, float]]] = defaultdict(list)
    bases = Run.objects.of_baseline().filter(baseline__in={base for _, _, base in candidates.values()}, state__in=UNFINISHED)
    for base, purpose, seed, share in bases.values_list("baseline", "purpose", "seed", "budget_share"):
        theirs[base].append((purpose, seed, share))
    found: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for patch_set, (project, number, base) in candidates.items():
        beside = [share for purpose, seed, share in theirs[base] if purpose == Purpose.CURVE or seed in seeds[patch_set]]
        found[project].append((number, waits[patch_set] + sum(beside)))
    return found


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
