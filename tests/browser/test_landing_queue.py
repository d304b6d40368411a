"""The landing queue, ablations and reverts in a real browser: what a person sees move, and what one click does."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from research_app.loop.land import land
from research_app.models import Ablation, Candidate, Kind, Landing, Project, Stage
from tests.browser.conftest import NARROW, WIDE, SignIn
from tests.factories import make_user
from tests.landing_samples import approved, knob, knobs_project, ready, training_at_once
from tests.small_project import drain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with training_at_once():
        made = knobs_project(tmp_path_factory.mktemp("browser"), "demo")
        drain()
        yield made


def test_a_person_watches_the_queue_move_and_reverts_what_landed(sign_in: SignIn, project: Project) -> None:
    first, second = approved(project, knob(2)), approved(project, knob(3))
    make_user("olga", role="operator")
    page = sign_in("olga", viewport=WIDE)
    page.goto("/projects/demo/landings/")
    rows = page.locator("#queue tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("its turn, after C-1")
    land.land(project.pk, "worker")
    expect(rows).to_have_count(1)
    expect(page.locator("#left")).to_contain_text("baseline 1")
    land.land(project.pk, "worker")
    expect(rows.first).to_contain_text("Judged again on baseline 1")
    expect(rows.first).to_contain_text("0 of 2 runs")
    drain(limit=500)
    expect(page.locator("#queue")).to_contain_text("Nothing is waiting to land")
    page.goto("/projects/demo/baseline/")
    expect(page.locator("#v2")).to_contain_text("C-2")
    page.locator("#v1").get_by_role("button", name="Propose to revert baseline 1").click()
    expect(page.locator("h1")).to_contain_text("Revert baseline 1")
    proposed = Candidate.objects.get(kind=Kind.REVERT)
    assert proposed.reverts and proposed.reverts.number == 1
    assert {first.pk, second.pk} == set(Candidate.objects.filter(stage=Stage.LANDED).values_list("pk", flat=True))
    drain(limit=500)
    page.reload()
    expect(page.locator("body")).to_contain_text("-KNOB_02 = 1".replace("-", ""))


def test_trouble_is_said_on_the_queue_as_long_as_it_lasts(sign_in: SignIn, project: Project) -> None:
    approved(project, knob(2))
    lock = project.repository.path / "refs/heads/baseline.lock"
    lock.touch()
    page = sign_in(viewport=WIDE)
    page.goto("/projects/demo/landings/")
    land.land(project.pk, "worker")
    expect(page.locator("#queue .warn")).to_contain_text("baseline.lock")
    lock.unlink()
    land.land(project.pk, "worker")
    expect(page.locator("#queue")).to_contain_text("Nothing is waiting to land")


def test_an_ablation_begins_with_its_price_and_ends_with_what_to_remove(sign_in: SignIn, project: Project) -> None:
    approved(project, ("train.py", "KNOB_05 = 0\n", "KNOB_05 = 0 * 1\n"))
    drain(limit=500)
    ready(project, knob(2))
    make_user("olga", role="operator")
    page = sign_in("olga", viewport=WIDE)
    page.goto("/projects/demo/stacks/")
    for box in page.locator("input[type=checkbox]").all():
        box.check()
    expect(page.get_by_role("button", name="Run the ablation")).to_have_count(0)
    page.get_by_role("button", name="Show the price").click()
    expect(page.locator(".price")).to_contain_text("22 runs")
    expect(page.locator(".price")).to_contain_text("then at most 64 more for what stays open")
    page.get_by_role("button", name="Run the ablation").click()
    expect(page.locator("#check")).to_contain_text("running")
    drain(limit=500)
    expect(page.locator("#check")).to_contain_text("can be taken out: it brings")
    page.get_by_role("button", name="Propose to remove C-1").click()
    expect(page.locator("h1")).to_contain_text("Remove C-1")
    assert Ablation.objects.get().state == "finished"


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_nothing_makes_the_pages_wider_than_the_window(sign_in: SignIn, project: Project, viewport: dict[str, int]) -> None:
    approved(project, knob(2), hypothesis="W" * 300)
    page = sign_in(viewport=viewport)
    for address in ("landings", "stacks", "baseline"):
        page.goto(f"/projects/demo/{address}/")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
    Landing.objects.update(trouble="x" * 500)
    page.goto("/projects/demo/landings/")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
