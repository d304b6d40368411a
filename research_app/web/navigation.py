"""What the bar at the top of every page shows. Lazy: a page fragment that does not print it costs no query."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.http import HttpRequest

from research_app.access import may_see
from research_app.models import Candidate, Device, Run, State


@dataclass(frozen=True)
class Navigation:
    """The bar: where we are, what waits, how busy the devices are. Costs three queries when it is shown."""

    slug: str  # of the project whose pages we are on, or ""
    page: str  # name of the URL pattern

    @cached_property
    def waiting(self) -> int:
        return Candidate.objects.waiting_for_review().count()

    @cached_property
    def devices(self) -> int:
        return Device.objects.online().count()

    @cached_property
    def busy(self) -> int:
        running = Run.objects.filter(state=State.RUNNING, device__isnull=False)
        return min(self.devices, running.values("device").distinct().count())


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context processor. Nobody signed in: no bar."""
    if not hasattr(request, "user") or not may_see(request.user):
        return {}
    match = request.resolver_match
    slug = match.kwargs.get("slug", "") if match else ""
    return {"navigation": Navigation(slug, match.url_name or "" if match else "")}
