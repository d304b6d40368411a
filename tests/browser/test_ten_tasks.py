"""Ten tasks of a researcher in a browser, keys and clicks counted: each is possible, and docs/reference/tasks.md is right."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from research_app.home import CODE
from research_app.models import LandingState, ScaleUp, Stage
from tests.browser.conftest import SignIn
from tests.browser.test_scale_up import approver
from tests.factories import make_candidate, make_landing, make_project
from tests.ladder_project import CONFIG
from tests.loop.test_shortlist import listed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_in(4)]
ROW = re.compile(r"^\| ([a-j])\. .* \| (\d+) \| (\d+) \| [^|]* \|$", re.MULTILINE)
HOME = "/projects/gates/"


class Hand:
    """A person's hand: every key and click is counted."""

    def __init__(self, page: Page) -> None:
        self.page, self.keys, self.clicks = page, 0, 0

    def at(self, address: str) -> None:
        """Begin here: nothing was done yet."""
        self.page.goto(address)
        self.keys = self.clicks = 0

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.keys += 1

    def go(self, keys: str, address: str) -> None:
        """Two keys that lead to another page."""
        self.press(*keys.split())
        expect(self.page).to_have_url(re.compile(re.escape(address)))

    def fill(self, field: Locator, text: str) -> None:
        field.fill(text)
        self.keys += 1

    def click(self, place: Locator) -> None:
        place.click()
        self.clicks += 1


def next_in_order(hand: Hand) -> None:
    hand.at(f"{HOME}candidates/?sort=best&stage=ready")
    hand.press("j", "Enter")
    expect(hand.page.locator("#decide .where")).to_have_text(re.compile("1 of 3"))
    hand.press("j")
    expect(hand.page.locator("#decide .where")).to_have_text(re.compile("2 of 3"))


def tried_on_a_constant(hand: Hand) -> None:
    hand.at(HOME)
    hand.go("g c", "/candidates/")
    hand.click(hand.page.get_by_text("More filters"))
    hand.page.get_by_label("Constant", exact=True).select_option("WARMUP")
    hand.clicks += 1
    expect(hand.page).to_have_url(re.compile("constant=WARMUP"))


def compared_at_a_step(hand: Hand) -> None:
    hand.at(f"{HOME}candidates/?sort=best&stage=ready")
    hand.press("j", "=", "j", "=")
    hand.click(hand.page.locator("#tray").get_by_role("link", name="Compare"))
    expect(hand.page.locator("#curves .panel[data-drawn]").first).to_be_visible()
    hand.fill(hand.page.locator("#curves-at"), "100")
    expect(hand.page.locator("#curves-readings")).to_contain_text("±")


def discarded(hand: Hand) -> None:
    hand.at(HOME)
    hand.go("g c", "/candidates/")
    hand.page.get_by_label("Stage", exact=True).select_option("discarded")
    hand.clicks += 1
    expect(hand.page.get_by_text("A change that was refused")).to_be_visible()


def landed_this_week(hand: Hand) -> None:
    hand.at(HOME)
    hand.go("g b", "/baseline/")
    expect(hand.page.locator("#window .together")).to_contain_text("measured")


def best_set(hand: Hand) -> None:
    hand.at(HOME)
    hand.go("g s", "/shortlist/")
    hand.click(hand.page.locator("#best").get_by_role("link", name="take"))
    expect(hand.page.locator("#price")).to_contain_text("device-hours")


def figure(hand: Hand) -> None:
    hand.at(f"{HOME}candidates/1/")
    expect(hand.page.locator("#curves .panel[data-drawn]").first).to_be_visible()
    hand.click(hand.page.get_by_role("button", name="Options"))
    hand.click(hand.page.get_by_role("link", name="figure for a paper"))
    with hand.page.expect_download() as download:
        hand.click(hand.page.get_by_role("link", name="all in one zip"))
    assert download.value.suggested_filename == "gates-C-1-figure.zip"


def spreadsheet(hand: Hand) -> None:
    hand.at(HOME)
    hand.go("g c", "/candidates/")
    with hand.page.expect_download() as download:
        hand.click(hand.page.get_by_role("link", name="CSV", exact=True))
    assert download.value.suggested_filename == "gates-candidates.csv"


def happened_to_one(hand: Hand) -> None:
    hand.at(HOME)
    hand.go("g a", "/audit/")
    hand.fill(hand.page.get_by_label("About a candidate, a baseline or a run"), "C-1")
    hand.press("Enter")
    expect(hand.page).to_have_url(re.compile("about=C-1"))


def spend(hand: Hand) -> None:
    hand.at(f"{HOME}shortlist/?pick=5")
    expect(hand.page.locator("#price")).to_contain_text("12 runs")
    hand.press("a", "Enter")
    expect(hand.page.get_by_text("C-5: scale-up approved.")).to_be_visible()
    assert ScaleUp.objects.get().candidate.number == 5


TASKS: dict[str, Callable[[Hand], None]] = dict(
    zip(
        "abcdefghij",
        (
            next_in_order, tried_on_a_constant, compared_at_a_step, discarded, landed_this_week, best_set, figure, spreadsheet,
            happened_to_one, spend,
        ),
        strict=True,
    )
)  # fmt: skip


def test_each_of_the_ten_tasks_takes_the_keys_and_clicks_of_the_table(sign_in: SignIn) -> None:
    project = make_project("gates", ladder=CONFIG["ladder"], scale_up=CONFIG["scale_up"])
    for value in (1, 2, 3):
        make_candidate(project, edits=[("train.py", "WARMUP = 0.05", f"WARMUP = 0.{value}")], effect=0.01 * value, runs=2)
    make_candidate(project, stage=Stage.REJECTED, title="A change that was refused")
    listed(project, "WIDTH", "128")
    landed = make_candidate(project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")], stage=Stage.LANDED, verdict="solid")  # type: ignore[arg-type]
    make_landing(landed, LandingState.LANDED)
    hand = Hand(sign_in(approver()))
    counted = {}
    for letter, task in TASKS.items():
        task(hand)
        counted[letter] = (str(hand.keys), str(hand.clicks))
    table = (CODE / "docs" / "reference" / "tasks.md").read_text(encoding="utf-8")
    assert counted == {letter: (keys, clicks) for letter, keys, clicks in ROW.findall(table)}
