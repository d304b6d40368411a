"""The first steps in a new installation: they tick themselves off, and are gone once done or put away."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from research_app.access import Role, role_of
from research_app.models import Candidate, Preferences, Project, Review
from research_app.web.account.preferences import person_of
from research_app.web.shared.access import researcher
from research_app.wording import counted

UNDO = "first steps were put away"
"""Of the session: the next page offers to take that back."""


@dataclass(frozen=True)
class Step:
    """One thing to do, whether it was, and where."""

    title: str
    words: str
    done: bool
    address: str
    link: str


@dataclass(frozen=True)
class FirstSteps:
    """The three of one person."""

    steps: Sequence[Step]

    @property
    def done(self) -> int:
        return sum(step.done for step in self.steps)


def first_steps(person: User, role: Role | None, projects: Sequence[Project], *, waits: bool = False) -> FirstSteps | None:
    """What is left to do for one person; None once all is done, was put away, or there is no project.

    `waits`: a decision waits for them now. At most three queries.
    """
    if not projects or Preferences.of(person).first_steps_away:
        return None
    first = projects[0]
    judged = Candidate.objects.filter(evidence__isnull=False).count()
    decides = role is not None and role.holds(Role.REVIEWER)
    decided = Review.objects.filter(reviewer=person) if decides else Review.objects.all()
    steps = FirstSteps([watch(first, judged), decide(decided.exists(), decides, waits), bring(projects)])
    return None if steps.done == len(steps.steps) else steps


def watch(project: Project, judged: int) -> Step:
    """Done with the first verdict."""
    sentence = f"{counted(judged, 'has', 'have')} a verdict." if judged else "None has a verdict yet."
    words = f"Each is trained, and most are dropped after one run. {sentence}"
    return Step("Watch the first candidates", words, judged > 0, reverse("candidates", args=[project.slug]), "The candidates")


def decide(decided: bool, may_decide: bool, waits: bool) -> Step:
    """Done with a vote of this person; for those who have none, with anybody's."""
    address = reverse("docs", args=["tutorial/first-hour.md"]) + "#decide-one"
    words = "Nothing reaches the baseline without somebody’s click."
    if may_decide:
        now = "One waits for yours, above." if waits else "None waits for yours yet."
        return Step("Decide one", f"{words} {now}", decided, address, "What to look at")
    return Step("See one decided", f"{words} Your role looks on.", decided, address, "What they look at")


def bring(projects: Sequence[Project]) -> Step:
    """Done with a project that was made from a repository."""
    address = reverse("docs", args=["tutorial/first-hour.md"]) + "#bring-your-own-repository"
    words = "One command on the machine that runs Signoff: your code stays as it is."
    return Step("Bring your own repository", words, any(project.source for project in projects), address, "How")


@researcher
@require_POST
def put_away(request: HttpRequest) -> HttpResponse:
    """Put the first steps away, or show them again."""
    away = request.POST.get("away") == "yes"
    Preferences.objects.update_or_create(user=person_of(request), defaults={"first_steps_away": away})
    if away:
        request.session[UNDO] = True
    elif first_steps(person_of(request), role_of(request.user), list(Project.objects.order_by("slug"))) is None:
        messages.info(request, "All first steps are done.")
    return redirect("inbox")
