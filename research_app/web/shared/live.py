"""Pages that stay current: a page is a template with named fragments, and its pulse asks every few seconds for those.

The pulse gets all fragments in one answer, or 304 when none changed; each carries a version, so that the browser puts in
only what differs and leaves alone what a person reads, has open or types into.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

PULSE = "pulse"  # id of the element that polls, in templates/page.html
EVERY = "2500ms"
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="[^"]*"')  # differs every time, and is no change


def page(request: HttpRequest, template: str, fragments: Mapping[str, str], context: Mapping[str, Any]) -> HttpResponse:
    """The whole page, or for its pulse the fragments ({id: template}) alone, with an ETag."""
    full = {**context, "fragments": fragments, "pulse_every": EVERY}
    if is_pulse(request):
        html = "\n".join(fragment(name, fragments[name], full, request, out_of_band=True) for name in fragments)
        response = with_etag(request, HttpResponse(html), version(html))
    else:
        response = HttpResponse(render_to_string(template, full, request))
    response.headers.setdefault("Cache-Control", "private, no-cache")
    vary(response)
    return response


def vary(response: HttpResponse) -> None:
    """Say what the answer depends on beside its address."""
    patch_vary_headers(response, ["HX-Request", "Cookie"])


def is_pulse(request: HttpRequest) -> bool:
    """Whether an open page asks for what changed."""
    return request.headers.get("HX-Trigger") == PULSE


def fragment(
    name: str, template: str, context: Mapping[str, Any], request: HttpRequest | None, *, out_of_band: bool = False
) -> SafeString:
    """One fragment in its `section`, with the version of its content."""
    html = mark_safe(render_to_string(template, dict(context), request))  # rendered by the template engine
    swap = mark_safe(' hx-swap-oob="true"') if out_of_band else ""
    return format_html('<section id="{}" data-version="{}"{}>{}</section>', name, version(html), swap, html)


def version(html: str) -> str:
    """Short hash of what a person would see."""
    return hashlib.sha256(_TOKEN.sub("", html).encode()).hexdigest()[:16]


def with_etag(request: HttpRequest, response: HttpResponse, tag: str) -> HttpResponse:
    """The response, or 304 when the browser has this version."""
    etag = f'"{tag}"'
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = "private, no-cache"
    return get_conditional_response(request, etag=etag, response=response)  # type: ignore[return-value]
