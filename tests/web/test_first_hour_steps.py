"""Three first steps: they tick themselves off from what the database says, differ by role, and go once done or put away."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from research_app.loop.review.review import Seen, approve
from research_app.models import Project, Stage, Verdict
from tests.factories import make_candidate, make_project, make_user
from tests.html import text_of

pytestmark = pytest.mark.django_db


def window(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def steps(client: Client) -> str:
    """The card as text; empty where there is none."""
    page = client.get("/").content.decode()
    return text_of(page.split('id="steps"', 1)[1].split("</section>", 1)[0].split(">", 1)[1])


def test_there_are_none_without_a_project() -> None:
    assert steps(window(make_user())) == ""


def test_the_first_verdict_ticks_off_watching() -> None:
    project, client = make_project(), window(make_user())
    assert "0 of 3 done" in steps(client) and "None has a verdict yet." in steps(client)
    make_candidate(project, effect=None, stage=Stage.SCREENING)
    assert "0 of 3 done" in steps(client)
    make_candidate(project, stage=Stage.DROPPED, effect=-0.05)
    assert "1 of 3 done" in steps(client) and "1 has a verdict." in steps(client)


def test_ones_own_vote_ticks_off_deciding_and_nobody_elses() -> None:
    project, ada, grace = make_project(), make_user("ada"), make_user("grace")
    candidate = make_candidate(project, effect=0.05, runs=3, verdict=Verdict.SOLID)
    assert "One waits for yours, above." in steps(window(ada))
    approve(candidate, ada, Seen.of(candidate))
    assert "2 of 3 done" in steps(window(ada))
    assert "1 of 3 done" in (said := steps(window(grace))) and "Decide one" in said
    assert "None waits for yours yet." in said


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_who_may_not_decide_is_not_told_to_and_sees_when_somebody_did(role: str) -> None:
    project, eve = make_project(), make_user("eve", role=role)
    candidate = make_candidate(project, effect=0.05, runs=3, verdict=Verdict.SOLID)
    said = steps(window(eve))
    assert "See one decided" in said and "Decide one" not in said and "yours" not in said
    assert "1 of 3 done" in said
    approve(candidate, ada := make_user("ada"), Seen.of(candidate))
    assert "2 of 3 done" in steps(window(eve)) and ada.pk


def test_a_project_from_a_repository_ticks_off_the_last_one() -> None:
    make_project()
    client = window(make_user())
    other = make_project("mine")
    assert "0 of 3 done" in steps(client)
    Project.objects.filter(pk=other.pk).update(source="/srv/nanogpt")
    assert "1 of 3 done" in steps(client)


def test_they_are_gone_once_all_are_done() -> None:
    project, ada = make_project(), make_user("ada")
    Project.objects.update(source="https://example.org/code.git")
    candidate = make_candidate(project, effect=0.05, runs=3, verdict=Verdict.SOLID)
    approve(candidate, ada, Seen.of(candidate))
    client = window(ada)
    assert steps(client) == ""
    assert "All first steps are done." in client.post("/first-steps/", {"away": "no"}, follow=True).content.decode()


def test_put_away_is_one_persons_own_choice_and_can_be_undone() -> None:
    make_project()
    ada, grace = window(make_user("ada")), window(make_user("grace"))
    page = ada.post("/first-steps/", {"away": "yes"}, follow=True).content.decode()
    assert "The first steps are put away" in page and "Undo" in page
    assert steps(ada) == "" and steps(grace) != ""
    page = ada.get("/").content.decode()
    assert "Undo" not in page, "it is offered once"
    assert "Show the first steps" in page, "the menu of the account keeps it"
    ada.post("/first-steps/", {"away": "no"})
    assert steps(ada) != "" and "Show the first steps" not in ada.get("/").content.decode()


def test_the_pulse_of_another_window_does_not_take_the_undo_away() -> None:
    make_project()
    client = window(make_user())
    client.post("/first-steps/", {"away": "yes"})
    client.get("/", headers={"HX-Request": "true", "HX-Trigger": "pulse"})
    assert "Undo" in client.get("/").content.decode()


def test_nobody_is_asked_who_is_not_signed_in() -> None:
    assert Client().post("/first-steps/", {"away": "yes"}).status_code == 302
