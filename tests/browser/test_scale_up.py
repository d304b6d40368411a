"""Gate 1 and the scale-up page in a real browser: picking, pricing, approving, stopping, and what is never taken away."""

import re
from datetime import timedelta
from itertools import combinations
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Page, expect

from research_app.access import Role, set_role
from research_app.loop.scale_up.shortlist import conflicts
from research_app.models import Candidate, Project, Run, ScaleUp, Stage, State, Verdict
from tests.browser.conftest import NARROW, SignIn
from tests.factories import make_candidate, make_project
from tests.ladder_project import CONFIG, fresh
from tests.loop.test_shortlist import listed

pytestmark = pytest.mark.django_db(transaction=True)
CONSTANTS = (("WARMUP", "0.02"), ("WARMUP", "0.1"), ("WIDTH", "128"), ("LAYERS", "4"), ("LEARNING_RATE", "6e-3"))


@pytest.fixture
def project() -> Project:
    return make_project("gates", ladder=CONFIG["ladder"], scale_up=CONFIG["scale_up"])


def approver(name: str = "grace") -> User:
    person = User.objects.create_user(name)
    set_role(person, Role.APPROVER)
    return person


def tick(page: Page, candidate: Candidate) -> None:
    page.locator(f"#pick-{candidate.number}").get_by_role("checkbox", name=str(candidate)).first.check()


def unfold(page: Page, candidate: Candidate) -> None:
    page.locator(f"#pick-{candidate.number} .unfold > summary").click()


def scaling_up(sign_in: SignIn, candidate: Candidate) -> Page:
    """The page of a scale-up that was just approved."""
    page = sign_in(approver())
    page.goto("/projects/gates/shortlist/")
    tick(page, candidate)
    page.get_by_role("button", name="Approve the spend").click()
    expect(page.get_by_text(f"{candidate}: scale-up approved.")).to_be_visible()
    page.get_by_role("link", name=re.compile(f"^{candidate} ")).last.click()
    expect(page.get_by_role("heading", name=re.compile("scaling up"))).to_be_visible()
    return page


def test_a_shortlist_of_five_is_priced_as_it_is_picked_and_approved_with_one_key(sign_in: SignIn, project: Project) -> None:
    five = [listed(project, constant, to) for constant, to in CONSTANTS]
    page = sign_in(approver())
    page.goto("/projects/gates/shortlist/")
    expect(page.locator(".pick")).to_have_count(5)
    expect(page.get_by_role("button", name="Approve the spend")).to_be_disabled()
    tick(page, five[0])
    expect(page.locator("#price")).to_contain_text("12 runs")
    tick(page, five[2])
    expect(page.locator("#price")).to_contain_text("16 runs")
    unfold(page, five[2])
    page.get_by_label(f"Seeds of {five[2]} at M").fill("6")
    expect(page.locator("#price")).to_contain_text("20 runs")
    page.locator("h1").click()
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"{five[0]}, {five[2]}: scale-up approved.")).to_be_visible()
    expect(page.locator(".pick")).to_have_count(3)
    assert {fresh(c).stage for c in (five[0], five[2])} == {Stage.SCALING_UP}
    assert ScaleUp.objects.get(candidate=five[2]).step.seeds == 6


def chosen_in(page: Page) -> list[str]:
    """The candidates that the address of the page ticks."""
    return parse_qs(urlsplit(page.url).query).get("pick", [])


