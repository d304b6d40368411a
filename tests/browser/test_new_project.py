"""The page of a repository that is brought: current while workers are at it, and what is typed stays; it fits a telephone."""

from pathlib import Path

import pytest
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from research_app.models import Trial, TrialState
from tests.browser.conftest import NARROW, SignIn
from tests.everything import make_trials
from tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_a_worker_does_is_seen_and_what_is_typed_stays(sign_in: SignIn, live_server: LiveServer) -> None:
    make_user("grace")
    make_trials()
    page = sign_in(make_user("olga", role="operator"))
    trial = Trial.objects.get(state=TrialState.TRYING)
    page.goto(f"/new-project/{trial.pk}/")
    expect(page.locator("pre.log")).to_contain_text("Training seed 1")
    Trial.objects.filter(pk=trial.pk).update(log=f"{trial.log}Training seed 2\n")
    expect(page.locator("pre.log")).to_contain_text("Training seed 2")
    done = Trial.objects.exclude(report={}).get()
    Trial.objects.filter(pk=trial.pk).update(state=TrialState.DRAFT, report=done.report)
    expect(page.locator("mark")).to_have_text("step 0: train loss 4.2874, val loss 4.2823")
    page.locator("#bring-file").fill("[train]\n# mine")
    page.locator("#bring-metric-key").fill("val_bpb")
    page.get_by_role("button", name="Write it into the file").click()
    expect(page.locator("#bring-file")).to_have_value('[train]\n# mine\n\n[metric]\nkey = "val_bpb"\n')


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_telephone(sign_in: SignIn, live_server: LiveServer, theme: str, tmp_path: Path) -> None:
    make_user("grace")
    make_trials()
    page = sign_in(make_user("olga", role="operator"), viewport=NARROW, color_scheme=theme)
    for address in ("/new-project/", f"/new-project/{Trial.objects.exclude(report={}).get().pk}/"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), address
