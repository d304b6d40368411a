"""On a candidate's page, the keys for next, previous and list stay in the list that it was opened from."""

import re

import pytest
from playwright.sync_api import Page, expect

from research_app.models import Candidate, Stage
from tests.browser.conftest import SignIn
from tests.factories import make_candidate, make_project, make_user

pytestmark = pytest.mark.django_db(transaction=True)


def five() -> list[Candidate]:
    """Odd ones of one author, even ones of another; the later the better."""
    project = make_project()
    made = []
    for number in range(1, 6):
        edit = ("train.py", "WARMUP = 0.05", f"WARMUP = 0.{number}")
        author = "odd" if number % 2 else "even"
        made.append(make_candidate(project, edits=[edit], author=author, effect=0.01 * number, hypothesis=f"Number {number}"))
    return made


def press(window: Page, key: str, number: int) -> None:
    window.keyboard.press(key)
    expect(window).to_have_url(re.compile(rf"/candidates/{number}/$"))
    expect(window.locator("#decide .where")).to_be_visible()


def test_next_and_previous_follow_the_filter_and_the_order_of_the_list(sign_in: SignIn) -> None:
    five()
    window = sign_in()
    window.goto("/projects/demo/candidates/?author=odd&sort=best")
    window.get_by_role("link", name="Number 5").click()
    expect(window.locator("#decide .where")).to_have_text("from: Candidates 1 of 3")
    press(window, "j", 3)
    press(window, "j", 1)
    expect(window.locator("#decide .where")).to_have_text("from: Candidates 3 of 3")
    press(window, "k", 3)
    window.keyboard.press("u")
    expect(window).to_have_url(re.compile(r"\?author=odd&sort=best$"))


def test_the_way_outlives_a_bar_that_was_renewed(sign_in: SignIn) -> None:
    _, _, three, *_ = five()
    window = sign_in()
    window.goto("/projects/demo/candidates/?author=odd&sort=best")
    window.get_by_role("link", name="Number 3").click()
    expect(window.locator("#decide .where")).to_have_text("from: Candidates 2 of 3")
    Candidate.objects.filter(pk=three.pk).update(stage=Stage.REJECTED)
    expect(window.locator("#decide")).to_contain_text("rejected")
    expect(window.locator("#decide .where")).to_have_text("from: Candidates 2 of 3")
    press(window, "j", 1)


def test_from_the_inbox_it_leads_back_to_its_tab(sign_in: SignIn) -> None:
    five()
    window = sign_in()
    window.goto("/?order=age&q=Number")
    window.locator(".decisions a.open").nth(1).click()
    expect(window.locator("#decide .where")).to_have_text(re.compile(r"from: .+ 2 of 5"))
    window.keyboard.press("u")
    expect(window).to_have_url(re.compile(r"\?order=age&q=Number$"))


def test_a_candidate_that_was_opened_otherwise_has_its_usual_neighbours(sign_in: SignIn) -> None:
    five()
    window = sign_in()
    window.goto("/projects/demo/candidates/?author=odd")
    window.get_by_role("link", name="Number 3").click()
    window.goto("/projects/demo/candidates/2/")
    expect(window.locator("#decide [rel=next]")).to_be_visible()
    expect(window.locator("#decide .where")).to_have_count(0)


def test_what_is_kept_by_something_else_leads_nowhere(sign_in: SignIn) -> None:
    five()
    window = sign_in()
    window.goto("/projects/demo/candidates/3/")
    for kept in ("nonsense", "null", '{"list": "https://evil.example/", "candidates": ["/projects/demo/candidates/3/"]}'):
        window.evaluate("kept => sessionStorage.setItem('signoff:way', kept)", kept)
        window.reload()
        expect(window.locator("#decide [data-key=u]")).to_have_attribute("href", "/projects/demo/candidates/")


def test_ticked_rows_are_compared_by_anybody(sign_in: SignIn) -> None:
    five()
    window = sign_in(make_user("eve", role="viewer"))
    window.goto("/projects/demo/candidates/")
    window.get_by_role("checkbox", name="Choose C-2").check()
    window.get_by_role("checkbox", name="Choose C-4").check()
    expect(window.locator(".bulk")).to_contain_text("2 chosen")
    expect(window.get_by_role("button", name="Archive")).to_have_count(0)
    window.keyboard.press("=")
    expect(window).to_have_url(re.compile(r"/compare/\?c=(2,4|4,2)$"))
    expect(window.locator("main")).to_contain_text("Scores")
