"""The desk by keyboard alone: triage of ten candidates, every key, what the help sheet says, keys turned off."""

import re

import pytest
from playwright.sync_api import Page, expect

from research_app.models import Candidate, Project, Stage, Verdict
from tests.browser.conftest import NARROW, SignIn
from tests.factories import make_candidate

pytestmark = pytest.mark.django_db(transaction=True)
PAGES = {"p": "/projects/demo/", "c": "/projects/demo/candidates/", "s": "/projects/demo/shortlist/", "i": "/"}
PAGES |= {"q": "/projects/demo/landings/", "b": "/projects/demo/baseline/", "h": "/projects/demo/history/", "f": "/fleet/"}


def warm_up(project: Project, number: int, **fields: object) -> Candidate:
    edits = [("train.py", "WARMUP = 0.05", f"WARMUP = 0.{number + 10}")]
    return make_candidate(project, edits=edits, hypothesis=f"Warm-up {number}", **fields)  # type: ignore[arg-type]


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_ten_candidates_are_triaged_by_keyboard_alone(sign_in: SignIn, project: Project) -> None:
    for number in range(1, 11):
        warm_up(project, number, effect=0.05 if number % 2 else -0.01, runs=2, verdict=Verdict.SOLID if number % 2 else None)
    page = sign_in()
    page.goto("/?order=age")
    page.mouse.move(0, 0)
    press(page, "j", "Enter")  # the oldest one
    for number in range(1, 11):
        page.wait_for_url(f"**/candidates/{number}/")
        expect(page.locator("h1")).to_contain_text(f"Warm-up {number}")
        if number % 2:
            press(page, "a")
            expect(page.get_by_role("button", name="Approve for baseline")).to_be_focused()
            press(page, "Enter")
            expect(page.locator("#decide .landing")).to_contain_text("queued")
        else:
            press(page, "x")
            page.keyboard.type("Looks like seed noise")
            press(page, "Shift+Tab")
            while not page.evaluate("document.activeElement.value === 'reject'"):
                press(page, "Shift+Tab")
            press(page, "Enter")
            expect(page.locator("#decide")).to_contain_text("Closed by ada")
        if number < 10:
            press(page, "j")
    stages = dict(Candidate.objects.values_list("number", "stage"))
    assert stages == {n: Stage.LANDING if n % 2 else Stage.REJECTED for n in range(1, 11)}
    press(page, "g", "i")
    expect(page.get_by_text("Nothing waits for a decision.")).to_be_visible()


def test_g_and_a_letter_go_to_a_page(sign_in: SignIn, project: Project) -> None:
    page = sign_in()
    page.goto("/projects/demo/")
    for letter, address in PAGES.items():
        if letter == "i":
            continue
        press(page, "g", letter)
        page.wait_for_url(re.compile(re.escape(address) + r"(\?.*)?$"))
        page.goto("/projects/demo/")
    press(page, "g", "i")
    page.wait_for_url(re.compile(r"\d/$"))


def test_rows_are_walked_chosen_and_put_away(sign_in: SignIn, project: Project) -> None:
    for number in (1, 2, 3):
        warm_up(project, number, stage=Stage.DROPPED, effect=-0.02)
    page = sign_in()
    page.goto("/projects/demo/candidates/")
    press(page, "j", "j")
    expect(page.locator(".row.on")).to_contain_text("Warm-up 2")
    press(page, "s", "j", "s", "k")
    expect(page.locator(".row.on")).to_contain_text("Warm-up 2")
    expect(page.locator(".bulk")).to_contain_text("2 chosen")
    press(page, "e")
    expect(page.get_by_role("button", name="Archive", exact=True)).to_be_focused()
    press(page, "Enter")
    expect(page.get_by_text("2 candidates archived.")).to_be_visible()
    expect(page.locator("tr.row")).to_have_count(1)
    press(page, "S")
    expect(page.locator(".bulk")).to_contain_text("1 chosen")


