"""/projects/<slug>/ : how the research goes, what trains now, what waits; and pausing it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib import messages
from django.db.models import Avg, Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from research_app.access import may_operate
from research_app.evidence.averages import deviation, mean
from research_app.loop.attention.troubles import troubles
from research_app.loop.propose import propose
from research_app.models import Candidate, Device, Project, Purpose, Run, Stage, State
from research_app.models.candidate import DISCARDED, IDLE, WAITING
from research_app.models.run import is_usable
from research_app.web.candidate.resources import Constant, constants_of
from research_app.web.candidates.candidates import DUPLICATES, SMALL, for_list
from research_app.web.project.calibration import Calibration
from research_app.web.project.funnel import cost_of, funnel_of
from research_app.web.project.progress import MEASURES
from research_app.web.shared import live
from research_app.web.shared.access import get_project, operator, researcher
from research_app.web.shared.drafts import refuse
from research_app.web.shared.effects import rows
from research_app.web.shared.live_runs import Training, with_curves
from research_app.web.shared.stats_cache import kept, version_of
from research_app.web.shared.unchanged import still
from training.spec import Outcome

WINDOW = timedelta(hours=1)  # of throughput and device use
WAY = tuple(stage for stage in Stage if stage not in DISCARDED)
ALWAYS = (*WAY[: WAY.index(Stage.SHORTLISTED)], Stage.READY, Stage.LANDING, Stage.LANDED)  # shown with a zero too
MOST_PLACES = 8  # devices that are shown one by one
TRYING = 4  # candidates under way


@researcher
@require_safe
@still(curves=True)
def project(request: HttpRequest, slug: str) -> HttpResponse:
    """The project's page. The number of queries does not depend on how much it tried."""
    project = get_project(request, slug)
    waiting = for_list(project.candidates.waiting_for_review()).order_by("stage_since")
    counts = dict(project.candidates.values_list("stage").annotate(Count("pk")).order_by())
    version, places = (version_of(project), *sorted(counts.items())), places_of(project)
    training = [place.training for place in places if place.training]
    by_stage = kept(project, version, ends_of)
    refused = {Stage.INVALID: counts.get(Stage.INVALID, 0) - by_stage["duplicates"]}
    context = {
        "measures": MEASURES,
        **by_stage,
        "attention": project.candidates.exclude(needs_attention="").count(),
        "project": project,
        "baseline": ReferenceRuns.of(project),
        "way": [(stage, counts.get(stage, 0)) for stage in WAY if stage in ALWAYS or counts.get(stage)],
        "discarded": [(stage, count) for stage in DISCARDED if (count := (counts | refused).get(stage))],
        "waiting": rows(waiting[:5]),
        "waiting_count": sum(counts.get(stage, 0) for stage in WAITING),
        "places": places,
        "training": training,
        "idle": sum(place.idle for place in places),
        "queued": project.runs.queued().count(),
        "pace": Pace.of(project),
        "calibration": Calibration.of(project),
        "rounds": project.rounds.filter(closed_at=None).annotate(made=Count("candidates")).order_by("pk"),
        "last_round": project.rounds.exclude(closed_at=None).order_by("-closed_at").first(),
        "trying": tried_now(project),
        "troubles": troubles([project]),
        "may_operate": may_operate(request.user),
        "funnel": kept(project, version, funnel_of),
        "cost": cost_of(project),
        "chart_version": f"{sum(counts.values())}-{sum(counts.get(s, 0) for s in IDLE)}-{project.baseline_versions.count()}",
    }
    fragments = {
        "status": "project/_status.html",
        "troubles": "project/_troubles.html",
        "training": "project/_training.html",
        "turn": "project/_turn.html",
        "calibration": "project/_calibration.html",
        "proposing": "project/_proposing.html",
        "funnel": "project/_funnel.html",
        "progress-mark": "project/_mark.html",
    }
    return live.page(request, "project/project.html", fragments, context)


def ends_of(project: Project) -> dict[str, int]:
    """Of what ended: how many within the noise, and as the same change as an earlier one."""
    return project.candidates.aggregate(within_noise=Count("pk", filter=SMALL), duplicates=Count("pk", filter=DUPLICATES))


@operator
@require_POST
def pause(request: HttpRequest, slug: str) -> HttpResponse:
    """Stop proposing; what is under way goes on."""
    project = get_project(request, slug)
    propose.pause(project, request.user.get_username())
    messages.info(request, "Paused: nothing new is proposed. What is under way goes on.")
    return redirect(project)


@operator
@require_POST
def resume(request: HttpRequest, slug: str) -> HttpResponse:
    """Propose again."""
    project = get_project(request, slug)
    if project.archived_at:
        refuse(request, f"{project.slug} is archived: bring it back first, under Settings.")
        return redirect(project)
    propose.resume(project, request.user.get_username())
    messages.info(request, "Resumed: the proposers are at work again.")
    return redirect(project)


