"""/ : what waits for a person, and the projects with their state."""

from collections import Counter, defaultdict
from dataclasses import dataclass

from django.db.models import Count
from django.http import HttpRequest, HttpResponse

from research_app.models import Candidate, Project, Run, Stage, State
from research_app.models.candidate import RESTING, WAITING
from research_app.web import live
from research_app.web.access import researcher
from research_app.web.candidates import for_list
from research_app.web.effects import rows

SHOWN = 50  # decisions on one page: the oldest first


@dataclass(frozen=True)
class Card:
    """One project with its numbers."""

    project: Project
    stages: Counter[str]
    training: int

    @property
    def waiting(self) -> int:
        return sum(self.stages[stage] for stage in WAITING)

    @property
    def under_way(self) -> int:
        return sum(count for stage, count in self.stages.items() if stage not in RESTING)

    @property
    def landed(self) -> int:
        return self.stages[Stage.LANDED]

    @property
    def candidates(self) -> int:
        return sum(self.stages.values())


@researcher
def inbox(request: HttpRequest) -> HttpResponse:
    """“Your turn” across all projects. A constant number of queries."""
    waiting = list(for_list(Candidate.objects.waiting_for_review()).order_by("stage_since")[: SHOWN + 1])
    context = {"rows": rows(waiting[:SHOWN]), "more": len(waiting) > SHOWN, "cards": cards()}
    fragments = {"waiting": "inbox/_waiting.html", "projects": "inbox/_projects.html"}
    return live.page(request, "inbox.html", fragments, context)


def cards() -> list[Card]:
    """All projects with what happens in them. Three queries."""
    stages: dict[int, Counter[str]] = defaultdict(Counter)
    for project_id, stage, count in Candidate.objects.values_list("project_id", "stage").annotate(Count("pk")):
        stages[project_id][stage] = count
    running = Run.objects.filter(state=State.RUNNING).values_list("project_id").annotate(count=Count("pk"))
    training = dict(running.values_list("project_id", "count"))
    return [Card(p, stages[p.pk], training.get(p.pk, 0)) for p in Project.objects.order_by("slug")]
