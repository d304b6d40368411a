"""Noise and calibration: device time per step, sigma, the reference runs and the curve, changes that do nothing."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from research_app.evidence.digits import spread
from research_app.models import Project, Purpose, Stage, State, Verdict
from research_app.web.project.calibration import Calibration, device_time
from research_app.web.project.project import ReferenceRuns
from tests.factories import SIGMA, make_candidate, make_device, make_run

pytestmark = pytest.mark.django_db
LAYERS = [("train.py", "LAYERS = 3", "LAYERS = 4")]


def text(client: Client, address: str = "/projects/demo/") -> str:
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def test_device_time_is_shared_out_by_what_the_runs_of_the_last_day_were_for(client: Client, project: Project) -> None:
    candidate = make_candidate(project, effect=None)
    make_run(project.tip(), patch_set=candidate.patch_set, train_seconds=30.4)
    long_ago = timezone.now() - timedelta(days=2)
    make_run(project.tip(), patch_set=candidate.patch_set, seed=2, train_seconds=500.0, finished_at=long_ago)
    spent = {each.purpose: (each.seconds, each.share) for each in device_time(project)}
    assert set(spent) == {Purpose.REFERENCE, Purpose.SCREEN}
    assert spent[Purpose.REFERENCE][0] == pytest.approx(4 * 15.2)
    assert spent[Purpose.SCREEN] == pytest.approx((30.4, 1 / 3))
    page = text(client)
    assert "33%" in page
    assert "screenings keep 25% of the starts" in page


def test_sigma_is_shown_with_its_interval_and_what_it_rests_on(client: Client, project: Project) -> None:
    noise = project.noise()
    assert noise
    page = text(client)
    assert f"<b>{spread(noise.sigma)}</b>" in page
    assert f"{spread(noise.low)} … {spread(noise.high)}, 3 degrees of freedom" in page


def test_runs_at_other_budgets_count_for_the_curve_and_distort_no_mean(client: Client, project: Project) -> None:
    before = text(client, "/projects/demo/progress.json")
    for share in (0.8, 0.9, 1.15, 1.3):
        make_run(project.tip(), purpose=Purpose.CURVE, budget_share=share, score=9.0)
    reference = ReferenceRuns.of(project)
    assert reference
    assert (len(reference.scores), reference.curve, reference.curve_wanted) == (4, 4, 4)
    page = text(client)
    assert "4 of 4 other budgets" in page
    assert "n = 4" in page
    assert "9.0000" not in page
    assert text(client, "/projects/demo/progress.json") == before
    assert "<dd>4</dd>" in text(client, "/projects/demo/baseline/")
    make_candidate(project)
    assert client.get("/projects/demo/candidates/1/curves.json").json()["traces"][0]["n"] == 4


def test_only_decided_changes_that_do_nothing_count(client: Client, project: Project) -> None:
    assert "no change that does nothing was decided yet" in text(client)
    make_candidate(project, aa=True, stage=Stage.SCREENING, effect=None)
    assert Calibration.of(project).false_accepts is None
    make_candidate(project, edits=LAYERS, aa=True, stage=Stage.DROPPED, effect=-0.001)
    make_candidate(project, edits=LAYERS, aa=True, stage=Stage.READY, effect=0.03, verdict=Verdict.SOLID)
    make_candidate(project, edits=LAYERS, stage=Stage.READY, effect=0.03, verdict=Verdict.SOLID)
    rate = Calibration.of(project).false_accepts
    assert rate
    assert (rate.count, rate.tried) == (1, 2)
    assert "<b>1 of 2</b> accepted" in text(client)


def test_a_change_that_does_nothing_is_not_marked_before_it_rests(client: Client, project: Project) -> None:
    candidate = make_candidate(project, aa=True, stage=Stage.REPLICATING, effect=0.012, runs=2)
    for address in ("/projects/demo/candidates/", "/projects/demo/candidates/1/", "/projects/demo/"):
        assert "A/A</span>" not in text(client, address)
    candidate.stage = Stage.INCONCLUSIVE
    candidate.save()
    for address in ("/projects/demo/candidates/", "/projects/demo/candidates/1/"):
        assert "A/A</span>" in text(client, address)


def test_the_way_of_a_candidate_shows_every_step(client: Client, project: Project) -> None:
    make_candidate(project, stage=Stage.REPLICATING)
    page = text(client)
    assert "<b>1</b> replicating" in page
    assert "<b>0</b> confirming" in page


def test_within_noise_asks_the_interval_and_draws_no_line(client: Client, project: Project) -> None:
    """1.2 sigma below is within the noise of one run, and so is 0.9: both intervals include 0."""
    for factor in (0.9, 1.2):
        make_candidate(project, edits=LAYERS, stage=Stage.DROPPED, effect=-factor * SIGMA)
    harm = make_candidate(project, edits=LAYERS, stage=Stage.DROPPED, effect=-6 * SIGMA)
    page = text(client, "/projects/demo/candidates/?stage=within-noise")
    assert "2 candidates" in page and f">{harm}<" not in page


def test_within_noise_lists_small_effects_either_way_and_leads_to_reopening(client: Client, project: Project) -> None:
    make_candidate(project, stage=Stage.DROPPED, effect=0.004)
    make_candidate(project, edits=LAYERS, stage=Stage.INCONCLUSIVE, effect=-0.004)
    make_candidate(project, edits=LAYERS, stage=Stage.DROPPED, effect=-0.05)
    make_candidate(project, edits=LAYERS, stage=Stage.READY, effect=0.004)
    page = text(client, "/projects/demo/candidates/?stage=within-noise")
    assert [n for n in (1, 2, 3, 4) if f'<span class="number">C-{n}</span>' in page] == [1, 2]
    assert "bring them back to the gate" in page
    assert "<b>2</b> of them within noise" in text(client)
    assert ">Reopen</button>" in text(client, "/projects/demo/candidates/1/")


def test_a_device_that_rejects_runs_says_why_and_how_to_mend_it(client: Client, project: Project) -> None:
    refusal = "The sandbox is at level none, below basic. Install bubblewrap: apt-get install bubblewrap."
    make_device(refusal=refusal)
    page = text(client, "/fleet/")
    assert "rejecting runs" in page
    assert refusal in page
    candidate = make_candidate(project, effect=None, stage=Stage.SCREENING)
    make_run(project.tip(), patch_set=candidate.patch_set, state=State.QUEUED)
    assert "every cpu worker rejects runs" in text(client)


@pytest.mark.parametrize(("level", "tone"), [("none", "warn"), ("basic", "mute"), ("strong", "mute")])
def test_only_a_missing_sandbox_is_a_warning(client: Client, project: Project, level: str, tone: str) -> None:
    device = make_device(sandbox_level=level)
    candidate = make_candidate(project, effect=None, stage=Stage.SCREENING)
    run = make_run(
        project.tip(), patch_set=candidate.patch_set, state=State.RUNNING, progress=0.4, device=device, sandbox_level=""
    )
    for address in ("/fleet/", "/projects/demo/", f"/projects/demo/runs/{run.pk}/"):
        chip = rf'class="chip {tone}"[^>]*>(<span aria-hidden="true">!</span> )?sandbox {level}<'
        assert re.search(chip, text(client, address)), address