def test_rows_are_one_line_chosen_by_key_and_the_address_holds_them_and_the_best_set_is_taken(
    sign_in: SignIn, project: Project
) -> None:
    """Two changes of WARMUP conflict; the best set holds one of them and all others."""
    five = [listed(project, constant, to, effect=0.01 * (5 - at)) for at, (constant, to) in enumerate(CONSTANTS)]
    page = sign_in(approver())
    page.add_init_script(
        "window.shifts = 0; new PerformanceObserver((list) => list.getEntries().forEach((e) => { window.shifts += e.value }))"
        ".observe({ type: 'layout-shift', buffered: true })"
    )
    page.goto(f"/projects/gates/shortlist/?sort=gain&pick={five[2].number}")
    expect(page.locator(f"#pick-{five[2].number} [name=pick]")).to_be_checked()
    expect(page.locator("#price")).to_contain_text("12 runs")
    assert {row.bounding_box()["height"] for row in page.locator(".pick .line").all()} == {34}
    page.keyboard.press("j")
    page.keyboard.press("Space")
    expect(page.locator("#price")).to_contain_text("16 runs")
    assert chosen_in(page) == [str(five[0].number), str(five[2].number)]
    expect(page.locator(f"#pick-{five[1].number}")).to_contain_text("1 with chosen")
    page.keyboard.press("Enter")
    expect(page.get_by_label(f"Seeds of {five[0]} at M")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_label(f"Seeds of {five[0]} at M")).to_be_hidden()
    page.get_by_label("Hide conflicts").check()
    expect(page.locator(f"#pick-{five[1].number}")).to_be_hidden()
    page.get_by_label("Hide conflicts").uncheck()
    best = page.locator("#best")
    expect(best).to_contain_text("Exact: no other set of these 5")
    best.get_by_role("link", name="take").click()
    clashes = conflicts([fresh(each) for each in five])
    every = (one for size in range(6) for one in combinations(five, size))
    free = (one for one in every if not any(clash.other in one for each in one for clash in clashes[each.pk]))
    most = max(free, key=lambda one: sum(0.01 * (5 - five.index(each)) for each in one))
    expect(page.locator("#price")).to_contain_text(f"{8 + 4 * len(most)} runs")
    assert chosen_in(page) == [str(each.number) for each in most]
    page.get_by_role("link", name="fewest conflicts").click()
    expect(page.locator(".pick [name=pick]:checked")).to_have_count(len(most))
    assert page.evaluate("window.shifts") < 0.001
    page.get_by_text("Matrix of conflicts").click()
    expect(page.locator(".matrix td.clash")).to_have_count(sum(map(len, clashes.values())))
    page.get_by_label("Best set within").fill("0.35")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#best")).to_contain_text("none of the 5 fits")
    assert len(chosen_in(page)) == len(most)


def test_three_are_stacked_into_one_candidate(sign_in: SignIn, project: Project) -> None:
    three = [listed(project, constant, to) for constant, to in (CONSTANTS[0], CONSTANTS[3])]
    apart = ("train.py", "return nn.Sequential(*blocks)", "return nn.Sequential(*blocks[::-1])")
    three.append(make_candidate(project, edits=[apart], stage=Stage.SHORTLISTED, verdict=Verdict.SOLID))
    page = sign_in(approver())
    page.goto("/projects/gates/shortlist/")
    for candidate in three:
        tick(page, candidate)
    page.get_by_role("button", name="Stack them").click()
    expect(page.get_by_text(re.compile(r"C-4 is the stack of C-1, C-2, C-3"))).to_be_visible()
    assert Candidate.objects.get(number=4).members.count() == 3


def test_a_refusal_is_said_beside_the_buttons_and_leaves_the_picks(sign_in: SignIn, project: Project) -> None:
    one, two = listed(project), listed(project, "WARMUP", "0.1")
    page = sign_in(approver())
    page.goto("/projects/gates/shortlist/")
    tick(page, one)
    tick(page, two)
    page.get_by_role("button", name="Stack them").click()
    expect(page.locator("#why-not")).to_contain_text("alters the same lines of train.py as C-1")
    expect(page.locator(f"#pick-{one.number} [name=pick]")).to_be_checked()