def test_a_choice_of_rows_outlives_the_renewal_of_the_list(sign_in: SignIn, project: Project) -> None:
    for number in (1, 2):
        warm_up(project, number, stage=Stage.DROPPED, effect=-0.02)
    page = sign_in()
    page.goto("/projects/demo/candidates/")
    page.get_by_role("checkbox", name="Choose C-1").check()
    page.locator("main").focus()
    warm_up(project, 3, stage=Stage.DROPPED, effect=-0.02)
    expect(page.locator("tr.row")).to_have_count(3)
    expect(page.get_by_role("checkbox", name="Choose C-1")).to_be_checked()
    expect(page.locator(".bulk")).to_contain_text("1 chosen")


def test_the_help_sheet_tells_what_this_page_knows_and_tooltips_do_too(sign_in: SignIn, project: Project) -> None:
    warm_up(project, 1)
    page = sign_in()
    page.goto("/projects/demo/candidates/1/")
    press(page, "?")
    sheet = page.get_by_role("dialog")
    expect(sheet).to_contain_text("On this page")
    expect(sheet.locator("[data-here]")).to_contain_text("approve, then Enter")
    press(page, "j")  # keys do nothing behind the sheet
    expect(sheet).to_be_visible()
    press(page, "Escape")
    expect(sheet).to_be_hidden()
    approve = page.get_by_role("button", name="Approve for baseline")
    expect(approve).to_have_attribute("aria-keyshortcuts", "a")
    expect(approve).to_have_attribute("title", re.compile(r"\ba\b"))
    page.get_by_role("button", name="Keys").click()
    expect(sheet).to_be_visible()


def test_keys_are_off_in_fields_and_with_modifiers(sign_in: SignIn, project: Project) -> None:
    warm_up(project, 1)
    page = sign_in()
    page.goto("/projects/demo/candidates/")
    press(page, "/")
    page.keyboard.type("jags?")
    expect(page.get_by_label("Search", exact=True)).to_have_value("jags?")
    press(page, "Escape")
    press(page, "Alt+j")
    expect(page.locator(".row.on")).to_have_count(0)
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_keys_can_be_turned_off_and_on_again(sign_in: SignIn, project: Project) -> None:
    warm_up(project, 1)
    page = sign_in()
    page.goto("/")
    page.get_by_role("button", name="ada").click()
    page.get_by_role("button", name="Turn keys off").click()
    expect(page.locator("body[data-keys=off]")).to_be_attached()
    press(page, "j")
    press(page, "?")
    expect(page.locator(".row.on")).to_have_count(0)
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="ada").click()
    page.get_by_role("button", name="Turn keys on").click()
    expect(page.locator("body[data-keys=off]")).not_to_be_attached()
    press(page, "j")
    expect(page.locator(".row.on")).to_have_count(1)


def test_filters_leave_out_of_the_address_what_is_not_used_and_columns_stay(sign_in: SignIn, project: Project) -> None:
    warm_up(project, 1)
    warm_up(project, 2, stage=Stage.DROPPED, effect=-0.02)
    page = sign_in()
    page.goto("/projects/demo/candidates/?columns=author,effect")
    page.get_by_label("Stage", exact=True).select_option("dropped")
    expect(page.locator("tr.row")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/candidates/\?stage=dropped&columns=author(,|%2C)effect$"))
    expect(page.locator("th.author")).to_be_visible()
    page.locator(".pop summary", has_text="Save view").click()
    page.get_by_label("Name of this view").fill("Dropped")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("link", name="Dropped")).to_have_attribute("aria-current", "page")
    page.go_back()
    page.goto("/projects/demo/candidates/")
    page.get_by_role("link", name="Dropped").click()
    expect(page.locator("tr.row")).to_have_count(1)


def test_rows_can_be_opened_on_a_telephone_and_nothing_is_wider_than_it(sign_in: SignIn, project: Project) -> None:
    warm_up(project, 1)
    page = sign_in(viewport=NARROW)
    for address in ("/", "/projects/demo/candidates/", "/projects/demo/history/", "/projects/demo/history/?show=tree"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
        page.locator("a.open").first.click()
        page.wait_for_url("**/candidates/1/")
