"""What the bar at the top of every page shows. Lazy: a page fragment that does not print it costs no query."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from research_app.access import may_see
from research_app.loop.review.votes import turns_of
from research_app.models import Device, Preferences
from research_app.models.snooze import put_off_by


@dataclass(frozen=True)
class Place:
    """One page of the bar: its words, the name of its URL pattern, the second key after `g`, and pages that belong to it."""

    words: str
    name: str
    key: str = ""
    within: tuple[str, ...] = ()


# Of a project, in the order of a candidate's way; then what is looked at less often. A page that is not there is left out.
OF_PROJECT = (
    Place("Candidates", "candidates", "c", ("candidate", "run", "compare")),
    Place("Shortlist", "shortlist", "s", ("scale-up",)),
    Place("Queue", "landings", "q"),
    Place("Baseline", "baseline", "b"),
    Place("History", "history", "h"),
)
MORE_OF_PROJECT = (
    Place("Compare", "compare"),
    Place("Stacks", "stacks", "", ("stack",)),
    Place("Imported", "imports", within=("imported", "imported-result")),
    Place("Program", "program"),
    Place("Agents", "conversations", within=("conversation",)),
    Place("Scoreboard", "scoreboard"),
    Place("Week", "digest", within=("digest-week",)),
    Place("Settings", "project-settings"),
)
EVERYWHERE = (Place("Fleet", "fleet", "f"), Place("Audit", "audit", "a"))
OF_PERSON = (
    Place("Notifications", "notifications"),
    Place("Access tokens", "tokens"),
    Place("Documentation", "docs-index", within=("docs",)),
)


@dataclass(frozen=True)
class Link:
    """A place with its address, as the bar prints it."""

    words: str
    address: str
    keys: str
    current: bool


@dataclass(frozen=True)
class Navigation:
    """The bar: where we are, what waits, how busy the devices are. Costs a handful of queries when it is shown."""

    slug: str  # of the project whose pages we are on, or ""
    page: str  # name of the URL pattern
    person: User

    def _links(self, places: tuple[Place, ...], *args: str) -> list[Link]:
        links = []
        for place in places:
            try:
                address = reverse(place.name, args=args)
            except NoReverseMatch:
                continue
            current = self.page in (place.name, *place.within)
            links.append(Link(place.words, address, f"g {place.key}" if place.key else "", current))
        return links

    @property
    def of_project(self) -> list[Link]:
        return self._links(OF_PROJECT, self.slug) if self.slug else []

    @property
    def more(self) -> list[Link]:
        of_project = self._links(MORE_OF_PROJECT, self.slug) if self.slug else []
        return [*of_project, *self.everywhere] if of_project else []

    @property
    def everywhere(self) -> list[Link]:
        return [
            Link(link.words, f"{link.address}?project={self.slug}" if link.words == "Audit" and self.slug else link.address,
                 link.keys, link.current)
            for link in self._links(EVERYWHERE)
        ]  # fmt: skip

    @property
    def of_person(self) -> list[Link]:
        return self._links(OF_PERSON)

    @cached_property
    def preferences(self) -> Preferences:
        """What this person chose: whether single keys do something, whether the first steps are put away."""
        return Preferences.of(self.person)

    @cached_property
    def waiting(self) -> int:
        """Candidates that wait for this person and that they did not put off, as the inbox lists them."""
        return turns_of(self.person).exclude(pk__in=put_off_by(self.person).values("candidate")).count()

    @cached_property
    def devices(self) -> int:
        """Those that take work: a worker that refuses it is neither busy nor free."""
        return Device.objects.online().filter(refusal="").count()

    @cached_property
    def busy(self) -> int:
        """Those of them that a run has now."""
        return Device.objects.online().filter(refusal="").busy().count()


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context processor. Nobody signed in: no bar."""
    if not hasattr(request, "user") or not may_see(request.user) or not isinstance(request.user, User):
        return {}
    match = request.resolver_match
    slug = match.kwargs.get("slug", "") if match else ""
    return {"navigation": Navigation(slug, match.url_name or "" if match else "", request.user)}
