"""What may be done to several candidates at once. Never an approval: a vote is for one candidate that somebody looked at."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from research_app.loop.review import archive, review
from research_app.loop.review.retry import RetryRefused, fail_candidate, retry_candidate
from research_app.models import Candidate, StageMoved
from research_app.web.candidates.candidates import PAGE_SIZE, bare_query
from research_app.web.shared.access import get_project, operator
from research_app.web.shared.drafts import refuse
from research_app.web.shared.query_numbers import wholes
from research_app.wording import counted

Action: TypeAlias = Callable[[Candidate, User, str], None]


def _archive(candidate: Candidate, actor: User, _: str) -> None:
    archive.archive(candidate, actor.get_username())


def _unarchive(candidate: Candidate, actor: User, _: str) -> None:
    archive.unarchive(candidate, actor.get_username())


def _retry(candidate: Candidate, actor: User, _: str) -> None:
    retry_candidate(candidate, actor.get_username())


def _fail(candidate: Candidate, actor: User, _: str) -> None:
    fail_candidate(candidate, actor.get_username())


ACTIONS: Mapping[str, tuple[str, Action]] = {
    "archive": ("archived", _archive),
    "unarchive": ("taken out again", _unarchive),
    "retry": ("tried again", _retry),
    "fail": ("ended as crashed", _fail),
    "reopen": ("brought back to the gate", review.reopen),
}
REFUSALS = (archive.ArchiveRefused, RetryRefused, review.ReviewRefused, StageMoved)


@operator
@require_POST
def bulk(request: HttpRequest, slug: str) -> HttpResponse:
    """Do one thing to every chosen candidate; those that refuse it are named with the reason, and the others go on."""
    project = get_project(request, slug)
    numbers = wholes(request.POST.getlist("pick"))
    action = request.POST.get("action", "")
    listed = f"{reverse('candidates', args=[slug])}?{bare_query(request.POST.get('query', ''))}"
    back = redirect({"inbox": "inbox", "project": project.get_absolute_url()}.get(request.POST.get("back", ""), listed))
    if action not in ACTIONS or not numbers:
        refuse(request, "Nothing was done: choose candidates, then what to do with them.", messages.WARNING)
        return back
    words, act = ACTIONS[action]
    candidates = (
        project.candidates.select_related("project", "submitted_by", "patch_set__submitted_by")
        .filter(number__in=numbers)
        .order_by("number")
    )
    done, refused = 0, []
    assert isinstance(request.user, User)  # the access check let nobody else through
    for candidate in candidates[:PAGE_SIZE]:
        try:
            act(candidate, request.user, request.POST.get("reason", ""))
            done += 1
        except REFUSALS as refusal:
            refused.append(f"{candidate}: {refusal}")
    if done:
        messages.info(request, f"{counted(done, 'candidate')} {words}.")
    if refused:
        some = f"{' '.join(refused[:5])}{' …' if len(refused) > 5 else ''}"
        refuse(
            request,
            f"{counted(len(refused), 'candidate left as it is', 'candidates left as they are')}. {some}",
            messages.WARNING,
        )
    return back
