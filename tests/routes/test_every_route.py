"""Every route of the URLconf, about a candidate at every stage, in every hostile world: no page breaks, all JSON is strict."""

from collections.abc import Mapping

import pytest
from django.db import transaction

from research_app.models import Ablation, Evidence, Project
from research_app.web.shared import stats_cache
from tests.routes import hostile
from tests.routes.asking import AS, Askers, Question, ask, require_none
from tests.routes.drawn import one_of, some
from tests.routes.known import KNOWN, About, By
from tests.routes.rows import Row, address, rows_of, variants
from tests.routes.urlconf import Route, every_route

pytestmark = pytest.mark.django_db
ROUTES = every_route()
LISTED = [route for route in ROUTES if route.name in KNOWN]  # the others fail below
READ = [route for route in LISTED if "GET" in KNOWN[route.name].methods]


def opened(
    askers: Askers, route: Route, row: Row, query: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> list[str]:
    """GET one route about one row; what is wrong with the answer."""
    known = KNOWN[route.name]
    client, own = askers[known.by]
    if known.by == By.GIT:
        query = {**query, "service": "git-upload-pack"}
    question = Question("GET", address(route, known, row, **query), headers={**own, **(headers or {})})
    return ask(client, question)[1]


def test_every_route_is_known() -> None:
    names = [route.name for route in ROUTES]
    assert len(set(names)) == len(names)
    assert {"new": set(names) - set(KNOWN), "gone": set(KNOWN) - set(names)} == {"new": set(), "gone": set()}


# A figure's files are drawn, a second each.
DRAWN = [pytest.param(route, marks=pytest.mark.one_in(4)) if "figure-file" in route.name else route for route in READ]


@pytest.mark.parametrize("route", DRAWN, ids=lambda route: route.name)
def test_it_opens_at_every_stage(route: Route, project: Project, askers: Askers) -> None:
    known, troubles = KNOWN[route.name], []
    for row in some(rows_of(project, known.about), 25, route.name):
        query = one_of(variants(project, known), route.name, row)
        headers = one_of(AS, route.name, row) if known.by == By.SESSION else None
        troubles += opened(askers, route, row, query, headers)
    for query in variants(project, known):
        troubles += opened(askers, route, rows_of(project, known.about)[0], query)
    require_none(troubles)


@pytest.mark.parametrize("name", list(hostile.WORLDS)[1:])
def test_every_page_opens_in_a_world_where(name: str, project: Project, askers: Askers) -> None:
    hostile.WORLDS[name](project)
    troubles: list[str] = []
    of_this = [route for route in READ if KNOWN[route.name].about != About.NOTHING or route.name in ("inbox", "fleet", "turns")]
    for route in some(of_this, 16 if name not in hostile.WHOLE else len(of_this), name):
        known = KNOWN[route.name]
        for row in some(rows_of(project, known.about), 1, name, route.name):
            headers = one_of(AS, name, route.name) if known.by == By.SESSION else None
            troubles += opened(askers, route, row, one_of(variants(project, known), name, route.name), headers)
    require_none(troubles)


def test_every_page_opens_with_documents_of_an_older_version(project: Project, askers: Askers) -> None:
    documents = [*Evidence.objects.values_list("numbers", flat=True), *Ablation.objects.values_list("result", flat=True)]
    documents += project.runs.values_list("facts", flat=True)
    ways = sorted({way for document in documents for way in hostile.keys_of(document)})
    troubles: list[str] = []
    for way, value in some([(way, value) for way in ways for value in (KeyError, None)], 25, "older"):
        with transaction.atomic():
            hostile.older(project, way, value)
            stats_cache._kept.clear()
            for route in some([route for route in READ if KNOWN[route.name].about != About.NOTHING], 8, way):
                for row in some(rows_of(project, KNOWN[route.name].about), 1, way, route.name, whole=2):
                    query = one_of(variants(project, KNOWN[route.name]), way, route.name)
                    troubles += [f"without {'.'.join(way)}: {each}" for each in opened(askers, route, row, query)]
            transaction.set_rollback(True)
    require_none(troubles)
