"""A change that does worse at a larger scale: harm, its size and how sure that is, and never “within the noise”."""

import re

import pytest
from django.test import Client

from research_app.models import Candidate, Evidence, Project, ScaleUp, Stage, Verdict
from tests.factories import make_candidate, make_project, make_user
from tests.ladder_project import CONFIG, approve, finish, fresh

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project() -> Project:
    return make_project("larger", ladder=CONFIG["ladder"], scale_up={"budget_hours": 50, "currency": "EUR"})


def scaled_up(project: Project, gain: float) -> Candidate:
    candidate = make_candidate(project, stage=Stage.SHORTLISTED, verdict="solid")  # type: ignore[arg-type]
    step = approve(candidate, make_user("grace"))
    finish(ScaleUp.objects.get(pk=step.pk), gain)
    return fresh(candidate)


def page(candidate: Candidate) -> str:
    client = Client()
    client.force_login(make_user("hedy"))
    html = client.get(f"{candidate.get_absolute_url()}scale-up/").content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_what_takes_17_percent_more_time_at_m_and_is_significant_does_harm(project: Project) -> None:
    candidate = scaled_up(project, -0.0164)  # at 0.1 per e-fold of budget
    evidence = Evidence.objects.get(scale="M")
    assert evidence.verdict == Verdict.WORSE and evidence.numbers["transfer"]["p_harm"] < 0.025
    assert evidence.numbers["savings"]["saved"] == pytest.approx(-0.17, abs=0.01)
    assert candidate.stage == Stage.NO_TRANSFER
    shown = page(candidate)
    assert "it does harm at larger scale" in shown and "! does harm" in shown and "17% more time" in shown
    for text in (shown, candidate.why, evidence.reason):
        assert "within the noise" not in text and "p = 1)" not in text
    assert "worse: −0.0" in candidate.why and "one-sided p" in candidate.why


def test_what_is_neither_better_nor_worse_is_still_within_the_noise(project: Project) -> None:
    candidate = scaled_up(project, 0.0005)
    shown = page(candidate)
    assert "the gain does not hold at larger scale" in shown and "within the noise of this rung" in shown
    assert "harm" not in shown


def test_what_helps_does_no_harm(project: Project) -> None:
    shown = page(scaled_up(project, 0.02))
    assert "the gain holds at larger scale" in shown and "does harm" not in shown
