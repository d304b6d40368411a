"""Everything is priced at the price of its own rung: what was spent, what comes next, at every gate."""

import re
from typing import Any

import pytest
from django.test import Client

from research_app.loop.scale_up.price import money_of
from research_app.models import Candidate, Evidence, Project, Run, Stage, Verdict
from research_app.project_file.ladder import DEFAULT_LADDER
from tests.factories import make_candidate, make_project, make_run, make_user

pytestmark = pytest.mark.django_db(transaction=True)

S, M, L = DEFAULT_LADDER


@pytest.fixture
def project() -> Project:
    return make_project("prices", ladder=[rung.model_dump() for rung in (S, M, L)])


def at_gate(project: Project, stage: Stage = Stage.READY) -> Candidate:
    candidate = make_candidate(project, stage=stage, verdict=Verdict.SOLID)
    Run.objects.filter(patch_set=candidate.patch_set).update(train_seconds=0.0)
    return candidate


def inbox() -> str:
    client = Client()
    client.force_login(make_user())
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", client.get("/").content.decode()))


def train(candidate: Candidate, rung: str, hours: float, seed: int = 1, **fields: Any) -> Run:
    return make_run(candidate.base, patch_set=candidate.patch_set, scale=rung, seed=seed, train_seconds=hours * 3600, **fields)


def test_three_device_hours_on_the_largest_rung_cost_nine_at_the_last_gate(project: Project) -> None:
    train(at_gate(project), "L", 3.0)
    shown = inbox()
    assert "9.00 USD" in shown
    assert "0.15 USD" not in shown


def test_hours_of_several_rungs_are_added_each_at_its_own_price(project: Project) -> None:
    candidate = at_gate(project)
    train(candidate, "S", 10.0, seed=90)
    train(candidate, "M", 20.0)
    train(candidate, "L", 1.0)
    assert money_of([candidate]) == {candidate.pk: pytest.approx(10 * 0.05 + 20 * 0.05 + 3.0)}
    assert "4.50 USD" in inbox()


def test_every_device_of_a_run_and_every_lost_attempt_is_paid_for(project: Project) -> None:
    candidate = at_gate(project)
    train(candidate, "L", 1.0, devices=8, earlier_seconds=1800.0)
    assert money_of([candidate])[candidate.pk] == pytest.approx(8 * 1.5 * 3.0)


def test_a_rung_that_the_ladder_no_longer_has_has_no_price_and_breaks_nothing(project: Project) -> None:
    candidate = at_gate(project)
    train(candidate, "XL", 5.0)
    train(candidate, "L", 1.0)
    assert money_of([candidate])[candidate.pk] == pytest.approx(3.0)
    assert "3.00 USD" in inbox()


def test_the_next_rung_of_a_candidate_that_passed_one_is_the_one_above_it(project: Project) -> None:
    candidate = at_gate(project, Stage.SHORTLISTED)
    assert "M: 4 runs" in inbox()
    Evidence.objects.create(
        patch_set=candidate.revision, scale="M", policy_version=1, verdict=Verdict.SOLID, reason="", content_hash="m" * 64,
        numbers={"transfer": {"passed": True, "sentence": "", "compute": 8.0}},
    )  # fmt: skip
    client = Client()
    client.force_login(make_user("hedy"))
    shown = re.sub(r"<[^>]+>", " ", client.get("/").content.decode())
    assert "L: 3 runs" in shown
    assert "M: 4 runs" not in shown
