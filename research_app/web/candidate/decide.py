"""Approve, reject, ask for changes, undo, reopen, widen: a researcher's click, answered by the decision bar as it is then."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from agent.diff import parse_diff
from research_app.loop.check.check import CheckFailed
from research_app.loop.propose import revise as revise_step
from research_app.loop.propose.revise import RevisionRefused
from research_app.loop.review import retry, review
from research_app.loop.review import widen as widen_step
from research_app.loop.review.review import ReviewRefused, Seen, StalePage
from research_app.models import Candidate, Gate, StageMoved
from research_app.repository import RepositoryError
from research_app.web.candidate.candidate import FRAGMENTS, context_of
from research_app.web.shared import live
from research_app.web.shared.access import approver, get_candidate, get_project, operator, require_vote, reviewer
from research_app.web.shared.query_numbers import whole

MAX_REASON = 4000  # characters
REPLACED = (
    "The patch holds U+FFFD, which stands where bytes were not UTF-8. Send it by git push, the API or the command line, "
    "which rewrite nothing."
)


@reviewer
@require_POST
def approve(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Approve for the baseline what this person saw."""
    require_vote(request, get_project(request, slug), Gate.BASELINE)
    return _decide(
        request, slug, number, lambda candidate, user, reason: review.approve(candidate, user, _seen(request), reason)
    )


@reviewer
@require_POST
def reject(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Close the candidate with a reason."""
    return _decide(
        request, slug, number, lambda candidate, user, reason: review.reject(candidate, user, _seen(request), reason)
    )


@reviewer
@require_POST
def request_changes(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Send the candidate back to its author with what should change."""
    return _decide(
        request, slug, number, lambda candidate, user, reason: review.request_changes(candidate, user, _seen(request), reason)
    )


@reviewer
@require_POST
def undo(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Take one's own decision back while nothing followed from it."""
    return _decide(request, slug, number, lambda candidate, user, reason: review.withdraw(candidate, user))


@operator
@require_POST
def reopen(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Bring a discarded candidate back to the gate."""
    return _decide(request, slug, number, review.reopen)


@operator
@require_POST
def stop(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """End what devices do on the candidate, with a reason."""
    return _decide(request, slug, number, _or_refused(retry.stop_candidate))


@operator
@require_POST
def retry_stopped(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Train what was stopped, or crashed, again from the step where it was."""
    return _decide(request, slug, number, _or_refused(lambda candidate, actor, _: retry.retry_candidate(candidate, actor)))


def _or_refused(act: Callable[[Candidate, str, str], None]) -> Callable[[Candidate, User, str], None]:
    """The act with its refusal as the decision bar tells it."""

    def acted(candidate: Candidate, user: User, reason: str) -> None:
        try:
            act(candidate, user.get_username(), reason)
        except retry.RetryRefused as problem:
            raise ReviewRefused(str(problem)) from problem

    return acted


@approver
@require_POST
def widen(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Let the candidate use more than the envelope allows, and have it judged again."""

    def act(candidate: Candidate, user: User, reason: str) -> None:
        try:
            times = float(request.POST.get("times", "").replace(",", "."))
        except ValueError:
            raise ReviewRefused("How many times what the baseline uses? Write a number, such as 1.8.") from None
        widen_step.widen(candidate, user, times, reason)

    return _decide(request, slug, number, act)


@operator
@require_POST
def revise(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Answer a request for changes: a person's patch becomes the next patch set."""

    def act(candidate: Candidate, user: User, message: str) -> None:
        patch = request.POST.get("patch", "")
        if not patch.strip():
            raise ReviewRefused("Paste the whole change as a unified diff against the baseline, as `git diff` writes it.")
        if any("\ufffd" in line.text for file in parse_diff(patch) for line in file.lines if line.kind == "added"):
            raise ReviewRefused(REPLACED)
        if "\r" not in patch:
            patch = patch.replace("\n", "\r\n")  # what a form sends without a script, which says that line ends were lost
        try:
            revise_step.revise(candidate, author=user.get_username(), patch=patch, message=message, submitted_by=user)
        except (RevisionRefused, CheckFailed, RepositoryError) as problem:
            raise ReviewRefused(str(problem)) from problem

    return _decide(request, slug, number, act)


def _seen(request: HttpRequest) -> Seen:
    diff, base, evidence = (request.POST.get(name, "") for name in ("diff_hash", "base_commit", "evidence_hash"))
    return Seen(diff, base, evidence, whole(request.POST.get("policy_version")) or 0)


def _decide(request: HttpRequest, slug: str, number: int, act: Callable[[Candidate, User, str], object]) -> HttpResponse:
    """Do it and show the bar again: where the candidate stands now, or why it was refused, with what was typed."""
    candidate = get_candidate(request, slug, number)
    reason = request.POST.get("reason", "")
    refused, stale = "", False
    try:
        if len(reason) > MAX_REASON:
            raise ReviewRefused(f"The reason has {len(reason):,} characters; at most {MAX_REASON:,} are kept. Shorten it.")
        assert isinstance(request.user, User)  # the decorators let nobody else in
        act(candidate, request.user, reason)
    except ReviewRefused as error:
        refused, stale = str(error), isinstance(error, StalePage)
    except StageMoved as error:
        refused, stale = str(error), True
    if not refused and not request.headers.get("HX-Request"):
        return redirect(candidate)
    return _answer(request, get_candidate(request, slug, number), refused, stale, reason)


def _answer(request: HttpRequest, candidate: Candidate, refused: str, stale: bool, reason: str) -> HttpResponse:
    """The bar alone for a script, the whole page otherwise; 409 where the page was out of date, 422 for other refusals."""
    kept: dict[str, Any] = {"reason": reason, "patch": request.POST.get("patch", "")} if refused else {"reason": ""}
    if stale and "diff_hash" in request.POST:  # another click must not bind to what this person has not seen
        kept["seen"] = _seen(request)
    context = context_of(request, candidate, refused=refused, stale=stale, **kept)
    status = 409 if stale else 422 if refused else 200
    if request.headers.get("HX-Request"):
        return HttpResponse(live.fragment("decide", FRAGMENTS["decide"], context, request), status=status)
    response = live.page(request, "candidate/candidate.html", FRAGMENTS, context)
    response.status_code = status
    return response
