"""What a person chooses for themselves: columns of the candidate list, saved views, keys on or off."""

from urllib.parse import parse_qsl, urlencode

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from research_app.models import Preferences, SavedView
from research_app.web.candidates import columns as list_columns
from research_app.web.candidates.candidates import bare_query
from research_app.web.shared.access import get_project, researcher
from research_app.web.shared.drafts import refuse

LONGEST = 60  # of a view's name


def person_of(request: HttpRequest) -> User:
    """Who signed in; the decorator lets nobody else come here."""
    assert isinstance(request.user, User)
    return request.user


@researcher
@require_POST
def columns(request: HttpRequest, slug: str) -> HttpResponse:
    """Remember the columns and show them; they stand in the address too, so that a link shows what its sender saw."""
    get_project(request, slug)
    kept = [name for name in list_columns.COLUMNS if name in request.POST.getlist("column")]
    Preferences.objects.update_or_create(user=person_of(request), defaults={"columns": kept})
    rest = [(key, value) for key, value in parse_qsl(bare_query(request.POST.get("query", ""))) if key != "columns"]
    return redirect(f"{reverse('candidates', args=[slug])}?{urlencode([*rest, ('columns', ','.join(kept))] if kept else rest)}")


@researcher
@require_POST
def save_view(request: HttpRequest, slug: str) -> HttpResponse:
    """Keep the list as it is now under a name; the same name again replaces it."""
    project = get_project(request, slug)
    name, query = " ".join(request.POST.get("name", "").split()), bare_query(request.POST.get("query", ""))
    if not name or len(name) > LONGEST:
        refuse(request, f"A view needs a name of at most {LONGEST} characters.", messages.WARNING)
    elif len(query) > 2000:
        refuse(request, "The search is too long to be kept.", messages.WARNING)
    else:
        fields = {"query": query, "shared": "shared" in request.POST}
        SavedView.objects.update_or_create(user=person_of(request), project=project, name=name, defaults=fields)
    return redirect(f"{reverse('candidates', args=[slug])}?{query}")


@researcher
@require_POST
def forget_view(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Forget a view of one's own; another person's is not found."""
    get_project(request, slug)
    get_object_or_404(SavedView, pk=pk, project__slug=slug, user=person_of(request)).delete()
    return redirect(reverse("candidates", args=[slug]))


@researcher
@require_POST
def keys(request: HttpRequest) -> HttpResponse:
    """Single keys on or off, for those who dictate, or whose tools use the same keys."""
    off = request.POST.get("keys") == "off"
    Preferences.objects.update_or_create(user=person_of(request), defaults={"keys_off": off})
    back = request.POST.get("back", "")
    safe = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    return redirect(back if safe and "/" in back else "inbox")  # a word alone would be taken for the name of a page
