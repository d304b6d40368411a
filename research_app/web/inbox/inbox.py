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
from research_app.loop.reconcile import retry_reference_runs
from research_app.loop.runs import costs_of
from research_app.models import Candidate, Project, Stage
from research_app.models.candidate import IDLE, WAITING
from research_app.web.inbox.eta import Expectation, expectation_of, work_of
from research_app.web.inbox.first_steps import UNDO, first_steps
from research_app.web.inbox.lead import Lead, leads
from research_app.web.inbox.lists import Listing, ListQuery, listing, projects_of
from research_app.web.inbox.waiting import Waiting, waiting_for
from research_app.web.shared import live
from research_app.web.shared.access import get_project, operator, researcher
from research_app.web.shared.unchanged import still


@dataclass(frozen=True)
class Card:
    """One project with its numbers."""

    project: Project
    stages: Counter[str]
    training: int
    expectation: Expectation
    lead: Lead | None  # where nothing waits for the reader
    taken_back: int = 0  # of what landed

    @property
    def waiting(self) -> int:
        return sum(self.stages[stage] for stage in WAITING)

    @property
    def under_way(self) -> int:
        return sum(count for stage, count in self.stages.items() if stage not in IDLE)

    @property
    def landed(self) -> int:
        """What landed and is still part of the baseline."""
        return self.stages[Stage.LANDED] - self.taken_back

    @property
    def candidates(self) -> int:
        return sum(self.stages.values())


@researcher
@require_safe
@still(curves=True)
def inbox(request: HttpRequest) -> HttpResponse:
    """“Your turn” across all projects: one list of decisions, and what else there is. A constant number of queries."""
    assert isinstance(request.user, User)  # the access check let nobody else through
    listed = listing(request.user, ListQuery.of(request))
    role, known = role_of(request.user), list(Project.objects.order_by("slug"))
    every = [project for project in known if not project.archived_at]
    baselines = troubles_of_newest(every)
    context = {
        "listing": listed,
        "turns": turns_on(request.user, listed),
        "answers": [candidate for candidate in listed.candidates if not candidate.waits_for_person],
        "projects": projects_of(every, listed.query),
        "archived": [project for project in known if project.archived_at],
        "troubles": troubles(every, baselines),
        "may_operate": role is not None and role.holds(Role.OPERATOR),
        "cards": cards(every, baselines, role, leading=not listed.waiting),
        "first_steps": first_steps(request.user, role, every, waits=bool(listed.waiting)),
        "put_away": not live.is_pulse(request) and request.session.pop(UNDO, False),
    }
    fragments = {name: f"inbox/_{name}.html" for name in ("waiting", "steps", "troubles", "projects")}
    return live.page(request, "inbox/inbox.html", fragments, context)


def turns_on(user: User, listed: Listing) -> list[Waiting]:
    """What the rows of a list say: of those at a gate; what waits for its author says why it came back."""
    at_gate = [candidate for candidate in listed.candidates if candidate.waits_for_person]
    return waiting_for(user, listed.mine, at_gate, costs_of(at_gate))


@operator
@require_POST
def try_again(request: HttpRequest, slug: str) -> HttpResponse:
    """Fresh attempts for the runs of a project's baseline that the worker failed on, or that did not end well."""
    project = get_project(request, slug)
    retry_reference_runs(project, request.user.get_username())
    messages.info(request, f"The reference runs of {project.slug} are queued again.")
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
        Card(
            p,
            stages[p.pk],
            len(work[p.pk].training),
            expectation_of(p, work[p.pk], p.pk in blocked),
            first.get(p.pk),
            undone[p.pk],
        )
        for p in projects
    ]
