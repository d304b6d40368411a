"""The documentation site in a browser: its search works under the product's own policy, and no page is wider than a phone."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from research_app import docs_site
from tests.browser.conftest import SignIn
from tests.browser.test_accessibility import findings

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "html"
    docs_site.build(folder)
    return folder


@pytest.fixture(autouse=True)
def it_is_served(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs_site, "SITE", site)


def test_a_word_is_found_with_the_page_and_the_sentence_that_it_stands_in(sign_in: SignIn) -> None:
    page = sign_in("ada")
    page.goto("/docs/")
    page.get_by_role("searchbox").fill("fencing token")
    page.get_by_role("button", name="Search").click()
    hit = page.locator("#search-results li", has_text="Glossary").first
    expect(hit).to_contain_text("fencing token")
    hit.get_by_role("link").first.click()
    expect(page).to_have_url(re.compile(r"/docs/reference/glossary\.html"))
    expect(page.get_by_role("heading", name="Glossary")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone_and_axe_finds_nothing_serious(sign_in: SignIn, scheme: str) -> None:
    page = sign_in("ada", viewport={"width": 390, "height": 844}, color_scheme=scheme)
    for name in ("index", "tutorial/first-hour", "reference/glossary", "reference/environment", "explanation/statistics"):
        page.goto(f"/docs/{name}.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        assert not findings(page), name
