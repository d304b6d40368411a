"""Every parameter of every route, of addresses, forms and JSON, takes every spelling: it is used, refused or left out."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest
from django.db import transaction

from research_app.models import Project
from tests.html import read
from tests.routes import spellings
from tests.routes.asking import FRAGMENT, Askers, Question, ask, parameters_read, require_none
from tests.routes.drawn import one_of, some
from tests.routes.known import KNOWN, By, Known
from tests.routes.rows import Row, address, rows_of, variants
from tests.routes.urlconf import Route, every_route

pytestmark = [pytest.mark.django_db, pytest.mark.one_in(3)]
ROUTES = [route for route in every_route() if route.name in KNOWN]  # the others fail in test_every_route.py
READ = [route for route in ROUTES if "GET" in KNOWN[route.name].methods]
SENT = [route for route in ROUTES if "POST" in KNOWN[route.name].methods]
NAMED = {route.name: route for route in ROUTES}
IN_PATHS = (
    "0",
    "007",
    "9" * 9,
    "9" * 30,
    "٣",
    "no-such-thing",
    "a" * 300,
    "..",
    "-1",
    "nan",
    "x\u202ey",
    "a b",
    "%00",
    "'\"<>",
)


def cases(keys: set[str], *seed: object, always: bool = True) -> list[tuple[str, str]]:
    """Parameters with spellings: of every one those that found most, and a part of the others."""
    first, rest = [
        [(key, text) for key in sorted(keys) for text in texts] for texts in (spellings.ALWAYS, spellings.PARAMETERS)
    ]
    return [*(first if always else ()), *some(rest, 6, *seed)]


@pytest.mark.parametrize("route", READ, ids=lambda route: route.name)
def test_of_an_address(route: Route, project: Project, askers: Askers) -> None:
    known, troubles = KNOWN[route.name], []
    client, headers = askers[known.by]
    rows = rows_of(project, known.about)
    row = rows[len(rows) // 2]
    always = {"service": "git-upload-pack"} if known.by == By.GIT else {}
    for number, variant in enumerate(variants(project, known)):
        usual = {**variant, **always}
        with parameters_read() as asked:
            ask(client, Question("GET", address(route, known, row, **usual), headers=headers))
        for key, text in cases(asked, route.name, usual, always=number == 0):
            at = address(route, known, row, **{**usual, key: text})
            troubles += ask(client, Question("GET", at, headers=headers))[1]
        everything = {key: one_of(spellings.PARAMETERS, route.name, key) for key in asked}
        troubles += ask(client, Question("GET", address(route, known, row, **everything), headers=headers))[1]
    require_none(troubles)


@pytest.mark.parametrize("route", SENT, ids=lambda route: route.name)
def test_of_a_form(route: Route, project: Project, askers: Askers) -> None:
    known, troubles = KNOWN[route.name], []
    own = askers[known.by][1]
    for row in some(rows_of(project, known.about), 2 if known.form_on else 1, route.name):
        at = address(route, known, row)
        usual = dict(known.body or form_of(askers, known, row, at))
        with parameters_read() as asked:
            troubles += sent(askers, known, at, usual, own)
        if known.outside:
            continue
        keys = (asked | set(usual)) - {"csrfmiddlewaretoken"}
        for key, text in some(cases(keys, route.name, row.name), 40, row.name):
            headers = {**own, **(FRAGMENT if one_of((True, False), key, text) else {})}
            troubles += sent(askers, known, at, {**usual, key: text}, headers)
    require_none(troubles)


def form_of(askers: Askers, known: Known, row: Row, at: str) -> Mapping[str, Any]:
    """What the form that is sent to an address holds on its page; nothing where the page has none now."""
    client = askers[By.SESSION][0]
    for name in known.form_on:
        arguments = {key: value for key, value in row.arguments.items() if key in NAMED[name].arguments}
        source = address(NAMED[name], KNOWN[name], Row(arguments, {}, ""))
        page = read(source, client.get(source).content.decode())
        if form := page.form_for(at):
            return form.data
    return {}


def sent(askers: Askers, known: Known, at: str, data: Mapping[str, Any], headers: Mapping[str, str]) -> list[str]:
    """POST and take back what it did; what is wrong with the answer."""
    as_json = {"json": data} if known.body is not None else {"data": data}
    with transaction.atomic():
        found = ask(askers[known.by][0], Question("POST", at, headers=headers, **as_json))[1]
        transaction.set_rollback(True)
    return found


@pytest.mark.parametrize("route", [r for r in ROUTES if r.arguments], ids=lambda route: route.name)
def test_of_a_path(route: Route, project: Project, askers: Askers) -> None:
    known, troubles = KNOWN[route.name], []
    client, headers = askers[known.by]
    row = rows_of(project, known.about)[0]
    usual = {**row.arguments, **(known.fixed or {}), "run": row.arguments.get("pk", 1)}
    for name in route.arguments:
        for text in some(IN_PATHS, 8, route.name, name):
            at = path_of(route, {**usual, name: text})
            for method in known.methods:
                if method == "GET" or not known.outside:
                    with transaction.atomic():
                        troubles += ask(client, Question(method, at, headers=headers))[1]
                        transaction.set_rollback(True)
    require_none(troubles)


def path_of(route: Route, arguments: Mapping[str, object]) -> str:
    """The address with these arguments, whether or not a converter would take them."""
    pattern = re.sub(r"\(\?P<(\w+)>.*\)\$?$", r"<\1>", route.pattern.removeprefix("^"))
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: quote(str(arguments[found[1]]), safe=""), pattern)
