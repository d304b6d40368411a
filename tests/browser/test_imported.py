"""The page of an imported history: its chart is drawn, keys read it and open a row, and nothing is wider than the window."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from research_app.histories.bring_in import import_history
from research_app.models import ImportedHistory
from tests.browser.conftest import NARROW, SignIn
from tests.factories import make_project
from tests.histories_samples import make_history

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def history(tmp_path: Path) -> ImportedHistory:
    folder, results = make_history(tmp_path / "theirs")
    return import_history(make_project(), results, actor="ada", repository=str(folder), branch="exp").history


def test_keys_go_from_row_to_row_and_open_one(history: ImportedHistory, sign_in: SignIn) -> None:
    window = sign_in()
    window.goto(history.get_absolute_url())
    expect(window.locator("#imported[data-drawn]")).to_be_visible()
    window.locator("#imported").focus()
    window.keyboard.press("End")
    expect(window.locator("#imported-say")).to_contain_text("Row 6, 0.9855, keep")
    window.keyboard.press("Enter")
    expect(window.locator("h1")).to_contain_text("#6")


def test_on_a_telephone_no_page_is_wider_than_the_window(history: ImportedHistory, sign_in: SignIn) -> None:
    window = sign_in(viewport=NARROW)
    for address in ("/projects/demo/imported/", history.get_absolute_url(), f"{history.get_absolute_url()}6/"):
        window.goto(address)
        assert window.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], address