@dataclass(frozen=True)
class ReferenceRuns:
    """The newest baseline version, the scores of its reference runs, and how many other budgets were run for the curve."""

    number: int
    commit: str
    scores: Sequence[float]
    wanted: int
    ended: int
    curve: int
    curve_wanted: int
    diverged: int = 0  # of its runs, at any budget

    @classmethod
    def of(cls, project: Project) -> "ReferenceRuns | None":
        """Two queries. None before the project has a baseline."""
        version = project.baseline_versions.order_by("-number").first()
        if version is None:
            return None
        runs = list(version.runs.of_baseline().values_list("purpose", "state", "score", "outcome"))
        usable = [(purpose, state, score if is_usable(score) else None) for purpose, state, score, _ in runs]
        reference = [(state, score) for purpose, state, score in usable if purpose == Purpose.REFERENCE]
        curve = [score for purpose, _, score in usable if purpose == Purpose.CURVE]
        return cls(
            version.number,
            version.commit,
            scores=[score for _, score in reference if score is not None],
            wanted=max(project.file.baseline.runs, len(reference)),
            ended=sum(state == State.FINISHED for state, _ in reference),
            curve=sum(score is not None for score in curve),
            curve_wanted=len(curve),
            diverged=sum(outcome == Outcome.diverged for *_, outcome in runs),
        )

    @property
    def mean(self) -> float | None:
        return mean(self.scores)

    @property
    def std(self) -> float | None:
        return deviation(self.scores)


@dataclass(frozen=True)
class Place:
    """One device and what it does: a run of this project, one of another, or nothing. Places stay where they are."""

    name: str
    training: Training | None
    elsewhere: str = ""  # what else it trains for: another project, or a run that has several devices

    @property
    def idle(self) -> bool:
        return self.training is None and not self.elsewhere


def places_of(project: Project) -> list[Place]:
    """A place for every device that takes this project's runs, where they are few, and every run that trains. Five queries."""
    running = Run.objects.training().select_related("project", "device", "baseline", "patch_set__candidate")
    runs = list(running.defer("patch_set__diff", "facts").prefetch_related("further_devices").order_by("pk"))
    mine = [run for run in runs if run.project_id == project.pk]
    others = {run.device_id: run.project.slug for run in runs if run.project_id != project.pk}
    for run in runs:
        whose = run.name if run.project_id == project.pk else run.project.slug
        others |= {device.pk: f"{whose}, with others" for device in run.further_devices.all()}
    training = with_curves(mine)
    devices = Device.objects.online().filter(kind=project.file.train.device, refusal="").order_by("name")
    free = list(devices[: MOST_PLACES + 1])
    if len(free) > MOST_PLACES:  # a large fleet: only what trains for this project
        return [Place(each.run.device.name if each.run.device else "", each) for each in training]
    by_device = {each.run.device_id: each for each in training if each.run.device_id}
    places = [Place(device.name, by_device.pop(device.pk, None), others.get(device.pk, "")) for device in free]
    left = [each for each in training if each.run.device_id is None or each.run.device_id in by_device]
    return [*places, *(Place(each.run.device.name if each.run.device else "", each) for each in left)]


@dataclass(frozen=True)
class Trying:
    """One candidate that a machine works on: what it changes, and how far its runs are."""

    candidate: Candidate
    ended: int
    wanted: int
    mean: float | None

    @property
    def constants(self) -> list[Constant]:
        return constants_of(self.candidate.patch_set)


def tried_now(project: Project) -> list[Trying]:
    """The newest candidates under way with their runs. Two queries."""
    under_way = project.candidates.exclude(stage__in=IDLE).filter(needs_attention="").select_related("patch_set", "project")
    candidates = list(under_way.defer("proposed").order_by("-number")[:TRYING])
    runs = Run.objects.filter(patch_set__in=[c.patch_set_id for c in candidates if c.patch_set_id]).order_by()
    ended = Count("pk", filter=Q(state=State.FINISHED))
    counted = runs.values_list("patch_set_id").annotate(asked=Count("pk"), ended=ended, mean=Avg("score"))
    by_patch_set = {patch_set: (ended, wanted, mean) for patch_set, wanted, ended, mean in counted}
    return [Trying(c, *by_patch_set.get(c.patch_set_id, (0, 0, None))) for c in candidates]


@dataclass(frozen=True)
class Pace:
    """Throughput and device use in the last hour, or since the first run if that is less."""

    experiments: int
    window: timedelta
    busy: float | None
    devices: int
    refusing: int

    @classmethod
    def of(cls, project: Project) -> "Pace":
        """Two queries."""
        now = timezone.now()
        since = now - WINDOW
        at_work = Q(finished_at=None, state=State.RUNNING)  # one that is stuck has no device
        recent_runs = project.runs.filter(Q(finished_at__gte=since) | at_work, started_at__isnull=False)
        runs = list(recent_runs.only("project", "started_at", "finished_at", "train_seconds", "patch_set_id", "devices"))
        refusals = Device.objects.online().filter(kind=project.file.train.device).values_list("refusal", flat=True)
        refusing = sum(bool(refusal) for refusal in refusals)
        devices = len(refusals) - refusing
        if not runs:
            return cls(0, WINDOW, None, devices, refusing)
        begin = max(since, min(run.started_at or now for run in runs))
        window = max(now - begin, timedelta(seconds=1))
        ended = sum(1 for run in runs if run.patch_set_id and run.finished_at)
        used = sum(_overlap(run, begin, now) for run in runs)
        busy = min(1.0, used / (window.total_seconds() * devices)) if devices else None
        return cls(ended, window, busy, devices, refusing)

    @property
    def per_hour(self) -> float | None:
        """None in the first minute, when a rate would say nothing."""
        return self.experiments / (self.window / timedelta(hours=1)) if self.window > timedelta(minutes=1) else None


def _overlap(run: Run, begin: datetime, now: datetime) -> float:
    """Seconds of training inside the window, on all of its devices."""
    started = (run.started_at or now).timestamp()
    end = started + run.train_seconds if run.train_seconds else (run.finished_at or now).timestamp()
    return max(0.0, min(end, now.timestamp()) - max(started, begin.timestamp())) * run.devices
