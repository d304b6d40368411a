"""`git clone` and `git push … refs/for/<baseline>`: an outside agent's own git, over HTTP, with a token as the password.

A pushed branch becomes a candidate, or, with a trailer `Candidate: C-12`, that one's next patch set. Nothing that is pushed
moves a ref: the push is read as a patch (research_app/repository/intake.py).
"""

import gzip
import io
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from agent.proposal import CATEGORIES, Edit, Proposal
from agent.title import title_of
from research_app.access import may_operate, may_see
from research_app.api.reach import NotYours, candidate_to_revise, project_of
from research_app.door.known import token_in
from research_app.loop.check.check import CheckFailed, vet
from research_app.loop.propose.propose import enter
from research_app.loop.propose.revise import RevisionRefused, revise
from research_app.models import Author, Candidate, Project, Scope, StageMoved, Token
from research_app.repository import PatchError, RepositoryError, intake
from research_app.repository.intake import Push, Pushed

logger = logging.getLogger(__name__)
View = Callable[..., HttpResponse]
SERVICES = {"git-upload-pack": Scope.READ, "git-receive-pack": Scope.SUBMIT}


class PushRefused(Exception):
    """The push is not taken; the message says why and what to do."""


def with_token(scope: Scope | None) -> Callable[[View], View]:
    """A view for whoever sends a token with this scope; with None, the scope of the service that is asked for."""

    def decorate(view: View) -> View:
        @csrf_exempt
        @wraps(view)
        def checked(request: HttpRequest, slug: str, **rest: Any) -> HttpResponse:
            needed = scope or SERVICES.get(request.GET.get("service", ""))
            if needed is None:
                return _plain(403, "Only git's own programs are answered here: clone, fetch and push.")
            token = token_in(request.headers.get("Authorization", ""))
            if token is None:
                answer = _plain(401, "Sign in with any name and an access token as the password.")
                answer["WWW-Authenticate"] = 'Basic realm="signoff", charset="UTF-8"'
                return answer
            allowed = may_operate(token.user) if needed == Scope.SUBMIT else may_see(token.user)
            if not (token.may(needed) and allowed):
                return _plain(403, f"This token, or its person, may not {needed.value}.")
            try:
                return view(request, project_of(token, slug), token, **rest)
            except Http404:
                return _plain(404, f"There is no project {slug}.")
            except PatchError as error:
                return _plain(400, str(error))
            except RepositoryError as error:
                logger.exception("git over HTTP could not work on the repository of %s", slug)
                return _plain(503, f"The repository of {slug} cannot be used now: {error}")

        return checked

    return decorate


@require_GET
@with_token(None)
def advertise(request: HttpRequest, project: Project, token: Token) -> HttpResponse:
    """git's first question: which refs there are."""
    service = request.GET["service"]
    pushing = service == "git-receive-pack"
    advertisement = intake.advertise_push(project.repository) if pushing else intake.advertise_fetch(project.repository)
    return _answer(advertisement, f"application/x-{service}-advertisement")


@require_POST
@with_token(Scope.READ)
def fetch(request: HttpRequest, project: Project, token: Token) -> HttpResponse:
    """Objects of the baseline branch."""
    return _answer(intake.fetch(project.repository, _body(request)), "application/x-git-upload-pack-result")


@require_POST
@with_token(Scope.SUBMIT)
def push(request: HttpRequest, project: Project, token: Token) -> HttpResponse:
    """One commit for refs/for/<baseline>: checked at once, and answered with its candidate or with why not."""
    sent = intake.read_push(_body(request))
    try:
        command = _only_command(sent, project)
        words = _enter(project, token, intake.take(project.repository, command.new, sent.pack))
        report = intake.report(sent, {}, words)
    except (PushRefused, PatchError, CheckFailed, RevisionRefused, StageMoved) as problem:
        reasons = {each.ref: str(problem) for each in sent.commands}
        report = intake.report(sent, reasons, f"\n{problem}\n\n")
    return _answer(report, "application/x-git-receive-pack-result")


def _only_command(sent: Push, project: Project) -> intake.Command:
    wanted = f"refs/for/{project.file.baseline.branch}"
    if len(sent.commands) != 1 or sent.commands[0].ref != wanted:
        raise PushRefused(f"Push one commit to {wanted}; nothing else can be pushed here: git push <remote> HEAD:{wanted}")
    if sent.commands[0].new == intake.NO_COMMIT:
        raise PushRefused("There is nothing to delete: a candidate is rejected or archived on its page.")
    return sent.commands[0]


def _enter(project: Project, token: Token, pushed: Pushed) -> str:
    """Make the candidate or its next patch set; what to tell whoever pushed."""
    if named := pushed.trailers.get("candidate"):
        number = named.upper().removeprefix("C-")
        if not number.isdecimal() or len(number) > 9:
            raise PushRefused(f"Candidate: {named} is no candidate. Write for example: Candidate: C-12")
        try:
            row = candidate_to_revise(token, project.slug, int(number))
        except Http404:
            raise PushRefused(f"There is no candidate {named} in {project.slug}.") from None
        except NotYours as refusal:
            raise PushRefused(str(refusal)) from None
        revise(row, author=token.name, patch=pushed.patch, message=pushed.words, submitted_by=token.user)
        return _told(row, "has a new patch set")
    category = pushed.trailers.get("category", "architecture").lower()
    if category not in CATEGORIES:
        raise PushRefused(f"Category: {category} is unknown. Write one of: {', '.join(CATEGORIES)}.")
    if not pushed.words.strip():
        raise PushRefused("Say in the commit's message what the change should do, and why.")
    expected = pushed.trailers.get("expected-effect", "")
    title = title_of(pushed.words.splitlines()[0])
    proposal = Proposal(pushed.words, category, (Edit("", "", pushed.patch),), expected, title=title)
    base = vet(project, proposal, token.name, pushed.patch)
    row = enter(
        project,
        base,
        proposal,
        author=token.name,
        kind=Author.AGENT,
        patch=pushed.patch,
        submitted_by_id=token.user_id,
    )
    return _told(row, "is checked and will be trained")


def _told(row: Candidate, what: str) -> str:
    return f"\n{row} {what}: {settings.SITE_URL}{row.get_absolute_url()}\n\n"


def _body(request: HttpRequest) -> bytes:
    """The request's body, unpacked, at most so large. Raises PatchError."""
    too_large = PatchError(f"More than {intake.MOST_BYTES >> 20} MB cannot be pushed.")
    body = request.read(intake.MOST_BYTES + 1)
    if len(body) > intake.MOST_BYTES:
        raise too_large
    if request.headers.get("Content-Encoding") != "gzip":
        return body
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as packed:
            unpacked = packed.read(intake.MOST_BYTES + 1)
    except (OSError, EOFError) as error:
        raise PatchError("The body is not what its Content-Encoding says.") from error
    if len(unpacked) > intake.MOST_BYTES:
        raise too_large
    return unpacked


def _answer(content: bytes, kind: str) -> HttpResponse:
    return HttpResponse(content, content_type=kind, headers={"Cache-Control": "no-cache"})


def _plain(status: int, text: str) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")
