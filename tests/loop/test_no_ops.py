"""A change that does not reach the training is said to do nothing, after one run, and never to gain a fraction of sigma."""

import pytest
from django.test import Client

from research_app.loop.check import check
from research_app.loop.propose import propose
from research_app.models import Candidate, Kind, Project, Run, Stage, Verdict
from research_app.models.run import arrays_of
from tests.small_project import FILE, TRAIN, approver, drain, patch, small_project, submit, trained

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

OVERRIDING = TRAIN.replace(
    "# The end of the file", "exec('LEARNING_RATE = 0.03')  # as a config file would\n# The end of the file"
)
OVERRIDDEN = ("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.02")
SAID = "It changes nothing that runs: with seed 1 it printed what the baseline printed, to the last digit"


def fresh(candidate: Candidate) -> Candidate:
    return Candidate.objects.with_evidence().get(pk=candidate.pk)


def submit_to(project: Project, text: str, *changes: tuple[str, str]) -> Candidate:
    candidate = check.submit(project, patch(*changes, text=text), "It learns faster", category="optimiser", author="ada")
    drain()
    return fresh(candidate)


def runs_of(candidate: Candidate) -> list[Run]:
    return list(Run.objects.filter(patch_set__candidate=candidate).order_by("pk"))


def test_a_constant_that_is_overridden_is_a_no_op_after_one_run() -> None:
    candidate = submit_to(trained("small", FILE, OVERRIDING), OVERRIDING, OVERRIDDEN)
    assert candidate.stage == Stage.DROPPED and candidate.why.startswith(SAID), candidate.why
    assert len(runs_of(candidate)) == 1
    assert "σ" not in candidate.why


def test_its_effect_is_exactly_nothing_and_both_arms_are_the_runs_of_that_seed() -> None:
    evidence = submit_to(trained("small", FILE, OVERRIDING), OVERRIDING, OVERRIDDEN).evidence
    assert evidence is not None and evidence.verdict == Verdict.DROP
    assert (evidence.effect, evidence.interval) == (0.0, None)
    assert evidence.baseline_mean == evidence.candidate_mean
    assert [row["seed"] for row in evidence.numbers["baseline"]] == [1]
    assert evidence.numbers["looks"] == [], "no look of the sequential policy decided it"
    assert evidence.content_hash == evidence.compute_hash()


def test_its_page_shows_no_luck_no_noise_and_no_interval(client: Client) -> None:
    candidate = submit_to(trained("small", FILE, OVERRIDING), OVERRIDING, OVERRIDDEN)
    client.force_login(approver())
    page = client.get(candidate.get_absolute_url()).content.decode()
    assert SAID in page
    assert "One run</b> cannot tell" not in page and "interval-line" not in page and "z after each run" not in page


def test_the_same_change_where_nothing_overrides_it_is_measured() -> None:
    candidate = fresh(submit(small_project(), OVERRIDDEN))
    assert "nothing that runs" not in candidate.why and candidate.stage == Stage.READY


def test_a_change_of_the_curve_alone_is_no_no_op() -> None:
    project = small_project()
    candidate = fresh(submit(project, ("train_loss={3 / step + LEARNING_RATE:.6f}", "train_loss={3 / step + 0.02:.6f}")))
    mine, theirs = runs_of(candidate)[0], project.tip().runs.of_baseline().get(seed=1, budget_share=1.0)
    assert mine.score == theirs.score
    curves = arrays_of([mine.pk, theirs.pk])
    assert [len(curves[pk]["train_loss"][1]) for pk in (mine.pk, theirs.pk)] == [20, 20]
    assert "nothing that runs" not in candidate.why


def test_the_same_score_with_few_digits_needs_another_seed() -> None:
    """Two digits of a score whose noise is of their size agree by chance as a matter of course."""
    coarse = OVERRIDING.replace("score={score:.8f}", "score={score:.4f}")
    candidate = submit_to(trained("small", FILE, coarse), coarse, OVERRIDDEN)
    assert candidate.stage == Stage.DROPPED, candidate.why
    assert len(runs_of(candidate)) > 1
    assert "nothing that runs: with seeds 1, 2" in candidate.why


def test_proposers_are_told_that_it_did_nothing() -> None:
    project = trained("small", FILE, OVERRIDING)
    submit_to(project, OVERRIDING, OVERRIDDEN)
    [told] = propose.tried(project)
    assert told.effect == 0.0 and told.why.startswith(SAID)


def test_a_removal_that_changes_nothing_goes_to_a_person_after_one_run() -> None:
    project = trained("small", FILE, OVERRIDING)
    candidate = check.submit(
        project, patch(OVERRIDDEN, text=OVERRIDING), "It is not needed", category="simplification", author="ada"
    )
    Candidate.objects.filter(pk=candidate.pk).update(kind=Kind.REMOVAL)
    drain()
    assert (fresh(candidate).stage, len(runs_of(candidate))) == (Stage.READY, 1)
    assert fresh(candidate).why.startswith(SAID)


def test_an_aa_candidate_has_seeds_of_its_own_and_is_judged_by_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propose, "is_aa", lambda project, attempt: True)
    project = small_project()
    propose.open_round(project, ["knobs"], 1, approver().username)
    drain()
    [candidate] = project.candidates.filter(aa=True)
    assert candidate.evidence is not None and "no_op" not in candidate.evidence.numbers
