"""Signing in with a password or with a one-time link, and signing out."""

from django.contrib.auth import login
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from research_app.models import SignInLink

sign_in = LoginView.as_view(template_name="sign_in.html", redirect_authenticated_user=True)


@never_cache
@sensitive_variables("token")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_link(request: HttpRequest, token: str) -> HttpResponse:
    """A page with one button. Only the button uses the link up: mail scanners and previews just look."""
    if request.method != "POST":
        return render(request, "sign_in_link.html")
    link = SignInLink.redeem(token)
    if link is None:
        return render(request, "sign_in_link.html", {"refused": True}, status=410)
    login(request, link.user, backend="django.contrib.auth.backends.ModelBackend")
    return redirect("inbox")
