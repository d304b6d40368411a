"""A report that was sent: opened from a disk it obeys its own policy, in both themes, and fits a telephone."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from research_app.web.history.report import Report, html_of
from tests.browser.conftest import NARROW, WIDE, SignIn
from tests.everything import make_everything
from tests.watching import watch

pytestmark = pytest.mark.django_db(transaction=True)


def requests_of(context: BrowserContext) -> list[str]:
    """The addresses that its windows ask for, as they do."""
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    return asked


def test_a_report_opens_from_a_file_and_asks_for_nothing(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(html_of(Report.of(make_everything())), encoding="utf-8")
    faults: list[str] = []
    for viewport in (WIDE, NARROW):
        colours = []
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
            watch(context, faults.extend)
            asked = requests_of(context)
            window = context.new_page()
            window.goto((tmp_path / "report.html").as_uri())
            assert len(asked) == 1
            assert window.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
            colours.append(window.evaluate("getComputedStyle(document.body).backgroundColor"))
            context.close()
        assert colours[0] != colours[1]
    assert faults == []


def test_on_a_telephone_tables_stand_upright_and_the_chart_s_words_can_be_read(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(html_of(Report.of(make_everything())), encoding="utf-8")
    window = browser.new_context(viewport=NARROW).new_page()  # type: ignore[arg-type]
    window.goto((tmp_path / "report.html").as_uri())
    beyond = "[...document.querySelectorAll('.scroll')].filter(each => each.scrollWidth > each.clientWidth).length"
    assert window.evaluate(beyond) == 0
    heights = (
        "[...document.querySelectorAll('figure > svg text')].map(each => each.getBoundingClientRect().height).filter(Boolean)"
    )
    shown = window.evaluate(heights)
    assert len(shown) > 4 and min(shown) > 10
    assert window.locator("figure > svg:visible").count() == 1
    window.context.close()


def test_the_project_s_page_gives_it_as_a_file(sign_in: SignIn) -> None:
    make_everything()
    window = sign_in()
    window.goto("/projects/demo/")
    with window.expect_download() as download:
        window.get_by_role("link", name="Report", exact=True).click()
    assert download.value.suggested_filename == "demo-report.html"
