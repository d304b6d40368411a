"""The server says by a cookie which draft it took, and leads who was signed out back to the page where they typed."""

import re
from pathlib import Path

import pytest
from django.test import Client

from research_app.home import CODE
from research_app.models import Note, Project, SignInLink
from research_app.web.account.sign_in import NEXT_COOKIE
from research_app.web.shared.drafts import COOKIE
from tests.factories import make_user

pytestmark = pytest.mark.django_db
PROGRAM = "/projects/demo/program/"
NOTES = "/projects/demo/notes/"


def client(**options: bool) -> Client:
    made = Client(**options)  # type: ignore[arg-type]
    made.force_login(make_user("ada"))
    return made


def test_what_was_taken_is_named_in_a_cookie(project: Project) -> None:
    answer = client().post(NOTES, {"text": "Leave the attention alone.", "draft": "abc123"})
    assert answer.status_code == 302
    assert answer.cookies[COOKIE].value == "abc123"
    assert Note.objects.count() == 1


@pytest.mark.parametrize("text", ["", "x" * 5000])
def test_what_was_refused_is_not(project: Project, text: str) -> None:
    answer = client().post(NOTES, {"text": text, "draft": "abc123"})
    assert COOKIE not in answer.cookies
    assert Note.objects.count() == 0


def test_a_refusal_that_shows_the_form_again_is_not(project: Project) -> None:
    answer = client().post(PROGRAM, {"text": "", "seen": "7", "draft": "abc123"})
    assert answer.status_code in (409, 422)
    assert COOKIE not in answer.cookies


def test_the_name_of_a_draft_is_never_copied_out_unchecked(project: Project) -> None:
    for name in ("a b", "x" * 21, "é", "a;b", ""):
        assert COOKIE not in client_with("eve").post(NOTES, {"text": "Fine.", "draft": name}).cookies


def client_with(name: str) -> Client:
    from django.contrib.auth.models import User

    made = Client()
    made.force_login(User.objects.filter(username=name).first() or make_user(name))
    return made


def test_who_is_signed_out_is_led_back_to_the_page_that_the_form_stood_on(project: Project) -> None:
    answer = Client().post(
        NOTES, {"text": "Fine.", "draft": "abc123"}, headers={"Referer": f"http://testserver{PROGRAM}?version=1"}
    )
    assert answer.headers["Location"] == "/sign-in/?next=%2Fprojects%2Fdemo%2Fprogram%2F%3Fversion%3D1"
    assert COOKIE not in answer.cookies


@pytest.mark.parametrize(
    "referer", ["https://evil.example/x", "//evil.example", "javascript:alert(1)", "", "http://testserver.evil.example/"]
)
def test_a_form_from_elsewhere_leads_nowhere(project: Project, referer: str) -> None:
    answer = Client().post(NOTES, {"text": "Fine."}, headers={"Referer": referer})
    assert answer.headers["Location"] == "/sign-in/"


def test_a_form_whose_token_is_gone_with_the_session_leads_to_the_sign_in_page(project: Project) -> None:
    answer = Client(enforce_csrf_checks=True).post(NOTES, {"text": "Fine."}, headers={"Referer": f"http://testserver{PROGRAM}"})
    assert answer.headers["Location"] == "/sign-in/?next=%2Fprojects%2Fdemo%2Fprogram%2F"
    script = Client(enforce_csrf_checks=True).post(NOTES, {"text": "Fine."}, headers={"HX-Request": "true"})
    assert script.status_code == 401


def test_a_form_of_a_page_from_before_a_sign_in_says_that_nothing_was_lost(project: Project) -> None:
    answer = client(enforce_csrf_checks=True).post(NOTES, {"text": "Fine."}, headers={"Referer": f"http://testserver{PROGRAM}"})
    assert answer.status_code == 403 and answer.headers["X-Refused"] == "csrf"
    page = answer.content.decode()
    assert "what you typed is kept" in page and f'href="{PROGRAM}"' in page


def test_a_one_time_link_leads_back_where_somebody_was_sent_to_sign_in_from(project: Project) -> None:
    browser, ada = Client(), make_user("ada")
    browser.get(f"/sign-in/?next={PROGRAM}")
    assert browser.post(f"/sign-in/{SignInLink.make(ada)}/").headers["Location"] == PROGRAM
    assert browser.cookies[NEXT_COOKIE].value == ""
    assert browser.post(f"/sign-in/{SignInLink.make(ada)}/").headers["Location"] == "/"


def test_a_one_time_link_leads_to_no_other_site(project: Project) -> None:
    browser, ada = Client(), make_user("ada")
    browser.get("/sign-in/?next=https://evil.example/")
    assert NEXT_COOKIE not in browser.cookies
    browser.cookies[NEXT_COOKIE] = "https://evil.example/"
    assert browser.post(f"/sign-in/{SignInLink.make(ada)}/").headers["Location"] == "/"


def test_every_view_that_refuses_by_a_message_keeps_the_draft() -> None:
    for path in sorted(Path(CODE / "research_app/web").rglob("*.py")):
        if path.name != "drafts.py":
            found = re.findall(r"messages\.(?:error|warning)\(", path.read_text(encoding="utf-8"))
            assert not found, f"{path.name}: refuse(request, why) of web/drafts.py keeps what was typed"
