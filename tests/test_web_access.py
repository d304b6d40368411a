"""Who may open and do what: one table with every address of the application."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.test import Client, RequestFactory

from research_app import urls
from research_app.models import Stage
from research_app.web.access import get_project
from tests.factories import make_candidate, make_project, make_user

pytestmark = pytest.mark.django_db

NUMBER = {"slug": "demo", "number": 1}
# name → (arguments, method, status for: nobody, viewer, operator, reviewer, approver); "in": led to the sign-in page.
TABLE: dict[str, tuple[dict[str, Any], str, Any, Any, Any, Any, Any]] = {
    "inbox": ({}, "get", "in", 200, 200, 200, 200),
    "sign-in": ({}, "get", 200, 302, 302, 302, 302),
    "sign-in-link": ({"token": "abc"}, "get", 200, 200, 200, 200, 200),
    "sign-out": ({}, "post", 302, 302, 302, 302, 302),
    "healthz": ({}, "get", "any", "any", "any", "any", "any"),  # 200 or 503, whoever asks
    "fleet": ({}, "get", "in", 200, 200, 200, 200),
    "audit": ({}, "get", "in", 200, 200, 200, 200),
    "turns": ({}, "get", "in", 200, 200, 200, 200),
    "notifications": ({}, "get", "in", 200, 200, 200, 200),
    "try-notification": ({"channel": "email"}, "post", "in", 302, 302, 302, 302),
    "project": ({"slug": "demo"}, "get", "in", 200, 200, 200, 200),
    "pause": ({"slug": "demo"}, "post", "in", 403, 302, 302, 302),
    "resume": ({"slug": "demo"}, "post", "in", 403, 302, 302, 302),
    "progress": ({"slug": "demo"}, "get", "in", 200, 200, 200, 200),
    "baseline": ({"slug": "demo"}, "get", "in", 200, 200, 200, 200),
    "candidates": ({"slug": "demo"}, "get", "in", 200, 200, 200, 200),
    "candidate": (NUMBER, "get", "in", 200, 200, 200, 200),
    "change-diff": (NUMBER, "get", "in", 200, 200, 200, 200),
    "candidate-curves": (NUMBER, "get", "in", 200, 200, 200, 200),
    "approve": (NUMBER, "post", "in", 403, 403, 403, 409),  # 409: this table sends nothing of what it saw
    "reject": (NUMBER, "post", "in", 403, 403, 422, 422),  # 422: and no reason
    "request-changes": (NUMBER, "post", "in", 403, 403, 409, 409),
    "undo": (NUMBER, "post", "in", 403, 403, 409, 409),  # 409: they decided nothing yet
    "reopen": ({"slug": "demo", "number": 2}, "post", "in", 403, 422, 422, 422),
    "revise": (NUMBER, "post", "in", 403, 422, 422, 422),  # 422: no patch
    "run": ({"slug": "demo", "pk": None}, "get", "in", 200, 200, 200, 200),
    "run-log": ({"slug": "demo", "pk": None}, "get", "in", 200, 200, 200, 200),
    "run-curves": ({"slug": "demo", "pk": None}, "get", "in", 200, 200, 200, 200),
}
WHO = ("nobody", "viewer", "operator", "reviewer", "approver")
CHANGES = {name for name, (_, method, *_) in TABLE.items() if method == "post"}


@pytest.fixture
def addresses() -> dict[str, str]:
    from django.urls import reverse

    project = make_project()
    make_candidate(project)
    make_candidate(project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")], stage=Stage.REJECTED)
    run = project.runs.first()
    assert run is not None
    fill = {"pk": run.pk}
    return {
        name: reverse(name, kwargs={key: fill.get(key) if value is None else value for key, value in kwargs.items()})
        for name, (kwargs, *_) in TABLE.items()
    }


def test_the_table_holds_every_address() -> None:
    assert {pattern.name for pattern in urls.urlpatterns} == set(TABLE)


@pytest.mark.parametrize(("who", "column"), [(who, 2 + i) for i, who in enumerate(WHO)])
def test_everyone_gets_what_the_table_says(addresses: dict[str, str], who: str, column: int) -> None:
    if who != "nobody":
        make_user("ada", role=who)
    found = {}
    for name, (_, method, *_) in TABLE.items():
        client = Client()
        if who != "nobody":
            assert client.login(username="ada", password="correct horse battery")
        response = getattr(client, method)(addresses[name])
        led = response.status_code == 302 and response.headers["Location"].startswith("/sign-in/") and name != "sign-out"
        found[name] = "in" if led else response.status_code
    expected = {name: row[column] for name, row in TABLE.items()}
    for name in [name for name, status in expected.items() if status == "any"]:
        assert found[name] in (200, 503)
        expected[name] = found[name]
    assert found == expected


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_nothing_is_changed_by_opening_an_address(addresses: dict[str, str], name: str) -> None:
    make_user("ada")
    client = Client()
    client.login(username="ada", password="correct horse battery")
    assert client.get(addresses[name]).status_code == 405


@pytest.mark.parametrize("name", sorted(CHANGES - {"sign-out"}))
def test_nothing_is_changed_without_the_forms_token(addresses: dict[str, str], name: str) -> None:
    make_user("ada")
    client = Client(enforce_csrf_checks=True)
    client.login(username="ada", password="correct horse battery")
    response = client.post(addresses[name])
    assert response.status_code == 403
    assert "The form was not sent" in response.content.decode()


def test_an_administrator_does_not_vote_by_that_alone(addresses: dict[str, str]) -> None:
    make_user("root", approver=False, is_superuser=True, is_staff=True)
    client = Client()
    client.login(username="root", password="correct horse battery")
    response = client.post(addresses["approve"])
    assert response.status_code == 403
    assert "role “reviewer”" in response.content.decode()
    assert "Approve for baseline" not in client.get(addresses["candidate"]).content.decode()


def test_a_person_who_was_switched_off_is_signed_out(addresses: dict[str, str]) -> None:
    user = make_user("ada")
    client = Client()
    client.login(username="ada", password="correct horse battery")
    user.is_active = False
    user.save()
    assert client.get(addresses["inbox"]).status_code == 302


def test_a_script_of_a_signed_out_page_gets_401_and_no_form(addresses: dict[str, str]) -> None:
    for headers in ({"HX-Request": "true"}, {"X-Requested-With": "fetch"}):
        response = Client().get(addresses["candidate"], headers=headers)
        assert response.status_code == 401
        assert "<form" not in response.content.decode()


def test_one_is_led_back_to_the_page_that_was_asked_for(addresses: dict[str, str]) -> None:
    response = Client().get(f"{addresses['candidates']}?stage=ready")
    assert response.headers["Location"] == "/sign-in/?next=%2Fprojects%2Fdemo%2Fcandidates%2F%3Fstage%3Dready"


def test_an_object_is_fetched_through_the_access_check(addresses: dict[str, str]) -> None:
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    with pytest.raises(PermissionDenied):
        get_project(request, "demo")


def test_what_does_not_exist_is_a_404_in_our_own_look(addresses: dict[str, str]) -> None:
    make_user("ada")
    client = Client()
    client.login(username="ada", password="correct horse battery")
    for address in ("/nope/", "/projects/none/", "/projects/demo/candidates/99/", "/projects/demo/runs/999999/"):
        response = client.get(address)
        assert response.status_code == 404
        assert "There is no such page" in response.content.decode()
