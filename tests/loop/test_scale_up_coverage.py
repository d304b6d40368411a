"""Two hundred ladders of known truth: the intervals of a rung hold it as often as they say, however few runs sigma rests on."""

import math

import numpy as np
import pytest

from research_app.loop.judge.arms import Arms
from research_app.loop.scale_up.scale_up import arms_of, evidence_of_rung, saving_of
from research_app.models import Evidence, Run, ScaleUp, Stage, State
from tests.factories import make_candidate, make_project, make_user
from tests.ladder_project import CONFIG, approve
from training.spec import Outcome

pytestmark = pytest.mark.django_db(transaction=True)

LADDERS = 200
SIGMA, SLOPE, GAIN = 0.007, 0.1, 0.02
SAVED = 1 - math.exp(-GAIN / SLOPE)


def a_scale_up(seeds: int) -> ScaleUp:
    """A candidate on a rung with so many seeds of each arm, which all have ended."""
    project = make_project("covered", ladder=CONFIG["ladder"], scale_up={"budget_hours": 50})
    candidate = make_candidate(project, stage=Stage.SHORTLISTED, verdict="solid")  # type: ignore[arg-type]
    step = approve(candidate, make_user("grace"), ("M", seeds))
    done = {"state": State.FINISHED, "outcome": Outcome.completed, "score": 2.0, "facts": {"flops": 8}}
    Run.objects.filter(scale="M").update(**done)
    return step


def ladder(step: ScaleUp, rng: np.random.Generator) -> Evidence:
    """Draw the scores of a rung anew and build its evidence."""
    mine, theirs, curve = arms_of(step)
    for run in (*mine, *theirs, *curve):
        gain = GAIN if run.patch_set_id else 0.0
        run.score = 2.0 - gain - SLOPE * math.log(run.budget_share) + rng.normal(0, SIGMA)
    Run.objects.bulk_update([*mine, *theirs, *curve], ["score"])
    noise = step.project.noise("M")
    assert noise is not None
    return evidence_of_rung(step, Arms(theirs, mine), noise)


@pytest.mark.parametrize("seeds", [3, 4])
def test_95_percent_intervals_of_gain_and_time_saved_hold_the_truth_in_93_to_97_percent_of_200_ladders(seeds: int) -> None:
    step, rng = a_scale_up(seeds), np.random.default_rng(seeds)
    gain = saved = sure = 0
    for _ in range(LADDERS):
        evidence = ladder(step, rng)
        assert evidence.low is not None and evidence.high is not None
        assert evidence.numbers["transfer"]["degrees"] == 2 * seeds - 2, "nothing but these runs says how large sigma is"
        gain += evidence.low <= GAIN <= evidence.high
        told = evidence.numbers["savings"]
        if "saved" in told:
            sure += 1
            saved += told["low"] <= SAVED <= told["high"]
    assert 0.93 <= gain / LADDERS <= 0.97
    assert sure > 0.9 * LADDERS and saved / sure >= 0.93, "a line through so few budgets errs on the wide side"


def test_a_p_value_from_four_degrees_of_freedom_claims_no_more_than_those_tell() -> None:
    """Forty sigma, as three seeds happen to scatter, are no 1 in 10 to the 103."""
    step = a_scale_up(3)
    mine, theirs, curve = arms_of(step)
    for n, run in enumerate([*mine, *theirs]):
        run.score = 2.0 - (0.3 if run.patch_set_id else 0.0) + 0.007 * (n % 3 - 1)
    for run in curve:
        run.score = 2.0 - SLOPE * math.log(run.budget_share)
    Run.objects.bulk_update([*mine, *theirs, *curve], ["score"])
    noise = step.project.noise("M")
    assert noise is not None
    told = evidence_of_rung(step, Arms(theirs, mine), noise).numbers["transfer"]
    assert 1e-8 < told["p_value"] < 1e-4


def test_the_error_of_a_saving_is_read_off_its_interval_by_the_degrees_of_freedom_that_it_has() -> None:
    step, rng = a_scale_up(3), np.random.default_rng(7)
    errors, spread = [], []
    for _ in range(60):
        saving = saving_of(ladder(step, rng))
        if saving:
            errors.append(saving.standard_error)
            spread.append(saving.saved)
    assert np.median(errors) == pytest.approx(np.std(spread), rel=0.35)
