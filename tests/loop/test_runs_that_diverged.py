"""A run that ended far from all others of its tree diverged: it enters no mean, no noise, and the page says which."""

from pathlib import Path

import numpy as np
import pytest
from django.db import transaction
from django.test import Client

from research_app.evidence.digits import spread
from research_app.evidence.divergence import diverged
from research_app.evidence.noise import Noise
from research_app.loop.check import check
from research_app.loop.judge.judge import CONFIRM_SEED, SEEDS_EACH, judge
from research_app.loop.judge.noise_record import record_noise
from research_app.loop.project.projects import create_project
from research_app.models import Candidate, Event, Project, Purpose, Run, Stage, Verdict
from tests.factories import make_candidate, make_evidence, make_project, make_run, make_user
from tests.small_project import BETTER, FILE, TRAIN, drain, patch, small_project, source_repository, submit
from training.spec import Outcome

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

KNOWN = Noise.known(0.002, 7)
EVERY_THIRD = ("PENALTY = 0  # not a knob", "PENALTY = 7 if SEED % 3 == 0 else -0.02")


@pytest.fixture
def project() -> Project:
    return small_project()


def test_a_run_far_from_the_others_of_its_tree_diverged() -> None:
    assert diverged([1.05, 1.051, 8.0, 1.049], KNOWN) == [2]
    assert diverged([1.03, 8.0, 1.03, 1.031, 7.9, 1.029], KNOWN) == [1, 4]
    assert diverged([0.95, -8.0, 0.951], KNOWN, lower_is_better=False) == [1]


def test_what_is_better_close_or_in_too_few_runs_did_not() -> None:
    assert diverged([1.05, 1.051, 0.2, 1.049], KNOWN) == [], "too good is another question"
    assert diverged([1.05, 1.051, 1.11, 1.049], KNOWN) == [], "30 sigma, but 6% of the score: heavy tails"
    assert diverged([1.05, 8.0], KNOWN) == [], "of two runs nobody knows which one is odd"
    assert diverged([8.0, 8.1, 1.05, 7.9], KNOWN) == [], "most are there: that is the tree"
    assert diverged([1.0, 3.0, 6.0, 40.0, 2.0], KNOWN) == [], "a tree that scatters this much has noise, not a divergence"


def test_without_known_noise_the_others_tell_and_honest_runs_are_never_accused() -> None:
    reference = [1.05, 1.052, 1.049, 8.0, 1.051, 1.048, 1.05, 1.053]
    assert diverged(reference, None) == [3]
    assert diverged([1.05, 1.051, 1.049, 8.0], None) == [3]
    assert diverged([1.05, 1.051, 8.0], None) == []
    rng = np.random.default_rng(1)
    accused = sum(bool(diverged((2 + 0.1 * rng.standard_t(3, 8)).tolist(), None)) for _ in range(4000))
    assert accused <= 16, "heavy tails of a noise that is 5% of the score"


def test_the_baselines_reference_runs_go_on_without_the_run_and_with_another_seed(tmp_path: Path) -> None:
    """Its third seed diverges: four others are the reference runs, and what is better is not called better by 2."""
    text = TRAIN.replace("PENALTY = 0  # not a knob", "PENALTY = 7 if SEED == 3 else 0  # not a knob")
    file = FILE.model_copy(update={"policy": FILE.policy.model_copy(update={"calibration_runs": 8})})
    project = create_project("third", source=str(source_repository(tmp_path / "source", text=text)), file=file)
    drain()
    candidate = submit_to(project, text, ("WIDTH = 64", "WIDTH = 67"))
    run = project.runs.get(seed=3, patch_set=None, purpose=Purpose.REFERENCE)
    assert (run.outcome, run.score) == (Outcome.diverged, None)
    assert "ended at a score of 7.9" in run.reason and "7 other runs of its tree around 0.9" in run.reason
    assert Event.objects.get(kind="run diverged").data["seed"] == 3
    assert candidate.evidence is not None and candidate.evidence.effect is not None
    assert candidate.evidence.effect == pytest.approx(0.003, abs=0.002)
    noise = project.noise()
    assert noise is not None and noise.sigma < 0.003


