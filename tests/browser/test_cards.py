"""Small help around candidates in a real browser: cards beside links, the comparison tray, numbers that are copied."""

import re

import pytest
from playwright.sync_api import expect

from research_app.models import Project
from tests.browser.conftest import SignIn
from tests.factories import make_candidate

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_link_has_a_card_the_equals_key_fills_the_tray_and_a_number_is_copied_with_its_interval(
    sign_in: SignIn, project: Project
) -> None:
    one = make_candidate(project, title="<b>First</b> of two")
    two = make_candidate(project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")])
    page = sign_in(permissions=["clipboard-read", "clipboard-write"])
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/card/") else None)
    page.goto("/projects/demo/candidates/")
    link = page.locator(f"a.open[href$='/candidates/{one.number}/']")
    for _ in range(2):
        link.hover()
        expect(page.locator("#card")).to_contain_text("<b>First</b> of two")
        expect(page.locator("#card .value")).to_have_text(re.compile(r"^\+0\.0"))
        page.mouse.move(2, 400)
        expect(page.locator("#card")).to_be_hidden()
    assert len(asked) == 1, "the second time it is kept"
    page.keyboard.press("j")
    expect(page.locator("#card")).to_be_visible()
    page.keyboard.press("=")
    page.keyboard.press("j")
    page.keyboard.press("=")
    expect(page.locator("#tray")).to_contain_text(f"C-{two.number}")
    page.goto("/audit/")
    expect(page.locator("#tray .chip")).to_have_count(2)
    page.locator("#tray").get_by_role("link", name="Compare").click()
    expect(page).to_have_url(re.compile(r"/compare/\?c=\d,\d$"))
    page.get_by_role("button", name=f"Take C-{two.number} out of the tray").click()
    expect(page.locator("#tray .chip")).to_have_count(1)
    page.goto(one.get_absolute_url())
    page.get_by_title("Copy as Markdown").first.click()
    text = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(
        rf"\[C\\-{one.number}\]\(http\S+/candidates/{one.number}/\): \+\S+ bits per byte, 95% interval .*, n = .*", text
    )


def test_a_touch_opens_no_card(sign_in: SignIn, project: Project) -> None:
    one = make_candidate(project)
    page = sign_in(has_touch=True)
    page.goto("/projects/demo/candidates/")
    page.locator(f"a.open[href$='/candidates/{one.number}/']").tap()
    page.wait_for_url(re.compile(one.get_absolute_url()))
    expect(page.locator("#card")).to_be_hidden()
