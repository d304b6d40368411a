"""What is needed and what is left are written so that one can see which is more, also when both are next to nothing."""

import re

import pytest
from django.test import Client

from research_app.loop.review.review import ReviewRefused
from research_app.loop.scale_up.price import Account, Price, account_of
from research_app.models import Candidate, Project, Run, Stage
from tests.factories import make_candidate, make_project, make_run, make_user
from tests.ladder_project import CONFIG, approve
from tests.web.test_shortlist_pages import form

pytestmark = pytest.mark.django_db(transaction=True)


def account(left: float, budget: float = 24.0, money: float | None = None) -> Account:
    spent = budget - left
    return Account(Price(1, spent, spent, 0.0, 0.0), Price(), budget, money, "EUR")


def test_two_amounts_that_would_both_read_nought_are_told_apart() -> None:
    refused = account(0.0004).excess(Price(1, 0.0031, 0.0031, 0.0, 0.0))
    assert refused.startswith("This needs 0.0031 device-hours, and 0.0004 of the project's 24 are left.")
    assert "needs 0.003 device-hours, and 0.000 of" in account(0.0).excess(Price(1, 0.0031, 0.0031, 0.0, 0.0))
    assert "needs 3.00 device-hours, and 1.50 of" in account(1.5).excess(Price(1, 3.0, 3.0, 0.0, 0.0))


def test_money_is_told_apart_as_well() -> None:
    poor = Account(Price(1, 1.0, 1.0, 9.999, 9.999), Price(), None, 10.0, "EUR")
    assert "costs 0.0014 EUR, and 0.0010 of the project's 10 are left" in poor.excess(Price(1, 0.1, 0.1, 0.0014, 0.0014))


def test_what_is_left_is_nothing_only_where_nothing_is() -> None:
    assert account(0.004).hours_left_words == "0.004 of 24 h"
    assert account(12.0).hours_left_words == "12.00 of 24 h"
    assert account(0.0).hours_left_words == "0.00 of 24 h"
    assert account(-0.5).hours_left_words == "0.50 h more than the 24 h there were"


@pytest.fixture
def spent() -> Project:
    """All but 0.36 s of the budget is spent, and a run at M takes some seconds."""
    project = make_project("spent", ladder=CONFIG["ladder"], scale_up={"budget_hours": 1.0, "currency": "EUR"})
    other = make_candidate(project, stage=Stage.REJECTED)
    make_run(project.tip(), patch_set=other.patch_set, scale="M", seed=77, train_seconds=3600.0 - 0.36)
    Run.objects.filter(scale="S").update(train_seconds=0.1)
    Run.objects.filter(scale="M").update(outcome="crashed")
    return project


def listed(project: Project) -> Candidate:
    edit = ("train.py", "WIDTH = 96", "WIDTH = 128")
    return make_candidate(project, edits=[edit], stage=Stage.SHORTLISTED, verdict="solid")  # type: ignore[arg-type]


def test_the_page_and_the_refusal_show_that_a_little_is_more_than_next_to_nothing(spent: Project) -> None:
    candidate = listed(spent)
    Run.objects.filter(patch_set=candidate.patch_set).update(train_seconds=0.1)
    Run.objects.filter(patch_set=None).update(train_seconds=0.1)
    assert 0 < (account_of(spent).hours_left or 0) < 0.005
    with pytest.raises(ReviewRefused, match=r"needs 0\.00\d+ device-hours, and 0\.0001 of"):
        approve(candidate, make_user("grace"))
    client = Client()
    client.force_login(make_user("hedy"))
    shown = re.sub(r"<[^>]+>", " ", client.get("/projects/spent/shortlist/price/", form(candidate)).content.decode())
    [(needed, left)] = re.findall(r"(0\.\d+) device-hours.* of (0\.\d+) h left", re.sub(r"\s+", " ", shown))
    assert float(needed) > float(left) > 0
    page = re.sub(r"<[^>]+>", " ", client.get("/projects/spent/shortlist/").content.decode())
    assert "0.0001 of 1 h" in page and "0.00 of 1 h" not in page
