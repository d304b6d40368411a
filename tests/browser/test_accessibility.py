"""axe on every page, in both themes and widths: nothing that its rules call serious. New pages are found by their address."""

import os

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Page, expect

from research_app.models import Project
from research_app.web.shared.every_page import every_address
from tests.browser.conftest import NARROW, WIDE, SignIn
from tests.everything import make_everything
from tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)
RULES = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
SERIOUS = ("serious", "critical")
AT_LEAST = {
    "inbox",
    "project",
    "candidates",
    "candidate",
    "history",
    "history-tree",
    "history-landings",
    "run",
    "audit",
    "fleet",
}
AT_LEAST |= {"baseline", "compare", "landings", "stacks", "shortlist", "notifications", "sign-in-link"}
LOOKS = [("light", WIDE), ("dark", NARROW)]  # each theme and width once in every test run
LOOKS += [("dark", WIDE), ("light", NARROW)] if "EVERY_LOOK" in os.environ else []


def pages(project: Project, person: User) -> dict[str, str]:
    """Whatever answers this person with a whole page: asked for, not listed, so that a new page is in."""
    client = Client()
    client.force_login(person)
    found = {}
    for name, address in every_address(project):
        response = client.get(address)
        if response.status_code == 200 and response.content.lstrip()[:15].lower() == b"<!doctype html>":
            found[name] = address
    return found


def settled(page: Page, address: str) -> None:
    """Open a page and wait for its charts."""
    page.goto(address)
    if page.locator(".chart").count():
        expect(page.locator(".chart .main-svg, .chart-empty").first).to_be_visible()


CUT = """() => [...document.querySelectorAll("main *, header *")].filter((part) => {
  const look = getComputedStyle(part);
  const hides = ["hidden", "clip"].includes(look.overflowX) && look.textOverflow !== "ellipsis";
  if (!hides || part.closest(".chart, svg, .visually-hidden")) return false;
  return part.clientWidth > 1 && part.scrollWidth > part.clientWidth + 1 && part.innerText.trim();
}).map((part) => `${part.className}: ${part.innerText.trim().slice(0, 80)}`)"""


def cut(page: Page) -> list[str]:
    """Text that ends at an edge, with no way to the rest and nothing that says so."""
    found: list[str] = page.evaluate(CUT)
    return [f"text is cut: {each}" for each in found]


def findings(page: Page) -> list[str]:
    """What axe calls serious or worse, each with the first elements that have it."""
    told = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: " + " | ".join(node["html"][:160] for node in one["nodes"][:6])
        for one in told
        if one["impact"] in SERIOUS
    ]


@pytest.mark.parametrize(("theme", "viewport"), LOOKS)
def test_axe_finds_nothing_serious_on_any_page(sign_in: SignIn, theme: str, viewport: dict[str, int]) -> None:
    project = make_everything()
    ada = make_user("ada")
    found = pages(project, ada)
    assert set(found) >= AT_LEAST
    page = sign_in(ada, viewport=viewport, color_scheme=theme)
    seen: dict[str, list[str]] = {}
    for name, address in found.items():
        settled(page, address)
        seen[name] = findings(page) + cut(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
    told = [f"{name}: {one}" for name, ones in seen.items() for one in ones]
    assert not told, "\n".join(told)


def test_axe_finds_nothing_serious_before_somebody_signed_in(sign_in: SignIn) -> None:
    page = sign_in()
    page.context.clear_cookies()
    for address in ("/sign-in/", "/sign-in/none/", "/no-such-page/"):
        page.goto(address)
        assert findings(page) == []


def test_axe_finds_nothing_serious_in_what_unfolds(sign_in: SignIn) -> None:
    project = make_everything()
    page = sign_in()
    page.goto(f"{project.get_absolute_url()}candidates/")
    page.get_by_text("More filters").click()
    for words in ("Columns", "Save view"):
        page.locator(".pop summary", has_text=words).click()
        assert findings(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("checkbox", name="Choose all").check()
    assert findings(page) == []
    page.get_by_role("button", name="More").click()
    expect(page.get_by_role("link", name="Audit")).to_be_visible()
    assert findings(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert findings(page) == []
