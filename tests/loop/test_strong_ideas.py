"""Changes of a strong model that gained 6 to 19%: checks, policy, health, pages and briefing treat them as what they are.

Their patches and first runs were measured on the default target (tests/samples/ideas). They are no part of the playbook.
"""

from pathlib import Path

import pytest
from django.test import Client

from research_app.evidence import health
from research_app.evidence.policy import Policy, decide
from research_app.loop.check.check import build, examine
from research_app.loop.check.examine import flags_of
from research_app.loop.disclosure import why_told
from research_app.models import Candidate, Stage
from tests.factories import make_candidate, make_project, make_user

IDEAS = Path(__file__).parents[1] / "samples" / "ideas"
TARGET = Path(__file__).parents[2] / "training" / "targets" / "default"
REFERENCE, SIGMA = (3.001, 3.019, 3.025, 2.995), 0.015  # bits per byte
FIRST_RUN = {
    "relative_slopes": (2.592, "confirm", "quarantined"),
    "depthwise_conv": (2.582, "confirm", "quarantined"),
    "hashed_triples": (2.432, "confirm", "quarantined"),
    "recall_feature": (2.817, "confirm", "healthy"),
    "length_ramp": (3.137, "drop", "healthy"),
}


def facts(score: float) -> health.RunFacts:
    return health.RunFacts("d", 1e11, 1e11, "cpu", "s", "finished", score)


@pytest.mark.django_db
def test_each_is_taken_in_and_none_carries_a_flag_that_would_hold_up_its_gain() -> None:
    project = make_project(files={path.name: path.read_text() for path in TARGET.iterdir() if path.suffix in (".py", ".md")})
    assert {path.stem for path in IDEAS.glob("*.patch")} == set(FIRST_RUN)
    for path in IDEAS.glob("*.patch"):
        change = build(project, project.tip(), {"patch": path.read_text()}, path.stem, "a model")
        examine(project, project.tip(), change)
        assert {flag.level for flag in flags_of(project, change)} <= {"info"}, path.stem


@pytest.mark.parametrize("idea", FIRST_RUN)
def test_a_large_gain_is_confirmed_at_once_and_marked_for_a_person(idea: str) -> None:
    score, step, state = FIRST_RUN[idea]
    assert decide(Policy(), SIGMA, REFERENCE, [score]).step == step
    found = health.check([*map(facts, REFERENCE)], [facts(score)])
    assert found.state == state and not found.hides_effect
    assert [finding.rule for finding in found.findings] == (["implausible"] if state == "quarantined" else [])


@pytest.mark.django_db
def test_a_gain_of_a_seventh_stands_in_the_inbox_as_one_to_look_at_and_is_told_to_agents_as_no_verdict() -> None:
    project = make_project()
    made = make_candidate(project, stage=Stage.READY, effect=0.139 * 2.18, runs=5)
    client = Client()
    client.force_login(make_user())
    assert "In quarantine" in client.get(made.get_absolute_url()).content.decode()
    assert "Large or risky: look." in client.get("/").content.decode()
    assert "no verdict" in why_told(Candidate.objects.with_evidence().get(pk=made.pk))
