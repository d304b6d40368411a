"""/projects/<slug>/landings/ : the landing queue, what each entry waits for, why one left it, and how the remote is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from research_app.access import may_operate
from research_app.evidence.averages import mean
from research_app.loop.land.push import push_now
from research_app.models import Decision, Landing, LandingState, Project, Push, PushState, Review, Run, State
from research_app.models.candidate import failed_at_rungs
from research_app.repository import RepositoryError
from research_app.repository.mirror import shown_without_secrets
from research_app.web.shared import live
from research_app.web.shared.access import get_project, operator, researcher
from research_app.web.shared.effects import Effect, effect_of
from research_app.web.shared.unchanged import still

LEFT = 30  # entries that landed or came back, newest first


@dataclass(frozen=True)
class Entry:
    """One approved candidate in the queue. `done` of `runs` have ended where it is judged again."""

    place: int
    landing: Landing
    effect: Effect | None
    waits_for: str
    tone: str  # of the chip: working, warn or mute
    done: int = 0
    runs: int = 0
    left: float | None = None  # seconds until its runs have ended, on one device

    @property
    def share(self) -> float:
        """Of its runs, those that have ended."""
        return self.done / self.runs if self.runs else 0.0


@researcher
@require_safe
@still()
def landings(request: HttpRequest, slug: str) -> HttpResponse:
    """The queue. A constant number of queries."""
    project = get_project(request, slug)
    context = {"project": project, "remote": shown_without_secrets(project.file.landing.remote)}
    context |= {"queue": queue_of(project), "left": left_of(project), "pushes": pushes_of(project)}
    context |= {"moved": project.external_moves.waiting().first()}
    context |= {"outside": project.baseline_versions.filter(moved_outside=True).order_by("-number")[:3]}
    context |= {"may_operate": may_operate(request.user), "batch": project.file.landing.batch, "moving": moving(project)}
    parts = {"queue": "landings/_queue.html", "remote": "landings/_remote.html", "left": "landings/_left.html"}
    return live.page(request, "landings/landings.html", parts, context)


@operator
@require_POST
def push(request: HttpRequest, slug: str) -> HttpResponse:
    """Try the remote again now."""
    project = get_project(request, slug)
    assert isinstance(request.user, User)  # the decorator lets nobody else in
    push_now(project, request.user.get_username())
    return redirect("landings", slug=slug)


def moving(project: Project) -> str:
    """Why the branch cannot be read, where it cannot be; the page then says so."""
    try:
        project.repository.tip()
    except RepositoryError as problem:
        return str(problem)
    return ""


def queue_of(project: Project) -> list[Entry]:
    """The queue in its order, without the stacks that batches are judged as: their entries stand for them. Four queries."""
    approvals = Review.objects.filter(decision=Decision.APPROVE, voided_at=None).select_related("reviewer")
    rows = (
        Landing.objects.active()
        .filter(project=project)
        .select_related("candidate__project", "candidate__evidence", "candidate__patch_set", "batch__candidate__project")
        .defer("candidate__patch_set__diff")
    )
    landings = list(
        rows.prefetch_related(Prefetch("candidate__reviews", approvals, to_attr="approvals"), failed_at_rungs("candidate__"))
    )
    wholes = {entry.batch_id for entry in landings if entry.batch_id}
    listed = [entry for entry in landings if entry.pk not in wholes]
    judged = {(entry.batch or entry).patch_set_id for entry in listed}
    progress = progress_of(judged)
    entries: list[Entry] = []
    for place, entry in enumerate(listed, 1):
        words, tone = waits_for(entry, entries)
        done, runs, left = progress.get((entry.batch or entry).patch_set_id, (0, 0, None)) if judging(entry) else (0, 0, None)
        effect = effect_of(entry.candidate.evidence)
        entries.append(Entry(place, entry, effect, words, tone, done, runs, left))
    return entries


def judging(entry: Landing) -> bool:
    """Whether it, or its batch, is judged again now."""
    return (entry.batch or entry).state == LandingState.REJUDGING


def waits_for(entry: Landing, ahead: Sequence[Entry]) -> tuple[str, str]:
    """What it waits for, in a sentence, and the tone of that."""
    head = (entry.batch or entry) if not ahead or (entry.batch_id and ahead[0].landing.batch_id == entry.batch_id) else None
    if head and head.trouble:
        return head.trouble, "warn"
    if entry.state == LandingState.BATCHED and entry.batch:
        return f"judged and landed together, as {entry.batch.candidate}", "working"
    if entry.state == LandingState.REJUDGING:
        return entry.reason, "working"
    if head and entry.lease_until and entry.lease_until > timezone.now():
        return "is being landed now", "working"
    if head:
        return entry.reason or "lands as soon as a worker takes it", "working"
    return f"its turn, after {ahead[-1].landing.candidate}", "mute"


def progress_of(patch_sets: set[int]) -> Mapping[int, tuple[int, int, float | None]]:
    """By patch set: runs that ended, all of them, and about how many seconds are left. One query."""
    progress: dict[int, list[tuple[str, float | None]]] = {}
    runs = Run.objects.filter(patch_set__in=patch_sets, purpose="rejudge")
    for pk, state, seconds in runs.values_list("patch_set_id", "state", "train_seconds"):
        progress.setdefault(int(pk or 0), []).append((state, seconds))
    elapsed = {}
    for pk, listed in progress.items():
        took = [seconds for _, seconds in listed if seconds]
        usual = mean(took)
        done = sum(state == State.FINISHED for state, _ in listed)
        elapsed[pk] = done, len(listed), usual * (len(listed) - done) if usual is not None else None
    return elapsed


def left_of(project: Project) -> list[Landing]:
    """What left the queue last, landed or returned, newest first. One query."""
    rows = Landing.objects.filter(project=project, state__in=(LandingState.LANDED, LandingState.RETURNED))
    return list(
        rows.select_related("candidate__project", "version", "batch__candidate__project").order_by("-ended_at", "-pk")[:LEFT]
    )


def pushes_of(project: Project) -> list[Push]:
    """Pushes that have not arrived, newest version first. One query."""
    rows = Push.objects.filter(project=project).exclude(state=PushState.PUSHED).select_related("version")
    return list(rows.order_by("-version__number")[:10])
