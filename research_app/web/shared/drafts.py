"""What a person typed is kept in their browser (static/js/drafts.js) until the server took it: here it says so.

A form that was posted carries the name of its draft. Where it was taken, a cookie brings the name back, and the next page
forgets the draft. Where it was refused, or the person was signed out meanwhile, nothing is said and the draft stays.
"""

import re
from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase, HttpResponseRedirectBase
from django.urls import reverse

COOKIE = f"signoff_sent_{settings.PORT}"
SECONDS = 300  # the next page comes at once
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_NAME = re.compile(r"[a-z0-9]{1,20}")

Next = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


def refuse(request: HttpRequest, why: str, level: int = messages.ERROR) -> None:
    """Say on the next page why something was not done; what was typed stays in its field."""
    request.draft_refused = True  # type: ignore[attr-defined]
    messages.add_message(request, level, why)


class DraftsMiddleware:
    """Tells the browser which draft was taken, whether the server runs it in a thread or in the event loop."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        response = self.get_response(request)
        return told(request, response) if isinstance(response, HttpResponseBase) else self._later(request, response)

    async def _later(self, request: HttpRequest, response: Awaitable[HttpResponseBase]) -> HttpResponseBase:
        return told(request, await response)


def told(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """With the cookie where a posted draft was taken. A script that posts sees the answer itself, and needs none."""
    if request.method != "POST" or request.headers.get("HX-Request") or (request.content_type or "") not in FORMS:
        return response
    refused = response.status_code >= 400 or getattr(request, "draft_refused", False)
    signed_out = isinstance(response, HttpResponseRedirectBase) and response.url.startswith(reverse("sign-in"))
    if not refused and not signed_out and _NAME.fullmatch(name := request.POST.get("draft", "")):
        response.set_cookie(COOKIE, name, max_age=SECONDS, samesite="Lax", secure=settings.SESSION_COOKIE_SECURE)
    return response
