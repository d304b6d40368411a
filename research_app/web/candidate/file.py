"""/projects/<slug>/candidates/<number>/file/, lines/ and viewed/ : one file of a diff by one request, and who has read it."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from research_app.models import ViewedFile
from research_app.web.candidate.diff_view import ShownDiff
from research_app.web.diff.diff import STEP, colour, context, rest_of_line, unfold
from research_app.web.diff.lines import Gap, Hunk
from research_app.web.diff.rows import MAX_UNFOLDED, rows
from research_app.web.shared.access import get_candidate, researcher
from research_app.web.shared.query_numbers import whole

GONE = "These lines are not there any more: reload the page to see what changed."


@researcher
@require_safe
def file(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """The lines of one file; with `line`, opened around that line of the new side."""
    candidate = get_candidate(request, slug, number)
    diff = ShownDiff(request, candidate)
    file_diff = diff.one(request.GET.get("path", ""), whole(request.GET.get("line")))
    if file_diff is None:
        raise Http404(GONE)
    context = {"file": file_diff, "shown": diff, "candidate": candidate, "project": candidate.project}
    return _private(render(request, "candidate/_lines.html", context))


@researcher
@require_safe
def lines(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Unchanged lines of a gap: from its top, from its bottom, or all, with what is left of the gap."""
    diff = ShownDiff(request, get_candidate(request, slug, number))
    comparison, path = diff.comparison, request.GET.get("path", "")
    file_diff = next((each for each in diff.listed if each.path == path), None)
    if file_diff is None:
        raise Http404(GONE)
    texts = comparison.texts(path)
    unfold(file_diff, texts)
    gap = _asked(request, [part for part in file_diff.parts if isinstance(part, Gap)])
    text = texts[1]
    if gap is None or text is None:
        raise Http404(GONE)
    parts = taken(gap, request.GET.get("take", "all"), text.split("\n"))
    colour(path, parts, texts, file_diff.crlf)

    def more(gap: Gap, take: str) -> str:
        return comparison.address(path, "lines/", first=gap.new, count=gap.count, take=take)

    return _private(HttpResponse(rows(parts, comparison.split, diff.talk, more, diff.rest_of(path))))


@researcher
@require_safe
def line(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """The end of one very long line."""
    diff = ShownDiff(request, get_candidate(request, slug, number))
    path, at = request.GET.get("path", ""), whole(request.GET.get("line", ""))
    file = next((each for each in diff.listed if each.path == path), None)
    if at is None or file is None:
        raise Http404(GONE)
    text = diff.comparison.texts(path)[request.GET.get("side") != "old"]
    rest = rest_of_line(path, text, at, file.crlf) if text is not None else None
    if rest is None:
        raise Http404(GONE)
    return _private(HttpResponse(rest))


def _asked(request: HttpRequest, gaps: list[Gap]) -> Gap | None:
    """The stretch that is asked for, if it is one of unchanged lines: a gap, or what is left of one."""
    first, count = whole(request.GET.get("first")), whole(request.GET.get("count"))
    if first is None or count is None:
        return None
    for gap in gaps:
        if gap.new <= first and first + count <= gap.new + gap.count and count > 0:
            ends = first + count == gap.new + gap.count
            return Gap(gap.old + first - gap.new, first, count, gap.place if ends else "", gap.last and ends)
    return None


def taken(gap: Gap, take: str, lines: list[str]) -> list[Hunk | Gap]:
    """The lines that are unfolded, and the gap that stays."""
    end = gap.new + gap.count
    if take == "top" and gap.count > STEP:
        middle = gap.new + STEP
        rest = Gap(gap.old + STEP, middle, gap.count - STEP, gap.place, gap.last)
        return [context(gap, lines, gap.new, middle), rest]
    if take == "bottom" and gap.count > STEP:
        middle = end - STEP
        return [Gap(gap.old, gap.new, gap.count - STEP), context(gap, lines, middle, end)]
    middle = min(end, gap.new + MAX_UNFOLDED)
    rest = Gap(gap.old + middle - gap.new, middle, end - middle, gap.place, gap.last)
    return [context(gap, lines, gap.new, middle), *([rest] if rest.count or rest.place else [])]


@researcher
@require_POST
def viewed(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Mark a file of a patch set as read by this person, or as not read."""
    candidate = get_candidate(request, slug, number)
    sets = {str(patch_set.number): patch_set for patch_set in candidate.patch_sets.defer("diff")}
    patch_set, path = sets.get(request.POST.get("ps", "")), request.POST.get("path", "")
    if patch_set is None or path not in {file.path for file in patch_set.changed_files}:
        raise Http404(GONE)
    mark: dict[str, Any] = {"user_id": request.user.pk, "patch_set": patch_set, "path": path}
    if request.POST.get("viewed"):
        ViewedFile.objects.get_or_create(**mark)
    else:
        ViewedFile.objects.filter(**mark).delete()
    return HttpResponse(status=204) if request.headers.get("HX-Request") else redirect(candidate)


def _private(response: HttpResponse) -> HttpResponse:
    response.headers["Cache-Control"] = "private, no-cache"
    return response
