"""Who may open and do what: one table with every address of the application."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import URLPattern, reverse

from research_app import urls
from research_app.access import ROLES
from research_app.loop.review.review import Seen
from research_app.models import Candidate, Stage, Verdict
from research_app.web.shared.access import get_project
from tests.factories import make_candidate, make_project, make_user

pytestmark = pytest.mark.django_db

# name → the method, and who may at least; below that it answers 403, and nobody at all is led to the sign-in page.
TABLE: dict[str, tuple[str, str]] = {
    "sign-in": ("get", "anybody"),
    "sign-in-link": ("get", "anybody"),
    "sign-out": ("post", "anybody"),
    "healthz": ("get", "anybody"),
    "inbox": ("get", "viewer"),
    "fleet": ("get", "viewer"),
    "audit": ("get", "viewer"),
    "turns": ("get", "viewer"),
    "notifications": ("get", "viewer"),
    "try-notification": ("post", "viewer"),
    "notification-secret": ("post", "viewer"),
    "delivery": ("get", "viewer"),
    "unsubscribe": ("get", "anybody"),  # whoever has a signed link; this one is not
    "tokens": ("get", "viewer"),
    "docs-index": ("get", "viewer"),
    "docs": ("get", "viewer"),
    "first-steps": ("post", "viewer"),
    "revoke-token": ("post", "viewer"),
    "keys": ("post", "viewer"),
    "project": ("get", "viewer"),
    "project-settings": ("get", "viewer"),
    "archive-project": ("post", "operator"),
    "delete-project": ("post", "operator"),
    "pause": ("post", "operator"),
    "resume": ("post", "operator"),
    "progress": ("get", "viewer"),
    "report": ("get", "viewer"),
    "report-markdown": ("get", "viewer"),
    "compare": ("get", "viewer"),
    "compare-curves": ("get", "viewer"),
    "compare-constants": ("get", "viewer"),
    "baseline": ("get", "viewer"),
    "measure-target": ("post", "operator"),
    "moved": ("get", "viewer"),
    "adopt-move": ("post", "approver"),
    "revert": ("post", "operator"),
    "landings": ("get", "viewer"),
    "push-now": ("post", "operator"),
    "stacks": ("get", "viewer"),
    "stack": ("get", "viewer"),
    "stack-start": ("post", "operator"),
    "stack-stop": ("post", "operator"),
    "stack-remove": ("post", "operator"),
    "candidates": ("get", "viewer"),
    "columns": ("post", "viewer"),
    "save-view": ("post", "viewer"),
    "forget-view": ("post", "viewer"),
    "bulk": ("post", "operator"),
    "history": ("get", "viewer"),
    "try-again": ("post", "operator"),
    "imports": ("get", "viewer"),
    "imported": ("get", "viewer"),
    "imported-progress": ("get", "viewer"),
    "imported-result": ("get", "viewer"),
    "rejudge-imported": ("post", "operator"),
    "program": ("get", "viewer"),
    "new-project": ("get", "operator"),
    "trial": ("get", "operator"),
    "change-trial": ("post", "operator"),
    "stop-trial": ("post", "operator"),
    "conversations": ("get", "viewer"),
    "conversation": ("get", "viewer"),
    "stop-conversation": ("post", "operator"),
    "resume-conversation": ("post", "operator"),
    "rework": ("post", "operator"),
    "combine": ("post", "operator"),
    "join": ("post", "operator"),
    "scoreboard": ("get", "viewer"),
    "add-note": ("post", "operator"),
    "add-candidate-note": ("post", "operator"),
    "withdraw-note": ("post", "operator"),
    "shortlist": ("get", "viewer"),
    "shortlist-price": ("get", "viewer"),
    "shortlist-conflicts": ("get", "viewer"),
    "digest": ("get", "viewer"),
    "constant": ("get", "viewer"),
    "candidate-card": ("get", "viewer"),
    "digest-week": ("get", "viewer"),
    "compare-figure": ("get", "viewer"),
    "compare-figure-file": ("get", "viewer"),
    "baseline-figure": ("get", "viewer"),
    "baseline-figure-file": ("get", "viewer"),
    "candidate-figure": ("get", "viewer"),
    "candidate-figure-file": ("get", "viewer"),
    "project-csv": ("get", "viewer"),
    "csv-of-all": ("get", "viewer"),
    "approve-scale-ups": ("post", "approver"),  # or whom the policy of gate 1 names, see test_gate_policy.py
    "skip-scale-up": ("post", "approver"),
    "form-stack": ("post", "operator"),
    "candidate": ("get", "viewer"),
    "change-diff": ("get", "viewer"),
    "candidate-file": ("get", "viewer"),
    "candidate-lines": ("get", "viewer"),
    "candidate-line": ("get", "viewer"),
    "candidate-viewed": ("post", "viewer"),
    "candidate-threads": ("post", "reviewer"),
    "candidate-thread": ("get", "viewer"),
    "candidate-thread-reply": ("post", "reviewer"),
    "candidate-similar": ("get", "viewer"),
    "candidate-curves": ("get", "viewer"),
    "preview": ("get", "viewer"),
    "later": ("post", "viewer"),
    "scale-up": ("get", "viewer"),
    "stop-scale-up": ("post", "operator"),
    "scale-up-further": ("post", "operator"),
    "approve": ("post", "approver"),
    "reject": ("post", "reviewer"),
    "request-changes": ("post", "reviewer"),
    "undo": ("post", "reviewer"),
    "reopen": ("post", "operator"),
    "widen": ("post", "approver"),
    "stop-candidate": ("post", "operator"),
    "retry-candidate": ("post", "operator"),
    "revise": ("post", "operator"),
    "run": ("get", "viewer"),
    "run-log": ("get", "viewer"),
    "run-curves": ("get", "viewer"),
}
WITHOUT_OBJECT = {
    "trial",
    "change-trial",
    "stop-trial",
    "imported",
    "imported-progress",
    "imported-result",
    "rejudge-imported",
    "moved",
    "adopt-move",
    "conversation",
    "delivery",
    "resume-conversation",
    "revert",
    "rework",
    "revoke-token",
    "stop-conversation",
    "withdraw-note",
    "stack",
    "stack-stop",
    "stack-remove",
    "forget-view",
    "candidate-thread",
    "candidate-thread-reply",
    "candidate-file",
    "candidate-lines",
    "candidate-line",
    "candidate-viewed",
    "docs",
    "project-csv",
    "constant",
    "csv-of-all",
}
"""Addresses of things that these tests do not make: who may is answered with 404."""
CHANGES = {name for name, (method, _) in TABLE.items() if method == "post"}


def named() -> dict[str, URLPattern]:
    """Every address of the application that a person's session opens; those for agents answer to tokens (test_api*.py)."""
    patterns = [pattern for pattern in urls.urlpatterns if isinstance(pattern, URLPattern)]
    return {
        pattern.name or "": pattern for pattern in patterns if not str(pattern.pattern).lstrip("^").startswith(("api/", "git/"))
    }


