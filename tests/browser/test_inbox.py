"""The inbox in a browser: rows that stay under the pointer, the chosen one beside them, and a decision without leaving it."""

import re
from typing import Any

import pytest
from django.db import transaction
from playwright.sync_api import Page, expect

from research_app.models import Candidate, Snooze, Stage, Verdict
from tests.browser.conftest import NARROW, SignIn
from tests.factories import make_candidate, make_project

pytestmark = pytest.mark.django_db(transaction=True)
EDITS = ("LAYERS = 3", "LAYERS = 4"), ("WIDTH = 96", "WIDTH = 64"), ("WARMUP = 0.05", "WARMUP = 0.5")
SHIFTS = """() => new Promise((done) => {
  let sum = 0;
  const add = (list) => { for (const each of list.getEntries()) sum += each.value; };
  new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 50);
})"""


def three() -> list[Candidate]:
    """C-1 with the largest gain, then C-2 and C-3."""
    project, made = make_project(), []
    for number, edit in enumerate(EDITS, 1):
        fields: dict[str, Any] = {"hypothesis": f"Change {number}", "effect": 0.1 / number, "runs": 3, "verdict": Verdict.SOLID}
        made.append(make_candidate(project, edits=[("train.py", *edit)], **fields))
    return made


def numbers(window: Page) -> list[str]:
    return window.locator(".decisions .number").all_inner_texts()


def tops(window: Page) -> list[float]:
    return [box["y"] for row in window.locator(".decisions .row").all() if (box := row.bounding_box())]


def test_j_and_k_show_each_row_beside_the_list_and_enter_opens_it(sign_in: SignIn) -> None:
    three()
    window = sign_in()
    window.goto("/")
    preview = window.locator("#preview")
    expect(preview).to_contain_text("Change 1")
    window.keyboard.press("j")
    window.keyboard.press("j")
    expect(preview).to_contain_text("Change 2")
    expect(preview.locator(".excerpt")).to_contain_text("WIDTH = 64")
    window.keyboard.press("k")
    expect(preview).to_contain_text("Change 1")
    window.locator(".decisions .row").nth(2).locator(".effect").click()
    expect(preview).to_contain_text("Change 3")
    window.keyboard.press("Enter")
    expect(window).to_have_url(re.compile(r"/candidates/3/"))


def test_a_decision_is_made_beside_the_list_and_its_row_says_so_without_moving_others(sign_in: SignIn) -> None:
    one, *_ = three()
    window = sign_in()
    window.goto("/")
    expect(window.locator("#preview")).to_contain_text("Change 1")
    before = tops(window)
    window.get_by_role("button", name=re.compile("^Approve")).click()
    expect(window.locator("#preview .decide")).to_contain_text("queued")
    expect(window.locator(f"#c-{one.pk}")).to_have_class(re.compile("left"))
    assert tops(window) == before
    expect(window.locator("[data-head]")).to_contain_text("2 decisions wait for you")
    window.get_by_role("button", name="1 gone · show").click()
    assert numbers(window) == ["C-2", "C-3"]
    one.refresh_from_db()
    assert one.stage == Stage.LANDING


def test_while_others_decide_and_new_ones_come_no_row_moves(sign_in: SignIn) -> None:
    one, _, three_ = three()
    window = sign_in()
    window.goto("/")
    expect(window.locator("#preview")).to_contain_text("Change 1")
    window.wait_for_timeout(300)
    quiet, before, listed = window.evaluate(SHIFTS), tops(window), numbers(window)
    with transaction.atomic():  # the list never sees a half of it
        Candidate.objects.filter(pk=one.pk).update(stage=Stage.REJECTED)
        make_candidate(three_.project, edits=[("train.py", "3e-3", "4e-3")], hypothesis="Much better", effect=0.9, runs=3)
    expect(window.locator("[data-fresh]")).to_have_text("1 new, 1 gone · show")
    assert numbers(window) == listed and tops(window) == before
    assert window.evaluate(SHIFTS) == quiet, "nothing shifted"
    window.locator("[data-fresh]").click()
    assert numbers(window) == ["C-4", "C-2", "C-3"]
    expect(window.locator("#preview")).to_contain_text("Much better")


def test_later_is_a_key_and_enter_and_leads_back_to_the_list(sign_in: SignIn) -> None:
    three()
    window = sign_in()
    window.goto("/?order=age")
    expect(window.locator("#preview")).to_contain_text("tomorrow morning")
    window.keyboard.press("h")
    window.keyboard.press("Enter")
    expect(window.get_by_text("comes back tomorrow morning")).to_be_visible()
    expect(window).to_have_url(re.compile(r"\?order=age$"))
    assert Snooze.objects.count() == 1 and len(numbers(window)) == 2


def test_a_reason_that_is_typed_beside_the_list_survives_the_pulse(sign_in: SignIn) -> None:
    one, *_ = three()
    window = sign_in()
    window.goto("/")
    reason = window.locator("#preview textarea[name=reason]")
    reason.fill("It helps in the first tenth alone")
    Candidate.objects.filter(pk=one.pk).update(title="Another title")
    expect(window.locator(f"#c-{one.pk}")).to_contain_text("Another title")
    expect(reason).to_have_value("It helps in the first tenth alone")


def test_a_page_that_is_out_of_date_decides_nothing(sign_in: SignIn) -> None:
    one, *_ = three()
    window = sign_in()
    window.goto("/")
    expect(window.locator("#preview")).to_contain_text("Change 1")
    Candidate.objects.filter(pk=one.pk).update(stage=Stage.REJECTED)
    window.get_by_role("button", name=re.compile("^Approve")).click()
    expect(window.locator("#preview .refused").first).to_be_visible()
    one.refresh_from_db()
    assert one.stage == Stage.REJECTED


def test_on_a_telephone_a_row_opens_its_page_and_nothing_is_cut(sign_in: SignIn) -> None:
    three()
    window = sign_in(viewport=NARROW)
    window.goto("/")
    expect(window.locator("#preview")).to_be_hidden()
    assert window.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    window.locator(".decisions .row").first.click()
    expect(window).to_have_url(re.compile(r"/candidates/1/"))
