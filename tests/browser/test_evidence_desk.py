"""The pages of evidence in a real browser: what stands on one screen, marks on curves, flags in the diff, reasons asked for."""

import pytest
from playwright.sync_api import Page, expect

from research_app.models import Candidate, Project, Run, Stage, Verdict
from tests.browser.conftest import NARROW, WIDE, SignIn
from tests.factories import make_candidate, make_evidence, record

pytestmark = pytest.mark.django_db(transaction=True)
DESK = "/projects/demo/candidates/1/"
SAVED = {"saved": 0.31, "low": 0.27, "high": 0.35, "extrapolated": False}
SPIKES = {"detector": "loss spikes", "level": "warning", "sentence": "3 spikes", "series": "train_loss"}
SPIKES |= {"step_from": 120, "step_to": 180}


def decidable(page: Page) -> None:
    """Diff, verdict and curve stand above the decision bar, without scrolling."""
    bar = page.locator("#decide footer").bounding_box()
    assert bar
    for part in (".diff-file", ".verdict-card", "#curves"):
        box = page.locator(part).first.bounding_box()
        assert box
        assert 0 <= box["y"] < bar["y"], part
    for part in (".verdict-card", "#curves"):
        box = page.locator(part).bounding_box()
        assert box
        assert box["y"] + box["height"] <= bar["y"] + 1, part


def test_confirmed_evidence_can_be_decided_on_one_screen(sign_in: SignIn, project: Project) -> None:
    candidate = make_candidate(project, effect=0.033, runs=3, verdict=Verdict.SOLID)
    assert candidate.evidence
    candidate.evidence.numbers["savings"] = SAVED
    candidate.evidence.save()
    page = sign_in(viewport=WIDE)
    page.goto(DESK)
    expect(page.locator("#curves .main-svg").first).to_be_visible()
    expect(page.locator("#verdict svg.looks")).to_be_visible()
    decidable(page)


def test_the_checks_of_health_unfold_and_stay_open_while_the_page_renews_itself(sign_in: SignIn, project: Project) -> None:
    candidate = make_candidate(project, effect=0.012)
    page = sign_in()
    page.goto(DESK)
    page.locator("#checks summary", has_text="Health").click()
    expect(page.get_by_text("gain is plausible")).to_be_visible()
    assert candidate.patch_set
    candidate.evidence = make_evidence(candidate.patch_set, [2.17, 2.18])
    candidate.save()
    record("evidence frozen", candidate, project)
    expect(page.locator("#verdict")).to_contain_text("n = 2 against 4")
    expect(page.get_by_text("gain is plausible")).to_be_visible()


def test_what_detectors_saw_is_marked_on_its_curve_alone_and_told_in_words(sign_in: SignIn, project: Project) -> None:
    candidate = make_candidate(project)
    run = Run.objects.get(patch_set=candidate.patch_set)
    run.facts["findings"] = [SPIKES]
    run.save()
    page = sign_in()
    page.goto(DESK)
    expect(page.locator("#curves .main-svg").first).to_be_visible()
    expect(page.locator("#curves .shapelayer path")).to_have_count(0)
    page.get_by_role("button", name="Train loss").click()
    expect(page.locator("#curves .shapelayer path")).to_have_count(1)
    expect(page.locator("#curves .annotation-text")).to_have_text("seed 1: loss spikes")
    expect(page.locator("#curves-text")).to_contain_text("Marked from 120 to 180: seed 1: loss spikes.")


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_flag_leads_to_its_line_and_nothing_makes_the_page_wider(
    sign_in: SignIn, project: Project, viewport: dict[str, int]
) -> None:
    candidate = make_candidate(project, effect=0.4)
    assert candidate.patch_set
    sentence = "WARMUP is set near the budget; " + "a long explanation of what that may mean " * 4
    flag = {"detector": "edit near the budget", "level": "warning", "sentence": sentence, "path": "train.py", "line": 8}
    candidate.patch_set.flags = [flag]
    candidate.patch_set.save()
    candidate.evidence = make_evidence(candidate.patch_set, [1.78])
    candidate.save()
    page = sign_in(viewport=viewport)
    page.goto(DESK)
    expect(page.locator("#verdict .alarm")).to_contain_text("In quarantine.")
    page.get_by_role("link", name="train.py:8").click()
    expect(page.locator("#flag-1")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_approving_evidence_in_quarantine_asks_for_a_reason_before_anything_is_sent(sign_in: SignIn, project: Project) -> None:
    make_candidate(project)
    page = sign_in()
    page.goto(DESK)
    expect(page.locator("#decide")).to_contain_text("The evidence does not say “solid”: approving needs a reason.")
    page.get_by_role("button", name="Approve for baseline").click()
    reason = page.get_by_label("Reason", exact=True)
    assert reason.evaluate("field => field.validity.valueMissing")
    assert Candidate.objects.get().stage == Stage.READY
    reason.fill("It simplifies the code.")
    page.get_by_role("button", name="Approve for baseline").click()
    expect(page.locator(".landing")).to_be_visible()
    assert Candidate.objects.get().stage == Stage.LANDING


def test_a_discard_within_noise_is_found_and_reopened(sign_in: SignIn, project: Project) -> None:
    make_candidate(project, stage=Stage.DROPPED, effect=0.004)
    page = sign_in()
    page.goto("/projects/demo/")
    page.get_by_role("link", name="1 of them within noise").click()
    page.locator(".row a.open").click()
    page.get_by_label("Reason to reopen").fill("The idea is good and the effect small.")
    page.get_by_role("button", name="Reopen").click()
    expect(page.get_by_role("button", name="Approve for baseline")).to_be_visible()