@pytest.fixture
def addresses() -> dict[str, str]:
    project = make_project()
    make_candidate(project, verdict=Verdict.SOLID)
    make_candidate(project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")], stage=Stage.REJECTED)
    run = project.runs.first()
    assert run is not None
    fill: dict[str, Any] = {
        "slug": "demo",
        "number": 1,
        "token": "abc",
        "channel": "webhook",
        "name": "figure.csv",
        "week": "2026-W48",
    }

    def arguments(name: str, pattern: URLPattern) -> dict[str, Any]:
        return {key: fill.get(key, run.pk if name.startswith("run") else 1) for key in pattern.pattern.converters}

    return {name: reverse(name, kwargs=arguments(name, pattern)) for name, pattern in named().items()}


def test_the_table_holds_every_address() -> None:
    assert set(named()) == set(TABLE)


def ask(client: Client, name: str, addresses: dict[str, str]) -> HttpResponse:
    response: HttpResponse = getattr(client, TABLE[name][0])(addresses[name])
    return response


def outcome(name: str, response: HttpResponse) -> str:
    """What an answer means for who asked: led to the sign-in page, refused, missing, or let in."""
    if response.status_code == 302 and response.headers["Location"].startswith("/sign-in/") and name != "sign-out":
        return "sign in"
    if name == "healthz":
        return "in" if response.status_code in (200, 503) else f"status {response.status_code}"
    if (response.status_code == 404 and name in WITHOUT_OBJECT) or (response.status_code == 410 and name == "unsubscribe"):
        return "in"
    return {401: "sign in", 403: "refused"}.get(
        response.status_code,
        "in" if response.status_code in (200, 204, 302, 304, 400, 409, 422) else f"status {response.status_code}",
    )


def test_nobody_is_let_in_without_signing_in(addresses: dict[str, str]) -> None:
    found = {name: outcome(name, ask(Client(), name, addresses)) for name in TABLE}
    assert found == {name: "in" if least == "anybody" else "sign in" for name, (_, least) in TABLE.items()}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_opens_and_does_what_the_table_says_and_no_more(addresses: dict[str, str], role: str) -> None:
    make_user("ada", role=role)
    found = {}
    for name in TABLE:
        client = Client()
        assert client.login(username="ada", password="correct horse battery")
        found[name] = outcome(name, ask(client, name, addresses))
    may = {least for least in ("anybody", *ROLES) if least == "anybody" or ROLES.index(least) <= ROLES.index(role)}
    assert found == {name: "in" if least in may else "refused" for name, (_, least) in TABLE.items()}


def test_an_approver_votes_with_what_was_seen(addresses: dict[str, str]) -> None:
    """That the addresses of decisions do what they are for, once all that they need is sent."""
    candidate, client = Candidate.objects.with_evidence().get(number=1), Client()
    make_user("ada")
    client.login(username="ada", password="correct horse battery")
    seen = Seen.of(candidate)
    sent = {"diff_hash": seen.diff_hash, "base_commit": seen.base_commit, "evidence_hash": seen.evidence_hash}
    response = client.post(addresses["approve"], sent | {"policy_version": "1"})
    assert response.status_code == 302
    candidate.refresh_from_db()
    assert candidate.stage == Stage.LANDING


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