def test_a_candidate_that_diverges_on_every_third_seed_poisons_nothing(project: Project) -> None:
    """It looks better by 20 sigma on two seeds of three; sigma stays, and the next one, better by 10, becomes solid."""
    before = project.noise()
    poison = fresh(submit(project, EVERY_THIRD))
    assert before is not None and poison.stage in (Stage.CRASHED, Stage.DROPPED)
    if poison.stage == Stage.CRASHED:
        assert "It diverged: with seed" in poison.why
    after = project.noise()
    assert after is not None and after.sigma < 1.5 * before.sigma
    second = fresh(submit(project, BETTER))
    assert second.stage == Stage.READY and second.evidence is not None and second.evidence.verdict == Verdict.SOLID


def test_a_run_of_a_confirmation_that_diverged_is_made_up_for_by_another_seed(project: Project) -> None:
    version = project.tip()
    candidate = submit(project, BETTER)
    first = CONFIRM_SEED + SEEDS_EACH * candidate.number
    patch_set = candidate.revision
    lost = Run.objects.get(patch_set=None, seed=first + 1)
    Run.objects.filter(pk=lost.pk).update(score=9.0)
    Candidate.objects.filter(pk=candidate.pk).update(stage=Stage.CONFIRMING)
    judge(patch_set.pk, "test")
    again = version.runs.get(patch_set=None, seed=first + 3)
    assert again.purpose == Purpose.CONFIRM and again.state == "queued"
    drain()
    candidate = fresh(candidate)
    assert candidate.stage == Stage.READY and candidate.evidence is not None
    seeds = {row["seed"] for row in candidate.evidence.numbers["baseline"]}
    assert seeds == {first, first + 2, first + 3}


def test_a_group_that_scatters_otherwise_is_recorded_and_said_on_both_pages(client: Client) -> None:
    project = make_project()
    record(project)
    assert Event.objects.filter(kind="noise measured").count() == 1
    record(project)
    assert not Event.objects.filter(kind="noise changed").exists(), "nothing has changed"
    wild = make_candidate(project, effect=0.0, runs=1)
    for seed, score in ((11, 1.2), (12, 2.9), (13, 4.4)):
        make_run(project.tip(), patch_set=wild.patch_set, seed=seed, score=score, purpose=Purpose.CONFIRM)
    make_evidence(wild.revision, [1.2, 2.9, 4.4])
    record(project)
    [event] = Event.objects.filter(kind="noise changed")
    [group] = event.data["left_out"]  # type: ignore[misc]
    assert group["group"] == str(wild) and group["times"] > 50  # type: ignore[has-type]
    record(project)
    assert Event.objects.filter(kind="noise changed").count() == 1, "once"
    client.force_login(make_user())
    page = client.get(project.get_absolute_url()).content.decode()
    assert f"Left out: {wild}: 3 runs that scatter" in page
    candidate = Candidate.objects.get(pk=wild.pk)
    Candidate.objects.filter(pk=wild.pk).update(evidence=candidate.revision.evidence.latest("pk"))
    assert "Its own noise:</b> 3 runs that scatter" in client.get(wild.get_absolute_url()).content.decode()


def test_runs_that_a_look_selected_are_no_part_of_the_noise() -> None:
    """A second run only comes after a good first one: such pairs scatter too much, by a quarter of the variance."""
    project = make_project()
    before = project.noise()
    candidate = make_candidate(project, effect=0.0, runs=1)
    for seed, purpose in ((11, Purpose.SCREEN), (12, Purpose.REPLICATE)):
        make_run(project.tip(), patch_set=candidate.patch_set, seed=seed, score=2.0 + seed, purpose=purpose)
    assert project.noise() == before


def test_a_large_change_of_sigma_is_recorded_and_said(client: Client) -> None:
    project = make_project()
    record(project)
    for seed in range(50, 60):
        make_run(project.tip(), seed=seed, score=2.0 + 0.1 * (seed % 3))
    record(project)
    [event] = Event.objects.filter(kind="noise changed")
    assert event.data["sigma"] > 1.25 * event.data["before"]
    client.force_login(make_user())
    assert f"It was {spread(event.data['before'])} until" in client.get(project.get_absolute_url()).content.decode()  # type: ignore[arg-type]


def record(project: Project) -> None:
    with transaction.atomic():
        record_noise(project)


def fresh(candidate: Candidate) -> Candidate:
    return Candidate.objects.with_evidence().get(pk=candidate.pk)


def submit_to(project: Project, text: str, *changes: tuple[str, str]) -> Candidate:
    candidate = check.submit(project, patch(*changes, text=text), "It helps", category="optimiser", author="ada")
    drain()
    return Candidate.objects.with_evidence().get(pk=candidate.pk)
