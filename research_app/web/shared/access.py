"""Access to pages, in one place: every view fetches its object here and says with a decorator who may call it."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from research_app import access
from research_app.models import Candidate, Gate, Project, Run

View = Callable[..., HttpResponse]


def get_project(request: HttpRequest, slug: str) -> Project:
    """The project, if this person may see it; 404 otherwise. One query."""
    _require(access.may_see(request.user), "You may not see this project.")
    return get_object_or_404(Project, slug=slug)


def get_candidate(request: HttpRequest, slug: str, number: int) -> Candidate:
    """The candidate with its project, patch set and evidence, if this person may see it. One query."""
    _require(access.may_see(request.user), "You may not see this candidate.")
    return get_object_or_404(Candidate.objects.with_patch_set(), project__slug=slug, number=number)


def require_vote(request: HttpRequest, project: Project, gate: Gate) -> None:
    """Raises PermissionDenied where this person's role does not approve at this gate. One query."""
    roles = " or ".join(f"“{role}”" for role in project.gate_policy(gate).roles)
    _require(
        access.may_vote(request.user, project, gate),
        f"Only people with the role {roles} approve at gate {gate.value}. Ask an administrator for it.",
    )


def get_run(request: HttpRequest, slug: str, pk: int) -> Run:
    """The run with what its page names, if this person may see it. One query."""
    _require(access.may_see(request.user), "You may not see this run.")
    runs = Run.objects.select_related("project", "baseline", "device", "patch_set__candidate")
    return get_object_or_404(runs, project__slug=slug, pk=pk)


def researcher(view: View) -> View:
    """Any signed-in person. Others are led to the sign-in page and back."""

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return view(request, *args, **kwargs) if access.may_see(request.user) else sign_in_first(request)

    return checked


def operator(view: View) -> View:
    """A person who may pause, resume and reopen."""

    @researcher
    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        _require(access.may_operate(request.user), "You may look, but not steer. Ask an administrator for the role “operator”.")
        return view(request, *args, **kwargs)

    return checked


def reviewer(view: View) -> View:
    """A person who may comment, ask for changes and reject; whether they may approve is for the gate's policy to say."""

    @researcher
    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        _require(access.may_review(request.user), "You may look, but not decide. Ask an administrator for the role “reviewer”.")
        return view(request, *args, **kwargs)

    return checked


def approver(view: View) -> View:
    """A person who may let a candidate use more than the envelope allows."""

    @researcher
    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        _require(access.may_widen(request.user), "You may not widen it. Ask an administrator for the role “approver”.")
        return view(request, *args, **kwargs)

    return checked


def _require(allowed: bool, otherwise: str) -> None:
    if not allowed:
        raise PermissionDenied(otherwise)


def sign_in_first(request: HttpRequest) -> HttpResponse:
    """A page leads to the sign-in page; what a script asked for says 401, so that no form lands inside a page."""
    if request.headers.get("HX-Request") or request.headers.get("X-Requested-With"):
        return HttpResponse("You are signed out: reload the page to sign in again.", status=401, content_type="text/plain")
    back = request.get_full_path() if request.method in ("GET", "HEAD") else page_before(request)
    return redirect(f"{reverse('sign-in')}?{urlencode({'next': back})}" if back else reverse("sign-in"))


def page_before(request: HttpRequest) -> str:
    """The page of ours from which a form was sent, as a path with its query; empty where that is not known."""
    address = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure()):
        return ""
    parts = urlsplit(address)
    return f"{parts.path}{'?' * bool(parts.query)}{parts.query}" if parts.netloc else ""
