"""/projects/<slug>/baseline/moved/<pk>/ : what somebody put on the baseline's branch outside Signoff, and taking it over."""

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from research_app.access import may_vote
from research_app.loop.land.external_moves import AdoptionRefused, adopt
from research_app.models import ExternalMove, Gate, MoveState
from research_app.repository import RepositoryError
from research_app.web.diff.diff import parse, prepare, too_large
from research_app.web.diff.lines import FileDiff
from research_app.web.diff.rows import rows
from research_app.web.shared.access import get_project, require_vote, researcher

MOST_REASON = 2000
INLINE_LINES = 1500  # of all files together; the rest is counted


@researcher
@require_safe
def moved(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """The commits, the difference, and a form for who may approve at gate 2."""
    return page(request, move_of(request, slug, pk))


@researcher
@require_POST
def adopt_move(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Take it over as the baseline, with a reason."""
    require_vote(request, get_project(request, slug), Gate.BASELINE)
    move = move_of(request, slug, pk)
    assert isinstance(request.user, User)  # the decorator lets nobody else in
    reason = request.POST.get("reason", "")
    try:
        if len(reason) > MOST_REASON:
            raise AdoptionRefused(f"The reason has {len(reason):,} characters; at most {MOST_REASON:,} are kept. Shorten it.")
        version = adopt(move, request.user, reason)
    except (AdoptionRefused, RepositoryError) as refusal:
        move.refresh_from_db()
        return page(request, move, str(refusal), reason, 422)
    messages.info(request, f"The branch as it is is baseline {version.number} now. What waits to land is judged on it first.")
    return redirect("baseline", slug=slug)


def move_of(request: HttpRequest, slug: str, pk: int) -> ExternalMove:
    """A move of this project, if this person may see that; 404 otherwise."""
    project = get_project(request, slug)
    rows = ExternalMove.objects.select_related("project", "before", "version", "ended_by")
    return get_object_or_404(rows, project=project, pk=pk)


def page(request: HttpRequest, move: ExternalMove, refusal: str = "", reason: str = "", status: int = 200) -> HttpResponse:
    """The page, with what was typed where it was refused."""
    files, problem, left_out = difference(move)
    context = {
        "project": move.project,
        "move": move,
        "waits": move.state == MoveState.WAITING,
        "may_adopt": may_vote(request.user, move.project, Gate.BASELINE),
        "roles": move.project.gate_policy(Gate.BASELINE).roles,
        "repository": str(move.project.folder / "repository.git"),
        "files": files,
        "problem": problem,
        "left_out": left_out,
        "refusal": refusal,
        "reason": reason,
    }
    return render(request, "baseline/moved.html", context, status=status)


def difference(move: ExternalMove) -> tuple[list[FileDiff], str, int]:
    """The files in which it differs from the version before, why they cannot be shown, and how many come without lines."""
    try:
        diff = move.project.repository.diff(move.before.commit, move.commit)
    except RepositoryError as error:
        return [], str(error), 0
    if too_large(diff):
        return [], "The difference is larger than 2 MiB or longer than 100,000 lines.", 0
    files, lines = parse(diff), 0
    for file in files:
        lines += file.added + file.removed
        if lines <= INLINE_LINES:
            prepare(file, (None, None))
            file.html = rows(file.parts, False, lambda threads: "", None)
    return files, "", sum(not file.loaded for file in files)
