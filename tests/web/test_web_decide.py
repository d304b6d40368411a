"""Approve, reject and reopen from the page: what is refused is said in the bar, and nothing that was typed is lost."""

from dataclasses import asdict

import pytest
from django.test import Client

from research_app.loop.review.review import Seen
from research_app.models import Candidate, Event, Landing, Project, Review, Stage, Verdict
from tests.factories import make_candidate, make_evidence, make_project, make_user

pytestmark = pytest.mark.django_db
SCRIPT = {"HX-Request": "true"}


def signed_in(name: str) -> Client:
    make_user(name)
    client = Client()
    client.login(username=name, password="correct horse battery")
    return client


@pytest.fixture
def client() -> Client:
    return signed_in("ada")


@pytest.fixture
def candidate() -> Candidate:
    return make_candidate(make_project(), verdict=Verdict.SOLID)


def send(
    client: Client, candidate: Candidate, action: str, reason: str = "", seen: Seen | None = None, **headers: str
) -> tuple[int, str]:
    """Press a button of the page that showed `seen`; the status and the answer."""
    shown = seen or Seen.of(candidate)
    fields = {name: str(value) for name, value in asdict(shown).items()}
    address = f"{candidate.get_absolute_url()}{action}/"
    response = client.post(address, {**fields, "reason": reason}, headers=headers or SCRIPT)
    return response.status_code, response.content.decode()


def test_the_page_sends_back_what_it_showed(client: Client, candidate: Candidate) -> None:
    page = client.get(candidate.get_absolute_url()).content.decode()
    seen = Seen.of(candidate)
    for name in asdict(seen):
        assert f'name="{name}" value="{getattr(seen, name)}"' in page


def test_approving_enters_the_landing_queue_and_the_bar_says_so(client: Client, candidate: Candidate) -> None:
    status, bar = send(client, candidate, "approve")
    assert status == 200
    assert 'id="decide"' in bar
    assert '<li class="now">queued</li>' in bar
    candidate.refresh_from_db()
    assert candidate.stage == Stage.LANDING
    assert Review.objects.get().reviewer.get_username() == "ada"


def test_a_second_click_lands_nothing_twice(client: Client, candidate: Candidate) -> None:
    seen = Seen.of(candidate)
    send(client, candidate, "approve")
    status, bar = send(client, candidate, "approve", seen=seen)
    assert status == 409
    assert "it is landing now" in bar
    assert Landing.objects.count() == Review.objects.count() == 1


def test_two_people_decide_and_one_of_them_is_told(client: Client, candidate: Candidate) -> None:
    seen = Seen.of(candidate)
    other = signed_in("grace")
    assert send(client, candidate, "approve", seen=seen)[0] == 200
    status, bar = send(other, candidate, "reject", "Looks like seed noise", seen)
    assert status == 409
    assert "was decided or moved on meanwhile" in bar
    assert "Show what is there now" in bar
    assert Review.objects.count() == 1


def test_a_stale_page_says_what_changed_and_keeps_what_was_typed(client: Client, candidate: Candidate) -> None:
    seen = Seen.of(candidate)
    assert candidate.patch_set
    candidate.evidence = make_evidence(candidate.patch_set, [2.1, 2.2], Verdict.MORE_RUNS_NEEDED)
    candidate.save()
    status, bar = send(client, candidate, "approve", "because <b>", seen)
    assert status == 409
    assert "its evidence changed" in bar
    assert ">because &lt;b&gt;</textarea>" in bar
    assert not Landing.objects.exists()


def test_rejecting_needs_a_reason(client: Client, candidate: Candidate) -> None:
    status, bar = send(client, candidate, "reject", "   ")
    assert status == 422
    assert "Say why" in bar
    candidate.refresh_from_db()
    assert candidate.stage == Stage.READY


