"""Access tokens: what an outside agent of yours signs in with. A token is shown once, and can be revoked at any time."""

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from research_app.access import may_operate
from research_app.models import Scope, Token
from research_app.web.access import researcher

DAYS = (7, 30, 90, 365)
SHOWN = 100  # tokens of one person


@never_cache
@researcher
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables("text")
def tokens(request: HttpRequest) -> HttpResponse:
    """A person's tokens, and a form for another."""
    assert isinstance(request.user, User)
    context = {
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
            days = int(request.POST.get("days", "")) if request.POST.get("days", "").isdigit() else 0
            _, text = Token.make(request.user, request.POST.get("name", ""), request.POST.getlist("scope"), days)
            context |= {"text": text, "name": ""}
        except ValueError as refusal:
            context["refusal"], status = str(refusal), 422
    context["rows"] = Token.objects.filter(user=request.user).order_by("-pk")[:SHOWN]
    return render(request, "tokens.html", context, status=status)


@researcher
@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """It stops working at once."""
    token = get_object_or_404(Token, pk=pk, user_id=request.user.pk)
    token.revoke(request.user.get_username())
    messages.info(request, f"The token “{token.name}” no longer works.")
    return redirect("tokens")
