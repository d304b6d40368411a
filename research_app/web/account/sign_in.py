"""Signing in with a password or with a one-time link, and signing out."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from research_app.door.throttle import COOL_OFF, link_refused, may_try_link
from research_app.models import SignInLink
from research_app.web.shared.access import page_before, sign_in_first

NEXT_COOKIE = f"signoff_next_{settings.PORT}"
NEXT_SECONDS = 3600


class SignIn(LoginView):
    """The form. Where it was come from is remembered, so that a one-time link leads back there too."""

    template_name = "account/sign_in.html"
    redirect_authenticated_user = True

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().get(request, *args, **kwargs)
        if back := self.get_redirect_url():
            secure = settings.SESSION_COOKIE_SECURE
            response.set_cookie(NEXT_COOKIE, back, max_age=NEXT_SECONDS, httponly=True, samesite="Lax", secure=secure)
        return response

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """The form again, with what was typed; where it was tried too often, without having looked at the password."""
        if not getattr(self.request, "axes_locked_out", False):
            return super().form_invalid(form)
        return tried_too_often(self.request, self.template_name, self.get_context_data(form=form))


def tried_too_often(request: HttpRequest, template: str, context: Mapping[str, Any]) -> HttpResponse:
    """A page that says so, and when to come back."""
    response = render(request, template, {**context, "minutes": COOL_OFF // timedelta(minutes=1)}, status=429)
    response.headers["Retry-After"] = str(int(COOL_OFF.total_seconds()))
    return response


def refused_by_csrf(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form of a page from before somebody signed in or out. What was typed is kept in the browser; the page leads back."""
    if not request.user.is_authenticated:
        return sign_in_first(request)
    response = render(request, "403_csrf.html", {"back": page_before(request)}, status=403)
    response.headers["X-Refused"] = "csrf"
    return response


@never_cache
@sensitive_variables("token")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_link(request: HttpRequest, token: str) -> HttpResponse:
    """A page with one button. Only the button uses the link up: mail scanners and previews just look."""
    if request.method != "POST":
        return render(request, "account/sign_in_link.html")
    if not may_try_link(request):
        return tried_too_often(request, "account/sign_in_link.html", {})
    link = SignInLink.redeem(token)
    if link is None:
        link_refused(request)
        return render(request, "account/sign_in_link.html", {"refused": True}, status=410)
    login(request, link.user, backend="django.contrib.auth.backends.ModelBackend")
    back = request.COOKIES.get(NEXT_COOKIE, "")
    safe = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    response = redirect(back if safe else "inbox")
    response.delete_cookie(NEXT_COOKIE)
    return response
