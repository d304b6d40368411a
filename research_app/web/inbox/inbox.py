"""/ : “your turn” across projects: what waits for this person, for others, and for somebody to mend it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from research_app.access import Role, role_of
from research_app.loop.attention.baseline_trouble import BaselineTrouble, troubles_of_newest
from research_app.loop.attention.troubles import troubles
from research_app.loop.reconcile import retry_bank
from research_app.loop.review.votes import turns_of
from research_app.loop.runs import costs_of
from research_app.models import Candidate, Project, Stage
from research_app.models.candidate import RESTING, TO_ANSWER, WAITING
from research_app.web.candidates.candidates import for_list
from research_app.web.candidates.columns import SAVED
from research_app.web.inbox.eta import Outlook, outlook, work_of
from research_app.web.inbox.first_steps import UNDO, first_steps
from research_app.web.inbox.lead import Lead, leads
from research_app.web.inbox.waiting import waiting_for
from research_app.web.shared import live
from research_app.web.shared.access import get_project, operator, researcher

SHOWN = 50  # decisions on one page: the oldest first


@dataclass(frozen=True)
class Card:
    """One project with its numbers."""

    project: Project
    stages: Counter[str]
    training: int
    outlook: Outlook
    lead: Lead | None  # where nothing waits for the reader
    taken_back: int = 0  # of what landed

    @property
    def waiting(self) -> int:
        return sum(self.stages[stage] for stage in WAITING)

    @property
    def under_way(self) -> int:
        return sum(count for stage, count in self.stages.items() if stage not in RESTING)

    @property
    def landed(self) -> int:
        """What landed and is still part of the baseline."""
        return self.stages[Stage.LANDED] - self.taken_back

    @property
    def candidates(self) -> int:
        return sum(self.stages.values())


@researcher
@require_safe
def inbox(request: HttpRequest) -> HttpResponse:
    """“Your turn” across all projects. A constant number of queries."""
    waiting = list(
        for_list(Candidate.objects.waiting_for_review()).annotate(saved=SAVED).order_by("stage_since", "pk")[: SHOWN + 1]
    )
    assert isinstance(request.user, User)  # the access check let nobody else through
    mine = turns_of(request.user)
    here = {*mine.filter(pk__in=[c.pk for c in waiting]).values_list("pk", flat=True)}
    turns = waiting_for(request.user, here, waiting[:SHOWN], costs_of(waiting))
    answers = for_list(mine.filter(stage__in=TO_ANSWER))
    role, my_turns = role_of(request.user), [turn for turn in turns if turn.mine]
    every = list(Project.objects.order_by("slug"))
    baselines = troubles_of_newest(every)
    projects = cards(every, baselines, role, leading=not my_turns)
    context = {
        "mine": my_turns,
        "others": [turn for turn in turns if not turn.mine],
        "more": len(waiting) > SHOWN,
        "answers": answers.order_by("stage_since")[:SHOWN],
        "troubles": troubles(every, baselines),
        "may_operate": role is not None and role.holds(Role.OPERATOR),
        "cards": projects,
        "first_steps": first_steps(request.user, role, every, waits=bool(my_turns)),
        "put_away": not live.is_pulse(request) and request.session.pop(UNDO, False),
    }
    fragments = {name: f"inbox/_{name}.html" for name in ("waiting", "steps", "troubles", "projects")}
    return live.page(request, "inbox/inbox.html", fragments, context)


@operator
@require_POST
def try_again(request: HttpRequest, slug: str) -> HttpResponse:
    """Fresh attempts for the runs of a project's baseline that the machine gave up on, or that did not end well."""
    project = get_project(request, slug)
    retry_bank(project, request.user.get_username())
    messages.info(request, f"The baseline's runs of {project.slug} are tried again.")
    return redirect(project if request.POST.get("back") == "project" else "inbox")


def cards(
    projects: Sequence[Project], baselines: Mapping[int, BaselineTrouble], role: Role | None = None, *, leading: bool = False
) -> list[Card]:
    """All projects with what happens in them; what leads an empty inbox too, if wanted. A constant number of queries."""
    stages: dict[int, Counter[str]] = defaultdict(Counter)
    undone: Counter[int] = Counter()
    by_stage = Candidate.objects.order_by().values_list("project_id", "stage")
    for project_id, stage, count, gone in by_stage.annotate(Count("pk"), Count("undone_by")):
        stages[project_id][stage] = count
        undone[project_id] += gone
    work, blocked = work_of(projects), {pk for pk, trouble in baselines.items() if trouble.blocking}
    first = leads(projects, work, blocked, role) if leading else {}
    return [
        Card(p, stages[p.pk], len(work[p.pk].training), outlook(p, work[p.pk], p.pk in blocked), first.get(p.pk), undone[p.pk])
        for p in projects
    ]
