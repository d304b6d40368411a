"""/projects/<slug>/agents/ : the conversations of a project, what they cost, and what is left of the budgets."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db.models import Count, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from agent.budget import WARNINGS
from research_app.loop.propose import steer
from research_app.loop.propose.conversation import converse
from research_app.loop.propose.conversation.token_budget import shares
from research_app.loop.propose.steer import SteeringRefused
from research_app.models import Candidate, Conversation, ConversationState, Event, Project
from research_app.models.event_kinds import EventKind
from research_app.web.agents.steering import Steering
from research_app.web.shared import live
from research_app.web.shared.access import get_project, operator, researcher
from research_app.web.shared.drafts import refuse
from research_app.web.shared.query_numbers import wholes

PAGE_SIZE = 50
FRAGMENTS = {
    "agents-spend": "agents/conversations/_spend.html",
    "agents-list": "agents/conversations/_list.html",
    "agents-steering": "agents/conversations/_steering.html",
}


@researcher
@require_safe
def conversations(request: HttpRequest, slug: str) -> HttpResponse:
    """The page. A constant number of queries, however many conversations there were."""
    project = get_project(request, slug)
    conversations_ = project.conversations.select_related("candidate__project", "project", "asked_by", "turn").order_by("-pk")
    state = request.GET.get("state", "")
    if state in ConversationState.values:
        conversations_ = conversations_.filter(state=state)
    page = Paginator(conversations_, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "project": project,
        "page": page,
        "state": state,
        "states": ConversationState.choices,
        "running": list(
            project.conversations.filter(state=ConversationState.OPEN).select_related("project").order_by("pk")[:20]
        ),
        "spend": Spend.of(project),
        "unavailable": converse.unavailable(project),
        "agents": project.file.agents,
        "failures": failures_of(project),
        "steering": Steering.of(project),
        "warnings": Event.objects.filter(project=project, kind__in=(EventKind.BUDGET_WARNING, EventKind.BUDGET_SPENT)).order_by(
            "-sequence"
        )[:5],
    }
    return live.page(request, "agents/conversations.html", FRAGMENTS, context)


@dataclass(frozen=True)
class Budget:
    """One limit and how far it is used."""

    name: str
    unit: str
    used: float
    limit: float
    share: float

    @property
    def tone(self) -> str:
        """Colour of its bar: by the same thresholds at which people are told."""
        low, high, _ = WARNINGS
        return "bad" if self.share >= high else "warn" if self.share >= low else "good"

    @property
    def level(self) -> str:
        """The threshold that it passed, in words."""
        passed = [mark for mark in WARNINGS if self.share >= mark]
        return f"{passed[-1]:.0%} reached" if passed else ""


@dataclass(frozen=True)
class Spend:
    """What all conversations of a project used."""

    budgets: Sequence[Budget]
    conversations: int
    submitted: int
    tokens: int
    cost: float
    cached: float | None

    @classmethod
    def of(cls, project: Project) -> "Spend":
        """Three queries at most."""
        names = ("input_tokens", "cache_write_tokens", "cache_read_tokens", "output_tokens", "cost")
        sums = project.conversations.aggregate(
            count=Count("pk"), brought=Count("pk", filter=Q(candidate__isnull=False)), **{f"all_{n}": Sum(n) for n in names}
        )
        fresh, write, read, output, cost = (sums[f"all_{name}"] or 0 for name in names)
        prompt = fresh + write + read
        budgets = [Budget(*row) for row in shares(project)]
        return cls(budgets, sums["count"], sums["brought"], prompt + output, cost, read / prompt if prompt else None)


def failures_of(project: Project) -> list[tuple[str, int]]:
    """How conversations ended that brought nothing: the failure's words, and how often. One query."""
    rows = project.conversations.exclude(failure="").values_list("failure").annotate(n=Count("pk")).order_by("-n", "failure")
    words = dict(Conversation._meta.get_field("failure").choices or ())
    return [(str(words.get(failure, failure)), count) for failure, count in rows]


@operator
@require_POST
def combine(request: HttpRequest, slug: str) -> HttpResponse:
    """Have several candidates combined by an agent: their numbers come from the list or from the field."""
    project = get_project(request, slug)
    words = " ".join(request.POST.getlist("number")).replace(",", " ").split()
    numbers = set(wholes([word.upper().removeprefix("C-") for word in words]))
    chosen = list(Candidate.objects.with_evidence().filter(project=project, number__in=numbers).order_by("number"))
    try:
        if len(chosen) != len(numbers) or len(numbers) != len(words):
            raise SteeringRefused("Name candidates of this project by their numbers, for example: 12 17.")
        row = steer.combine(project, chosen, person(request), request.POST.get("why", ""))
    except SteeringRefused as refused:
        refuse(request, str(refused))
        return redirect("conversations", slug)
    messages.info(request, f"An agent combines {', '.join(map(str, chosen))}.")
    return redirect(row)


def person(request: HttpRequest) -> User:
    """Who clicked; the decorators let nobody else in."""
    assert isinstance(request.user, User)
    return request.user