def test_rejecting_closes_the_candidate_with_its_reason(client: Client, candidate: Candidate) -> None:
    status, bar = send(client, candidate, "reject", "Looks like seed noise")
    assert status == 200
    assert "Undo my rejection" in bar
    page = client.get(candidate.get_absolute_url()).content.decode()
    assert "Looks like seed noise" in page
    assert Event.objects.filter(kind="vote").exists()


def test_approving_against_the_evidence_needs_a_reason(client: Client) -> None:
    candidate = make_candidate(make_project(), verdict=Verdict.DROP)
    status, bar = send(client, candidate, "approve")
    assert status == 422
    assert "The evidence does not say “solid”: approving needs a reason" in bar
    assert send(client, candidate, "approve", "It simplifies the code.")[0] == 200
    assert Review.objects.get().against_verdict


def test_the_bar_says_beforehand_that_a_reason_is_needed(client: Client) -> None:
    project = make_project()
    solid = make_candidate(project, verdict=Verdict.SOLID)
    quarantined = make_candidate(project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")])
    page = client.get(solid.get_absolute_url()).content.decode()
    assert "approving needs a reason" not in page
    assert 'value="approve" formnovalidate' in page
    page = client.get(quarantined.get_absolute_url()).content.decode()
    assert "The evidence does not say “solid”: approving needs a reason." in page
    assert 'value="approve" formnovalidate' not in page


def test_solid_evidence_in_quarantine_is_not_approved_without_a_reason(client: Client, candidate: Candidate) -> None:
    assert candidate.evidence
    finding = {"rule": "implausible", "sentence": "a gain of 31.0% is above the 10% that is believed without a person"}
    candidate.evidence.numbers["health"] = {"state": "quarantined", "findings": [finding]}
    candidate.evidence.save()
    page = client.get(candidate.get_absolute_url()).content.decode()
    assert "The evidence is in quarantine: approving needs a reason." in page
    assert "a gain of 31.0% is above the 10%" in page
    status, bar = send(client, candidate, "approve")
    assert status == 422
    assert "in quarantine" in bar
    assert not Landing.objects.exists()
    assert send(client, candidate, "approve", "I read the diff: the old loss counted padding.")[0] == 200


def test_a_discarded_candidate_can_be_reopened_with_a_reason(client: Client) -> None:
    candidate = make_candidate(make_project(), verdict=Verdict.SOLID, stage=Stage.INCONCLUSIVE)
    assert send(client, candidate, "reopen", "")[0] == 422
    status, bar = send(client, candidate, "reopen", "A newer run speaks for it")
    assert status == 200
    assert "Approve for baseline" in bar


def test_a_reason_that_is_far_too_long_is_refused_and_kept(client: Client, candidate: Candidate) -> None:
    status, bar = send(client, candidate, "reject", "x" * 4001)
    assert status == 422
    assert "4,001 characters; at most 4,000" in bar
    assert "x" * 4001 in bar


def test_script_in_a_reason_stays_text(client: Client, candidate: Candidate) -> None:
    send(client, candidate, "reject", "<script>alert(1)</script>")
    for address in (candidate.get_absolute_url(), "/audit/", "/projects/demo/candidates/?stage=rejected"):
        assert "<script>alert" not in client.get(address).content.decode()


def test_without_scripts_the_forms_work_too(client: Client, candidate: Candidate) -> None:
    status, page = send(client, candidate, "reject", "", accept="text/html")
    assert status == 422
    assert page.startswith("<!doctype html>")
    assert "Say why" in page
    assert send(client, candidate, "approve", accept="text/html")[0] == 302


def test_a_project_without_evidence_offers_no_vote(client: Client) -> None:
    candidate = make_candidate(make_project(), effect=None, stage=Stage.SCREENING)
    page = client.get(candidate.get_absolute_url()).content.decode()
    assert "Approve for baseline" not in page
    assert "No decision is due yet." in page
    assert send(client, candidate, "approve")[0] == 409
    assert Project.objects.count() == 1
