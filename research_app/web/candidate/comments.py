"""/projects/<slug>/candidates/<number>/threads/ : say something about a line, answer, resolve."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from research_app.models import Candidate, PatchSet, Side, Thread
from research_app.models.comment import MAX_TEXT
from research_app.repository import RepositoryError
from research_app.web.candidate.diff_view import ShownDiff
from research_app.web.candidate.threads import commit_of, version
from research_app.web.shared.access import get_candidate, researcher, reviewer
from research_app.wording import counted


class Then(models.TextChoices):
    """What a comment does to its thread."""

    NOTHING = "", "nothing"
    RESOLVE = "resolve", "resolve it"
    REOPEN = "reopen", "open it again"
    DONE = "done", "say “Done” and resolve it"


class ThreadForm(forms.Form):
    """A first comment and its place: a patch set of this candidate, a file that it changes, a line that the file has."""

    ps = forms.IntegerField(min_value=1, max_value=100_000)
    path = forms.CharField(max_length=1000, strip=False)
    side = forms.ChoiceField(choices=Side.choices)
    line = forms.IntegerField(required=False, min_value=1, max_value=10_000_000)
    text = forms.CharField(max_length=MAX_TEXT, error_messages={"required": "Write something first."})

    def __init__(self, data: Mapping[str, Any], candidate: Candidate) -> None:
        super().__init__(data)
        self.candidate = candidate
        self.quoted = ""

    def clean_ps(self) -> PatchSet:
        patch_set = self.candidate.patch_sets.filter(number=self.cleaned_data["ps"]).first()
        if patch_set is None:
            raise forms.ValidationError(f"{self.candidate} has no patch set {self.cleaned_data['ps']}. Reload the page.")
        return patch_set

    def clean(self) -> None:
        patch_set, path, line = (self.cleaned_data.get(name) for name in ("ps", "path", "line"))
        if patch_set is None or path is None or "line" in self.errors:
            return
        revisions = self.candidate.patch_sets.only("candidate_id", "files")
        changed = {file.path for revision in revisions for file in revision.changed_files}
        if path not in changed:
            raise forms.ValidationError(f"{self.candidate} does not change {path}; comments stand on files that it changes.")
        if line is None:
            return
        try:
            commit = commit_of(patch_set, self.cleaned_data.get("side", Side.NEW))
            text = self.candidate.project.repository.read(commit, path).decode("utf-8", "backslashreplace")
        except RepositoryError as error:
            raise forms.ValidationError(f"The line cannot be read, so nothing was saved: {error}") from None
        lines = text.removesuffix("\n").split("\n")
        if line > len(lines):
            raise forms.ValidationError(f"{path} has {counted(len(lines), 'line')}, not {line}. Reload the page.")
        self.quoted = lines[line - 1]


class ReplyForm(forms.Form):
    """A further comment, what it does to the thread, or both."""

    text = forms.CharField(max_length=MAX_TEXT, required=False)
    then = forms.ChoiceField(choices=Then.choices, required=False)

    def clean(self) -> None:
        if not self.cleaned_data.get("text") and not self.cleaned_data.get("then"):
            raise forms.ValidationError("Write something first.")


@reviewer
@require_POST
def begin(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """The first comment of a thread. The answer is the thread, or the form with what is wrong."""
    candidate = get_candidate(request, slug, number)
    form = ThreadForm(request.POST, candidate)
    if not form.is_valid():
        context = {"form": form, "candidate": candidate, "project": candidate.project, "data": request.POST}
        return render(request, "candidate/_comment_form.html", context, status=422)
    fields = form.cleaned_data
    thread = Thread.objects.begin(
        fields["ps"], fields["path"], fields["line"], fields["text"], _person(request), side=fields["side"], quoted=form.quoted
    )
    return _answer(request, candidate, thread.pk)


@researcher
@require_safe
def thread(request: HttpRequest, slug: str, number: int, pk: int) -> HttpResponse:
    """One thread as it is now, with its place in the comparison that the address names."""
    candidate = get_candidate(request, slug, number)
    get_object_or_404(Thread, candidate=candidate, pk=pk)
    return _answer(request, candidate, pk)


@reviewer
@require_POST
def reply(request: HttpRequest, slug: str, number: int, pk: int) -> HttpResponse:
    """Answer, resolve or open again."""
    candidate = get_candidate(request, slug, number)
    thread = get_object_or_404(Thread.objects.of(candidate), pk=pk)
    form = ReplyForm(request.POST)
    if not form.is_valid():
        problem = next(iter(form.errors.values()))
        return _answer(request, candidate, pk, problem=str(problem[0]), text=request.POST.get("text", ""))
    person, then = _person(request), form.cleaned_data["then"]
    text = form.cleaned_data["text"] or ("Done." if then == Then.DONE else "")
    if text:
        thread.say(text, person)
    if then in (Then.RESOLVE, Then.DONE):
        thread.settle(True, person)
    elif then == Then.REOPEN or (text and thread.resolved):
        thread.settle(False, person)
    return _answer(request, candidate, pk)


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # the decorators let nobody else in
    return request.user


def _answer(request: HttpRequest, candidate: Candidate, pk: int, problem: str = "", text: str = "") -> HttpResponse:
    """The thread alone for a script, the page otherwise; 422 with what was typed where it was refused."""
    if request.method == "POST" and not request.headers.get("HX-Request") and not problem:
        return redirect(f"{candidate.get_absolute_url()}#thread-{pk}")
    diff = ShownDiff(request, candidate)
    placed = next((one for one in diff.placed if one.thread.pk == pk), None)
    if placed is None:
        return HttpResponse(status=204)  # on a later patch set than the one that is looked at
    context = {"one": placed, "candidate": candidate, "project": candidate.project, "shown": diff}
    context |= {"problem": problem, "text": text}
    return render(request, "candidate/_thread.html", context, status=422 if problem else 200)


def mark_of(candidate: Candidate) -> str:
    """What a page needs to know to see that a thread changed: `id:version` of each. One query."""
    threads = Thread.objects.filter(candidate=candidate).annotate(said=models.Count("comments")).order_by("pk")
    states = threads.values_list("pk", "said", "resolved_at")
    return " ".join(f"{pk}:{version(comments, resolved_at is not None)}" for pk, comments, resolved_at in states)
