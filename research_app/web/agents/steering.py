"""What proposers are asked for, on the agents page: the bandit over categories, shares, turns, near misses, a plateau."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from agent.steering import Arm, Plateau, arms_of, chances, plateau_of
from research_app.loop.propose.combine import CombinationRefused, combine
from research_app.loop.propose.near_misses import AT_MOST, effect_in_sigma, is_near, near_misses
from research_app.loop.propose.propose import outcomes_of
from research_app.models import Candidate, Project, Turn, TurnState
from research_app.web.shared.access import get_project, operator
from research_app.web.shared.drafts import refuse
from research_app.web.shared.query_numbers import wholes

MODES = {
    "explore": "exploration: ideas that were not tried",
    "exploit": "exploitation: more of what worked",
    "combine": "combination of near misses",
    "simplify": "simplification",
}
LAST = 12  # turns that are listed


@dataclass(frozen=True)
class Line:
    """A category with what is known of it and how often it would be drawn next."""

    arm: Arm
    chance: float


@dataclass(frozen=True)
class Share:
    """A mode, the share of turns that it should get, and how many it got."""

    words: str
    wanted: float
    turns: int


@dataclass(frozen=True)
class NearMiss:
    """A candidate that looked better without being proved so. `sigmas`: its effect in standard deviations."""

    candidate: Candidate
    sigmas: float


@dataclass(frozen=True)
class Steering:
    """All of it. Six queries, however much was tried."""

    lines: Sequence[Line]
    shares: Sequence[Share]
    plateau: Plateau | None
    turns: Sequence[Turn]
    near: Sequence[NearMiss]

    @classmethod
    def of(cls, project: Project) -> "Steering":
        outcomes = outcomes_of(project)
        arms = arms_of([(category, solid) for category, solid, _ in outcomes])
        drawn = chances(arms)
        lines = sorted((Line(arm, drawn[arm.category]) for arm in arms), key=lambda line: -line.chance)
        turns = project.turns.select_related("candidate__project", "project").order_by("-number")
        near = [c for c in near_misses(project, project.tip()).defer("patch_set__diff")[: 2 * AT_MOST] if is_near(c)]
        return cls(
            lines=lines,
            shares=shares_of(project),
            plateau=plateau_of([solid for _, solid, _ in outcomes]),
            turns=[*turns.filter(state=TurnState.WORKING), *turns.exclude(state=TurnState.WORKING)[:LAST]],
            near=[NearMiss(candidate, effect_in_sigma(candidate)) for candidate in near[:AT_MOST]],
        )


def shares_of(project: Project) -> list[Share]:
    """Modes with what was asked for and what was drawn (one query)."""
    wanted: Mapping[str, float] = project.file.agents.shares
    had = list(project.turns.values_list("mode", flat=True))
    total = sum(wanted.values())
    return [Share(words, wanted[mode] / total, had.count(mode)) for mode, words in MODES.items()]


@operator
@require_POST
def join(request: HttpRequest, slug: str) -> HttpResponse:
    """Try several candidates together, their changes put one on the other without an agent."""
    project = get_project(request, slug)
    words = " ".join(request.POST.getlist("number")).replace(",", " ").split()
    numbers = wholes([word.upper().removeprefix("C-") for word in words])
    assert isinstance(request.user, User)
    try:
        if len(numbers) != len(words):
            raise CombinationRefused("Name candidates by their numbers, for example: 12 17.")
        made = combine(project, numbers, request.user)
    except CombinationRefused as refused:
        refuse(request, str(refused))
        return redirect("conversations", slug)
    messages.info(request, f"{made} combines them.")
    return redirect(made)
