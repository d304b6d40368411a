"""Access tokens: what an outside agent of yours signs in with. A token is shown once, and can be revoked at any time."""

from collections.abc import Sequence

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from research_app.access import may_operate
from research_app.models import Project, Scope, Token
from research_app.web.shared.access import researcher
from research_app.web.shared.query_numbers import whole

DAYS = (7, 30, 90, 365)
SHOWN = 100  # tokens of one person


@never_cache
@researcher
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables("text")
def tokens(request: HttpRequest) -> HttpResponse:
    """A person's tokens, and a form for another."""
    assert isinstance(request.user, User)
    projects = list(Project.objects.order_by("slug"))
    context: dict[str, object] = {
        "projects": projects,
        "named": request.POST.getlist("project"),
        "scopes": Scope.choices,
        "days": DAYS,
        "may_submit": may_operate(request.user),
        "name": request.POST.get("name", ""),
        "chosen": request.POST.getlist("scope") or [Scope.READ, Scope.SUBMIT],
        "valid": request.POST.get("days", "30"),
        "site": request.build_absolute_uri("/").rstrip("/"),
    }
    status = 200
    if request.method == "POST":
        try:
            days = whole(request.POST.get("days")) or 0
            named = named_projects(projects, request.POST.getlist("project"))
            _, text = Token.make(request.user, request.POST.get("name", ""), request.POST.getlist("scope"), days, named)
            context |= {"text": text, "name": ""}
        except ValueError as refusal:
            context["refusal"], status = str(refusal), 422
    context["rows"] = Token.objects.filter(user=request.user).prefetch_related("projects").order_by("-pk")[:SHOWN]
    return render(request, "account/tokens.html", context, status=status)


def named_projects(projects: Sequence[Project], slugs: Sequence[str]) -> list[Project]:
    """The projects of these names. Raises ValueError where one is not there: it must not end as a token for all of them."""
    known = {project.slug: project for project in projects}
    if missing := [slug for slug in slugs if slug not in known]:
        raise ValueError(f"There is no project {', '.join(missing)}. Choose among those that there are.")
    return [known[slug] for slug in slugs]


@researcher
@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """It stops working at once."""
    token = get_object_or_404(Token, pk=pk, user_id=request.user.pk)
    token.revoke(request.user.get_username())
    messages.info(request, f"The token “{token.name}” no longer works.")
    return redirect("tokens")
