"""…/candidates/<n>/card/ : the few lines that stand beside a link to a candidate while a person points at it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from research_app.web.shared import live
from research_app.web.shared.access import get_candidate, researcher
from research_app.web.shared.effects import rows


@researcher
@require_safe
def card(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """A piece of page: title, effect, verdict. One query; kept by the browser for a minute, as by the page's script."""
    candidate = get_candidate(request, slug, number)
    response = render(request, "candidate/card.html", {"candidate": candidate, "row": rows([candidate])[0]})
    response = live.with_etag(request, response, live.version(response.content.decode()))
    response.headers["Cache-Control"] = "private, max-age=60"
    return response
