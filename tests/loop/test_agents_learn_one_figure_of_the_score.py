"""An agent learns one figure of the held-out text of a candidate: its effect, to half a sigma. Nothing else says more."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from research_app.api import representations
from research_app.evidence.health import RunFacts, check
from research_app.loop.disclosure import OF_THE_SCORES, effect_told, finding_told, interval_told, score_told
from research_app.loop.judge.diverged import mark
from research_app.models import Run, Verdict
from tests.factories import make_candidate, make_project
from training.spec import Outcome

pytestmark = pytest.mark.django_db
EXACT = 3.14159265


@pytest.fixture(autouse=True)
def _person(db: None) -> None:
    User.objects.create_user("ada")


def test_effects_within_one_half_of_sigma_are_told_alike_with_the_interval() -> None:
    project = make_project()
    noise = project.noise()
    assert noise
    candidate = make_candidate(project, effect=0.01, runs=3, verdict=Verdict.SOLID)
    step, seen = noise.sigma / 2, set()
    for share in range(-4, 5):
        assert candidate.evidence
        width = candidate.evidence.interval[1] - candidate.evidence.interval[0] if candidate.evidence.interval else 0.0
        effect = 4 * step + share * step / 10
        candidate.evidence.effect = effect
        candidate.evidence.low, candidate.evidence.high = effect - width / 2, effect + width / 2
        seen.add((effect_told(candidate, noise), *interval_told(candidate, noise)))
    assert len(seen) == 1, seen


def test_the_scores_of_a_candidates_runs_are_for_people() -> None:
    project = make_project()
    candidate = make_candidate(project, runs=3)
    runs = Run.objects.filter(patch_set=candidate.patch_set)
    assert runs and [score_told(run, project.noise()) for run in runs] == [None] * len(runs)
    assert score_told(Run.objects.of_baseline().latest("pk"), project.noise()) is not None


def test_a_finding_that_is_told_holds_no_score_and_no_piece_of_the_text() -> None:
    facts = RunFacts("d", 1.0, 1.0, "cpu", "s", "finished", EXACT)
    health = check([RunFacts("d", 1.0, 1.0, "cpu", "s", "finished", 2 * EXACT)] * 2, [facts, facts])
    told_all = [finding_told(each.rule, each.sentence) for each in health.findings]
    assert {each.rule for each in health.findings} >= {"zero variance", "implausible"}
    assert not [sentence for sentence in told_all if "3.14" in sentence or "50" in sentence]
    assert "gate text read" in OF_THE_SCORES


def test_the_evidence_that_the_api_tells_goes_through_it() -> None:
    project = make_project()
    candidate = make_candidate(project, effect=0.01, runs=3, verdict=Verdict.SOLID)
    assert candidate.evidence
    numbers = candidate.evidence.numbers
    numbers["health"] = {"state": "invalid", "findings": [{"rule": "zero variance", "sentence": f"all scored {EXACT}"}]}
    candidate.evidence.numbers = numbers
    assert "3.14" not in representations.evidence(candidate, candidate.evidence).model_dump_json()


def test_a_run_that_diverged_says_no_figure_of_a_text_that_it_did_not_print() -> None:
    project = make_project()
    candidate = make_candidate(project, runs=3)
    run, *others = Run.objects.filter(patch_set=candidate.patch_set)
    Run.objects.filter(pk=run.pk).update(outcome=Outcome.completed, score=EXACT)
    run.refresh_from_db()
    mark(run, others)
    run.refresh_from_db()
    assert run.outcome == Outcome.diverged and "3.14" not in run.reason and "2 other runs" in run.reason