def test_what_a_person_picked_stays_when_the_list_changes_and_they_are_told(sign_in: SignIn, project: Project) -> None:
    one = listed(project)
    page = sign_in(approver())
    page.goto("/projects/gates/shortlist/")
    tick(page, one)
    expect(page.locator("#price")).to_contain_text("12 runs")
    page.locator("h1").click()
    listed(project, "WIDTH", "128")
    expect(page.locator("#list-changed")).to_be_visible()
    expect(page.locator(".pick")).to_have_count(1)
    expect(page.locator(f"#pick-{one.number} [name=pick]")).to_be_checked()
    page.locator("#list-changed").get_by_role("button").click()
    expect(page.locator(".pick")).to_have_count(2)


def test_an_untouched_list_is_renewed_by_itself(sign_in: SignIn, project: Project) -> None:
    page = sign_in(approver())
    page.goto("/projects/gates/shortlist/")
    expect(page.get_by_text("Nothing is on the shortlist.")).to_be_visible()
    listed(project)
    expect(page.locator(".pick")).to_have_count(1)


def test_one_goes_to_gate_two_with_a_written_reason(sign_in: SignIn, project: Project) -> None:
    one = listed(project)
    page = sign_in(approver())
    page.goto("/projects/gates/shortlist/")
    unfold(page, one)
    page.get_by_text("Without a scale-up").click()
    page.get_by_label(f"Why {one} needs no scale-up").fill("It only deletes code")
    page.get_by_role("button", name=f"Send {one} to gate 2").click()
    expect(page.get_by_text(f"{one} awaits landing approval now.")).to_be_visible()
    assert fresh(one).stage == Stage.READY


def test_a_scale_up_shows_its_progress_and_is_stopped_by_a_person(sign_in: SignIn, project: Project) -> None:
    page = scaling_up(sign_in, one := listed(project))
    expect(page.get_by_text("0 of 12 ended at M")).to_be_visible()
    run = Run.objects.filter(scale="M", patch_set=one.patch_set).order_by("pk").first()
    assert run is not None
    Run.objects.filter(pk=run.pk).update(state=State.RUNNING, progress=0.4, started_at=run.created_at, resumed_at=0.1)
    expect(page.get_by_text(re.compile("resumed at 10%"))).to_be_visible()
    page.get_by_text("Stop it …").click()
    page.get_by_label("Reason for stopping").fill("Too dear today")
    page.get_by_role("button", name="Stop the scale-up").click()
    expect(page.get_by_text(re.compile("stopped by grace: Too dear today")).first).to_be_visible()
    assert not Run.objects.exclude(state=State.FINISHED).exists()


def test_a_reason_that_is_being_written_outlives_what_changes_meanwhile(sign_in: SignIn, project: Project) -> None:
    page = scaling_up(sign_in, listed(project))
    expect(page.get_by_text("0 of 12 ended at M")).to_be_visible()

    def days_pass(days: int) -> None:
        """Every part of the page is renewed, but for the one that is worked in."""
        ScaleUp.objects.update(approved_at=timezone.now() - timedelta(days=days))
        Run.objects.filter(pk=Run.objects.filter(scale="M", state=State.QUEUED).earliest("pk").pk).update(state=State.FINISHED)
        expect(page.get_by_text(f"{days} of 12 ended at M")).to_be_visible()

    days_pass(1)
    expect(page.locator("#scale-up-head time").first).to_have_text("24 h")
    page.get_by_text("Stop it …").click()
    page.get_by_label("Reason for stopping").fill("Too dear today")
    days_pass(2)
    expect(page.get_by_role("button", name="Stop the scale-up")).to_be_visible()
    page.keyboard.press("Tab")
    days_pass(3)
    page.get_by_role("button", name="Stop the scale-up").click()
    expect(page.get_by_text(re.compile("stopped by grace: Too dear today")).first).to_be_visible()


@pytest.mark.parametrize("size", [NARROW])
def test_nothing_is_wider_than_a_telephone(sign_in: SignIn, project: Project, size: dict[str, int]) -> None:
    one = listed(project)
    page = sign_in(approver(), viewport=size)
    for address in ("/projects/gates/shortlist/", f"{one.get_absolute_url()}scale-up/"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
