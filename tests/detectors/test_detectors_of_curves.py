"""What the shape of a curve gives away; an honest run gives away nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.detectors_samples import POINTS, STEPS_PER_POINT, Change, Values, beside, changed, honest
from training.detectors import Circumstances, Finding, RunRecord, examine

WARNINGS = ("warning", "invalid")


def found(run: RunRecord, detector: str, circumstances: Circumstances | None = None) -> list[Finding]:
    return [finding for finding in examine(run, circumstances or beside()) if finding.detector == detector]


def warnings(run: RunRecord, circumstances: Circumstances | None = None) -> list[Finding]:
    return [finding for finding in examine(run, circumstances or beside()) if finding.level in WARNINGS]


def between(start: float, end: float, factor: float) -> Change:
    """Multiplies the values from one share of the run to another."""

    def change(values: Values) -> Values:
        values[int(start * len(values)) : int(np.ceil(end * len(values)))] *= factor
        return values

    return change


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), noise=st.floats(0.005, 0.065), points=st.sampled_from([60, 250, 400, 500]))
def test_an_honest_run_raises_nothing_above_info(seed: int, noise: float, points: int) -> None:
    baseline = tuple(honest(seed + 20_000 + n, noise, points) for n in range(4))

    assert warnings(honest(seed, noise, points), beside(*baseline)) == []


def test_an_honest_run_raises_nothing_without_a_baseline() -> None:
    assert warnings(honest(5), Circumstances()) == []


def test_a_run_without_any_series_raises_nothing() -> None:
    assert examine(RunRecord(), beside()) == ()


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    factor=st.floats(0.01, 100),
    shift=st.integers(0, 10_000),
    damage=st.sampled_from([between(0.5, 1, 2.2), between(0.6, 0.602, 4.0), between(0, 1, 1.0)]),
)
def test_a_loss_in_other_units_from_another_first_step_is_judged_alike(
    seed: int, factor: float, shift: int, damage: Change
) -> None:
    run = changed(honest(seed), "train_loss", damage)
    steps, values = run.series["train_loss"]
    moved = RunRecord({"train_loss": [[(s or 0) + shift for s in steps], [(v or 0) * factor for v in values]]})
    alone = RunRecord({"train_loss": run.series["train_loss"]})

    def places(of: RunRecord, by: int) -> list[tuple[str, str, int, int]]:
        return [(f.detector, f.level, (f.step_from or 0) - by, (f.step_to or 0) - by) for f in examine(of)]

    assert places(moved, shift) == places(alone, 0)


def test_a_loss_that_is_not_a_number_is_invalid_where_it_first_was() -> None:
    steps, values = honest().series["train_loss"]
    run = RunRecord({"train_loss": [steps, [*values[:300], float("nan"), None, *values[302:]]]})

    (finding,) = found(run, "not finite")

    assert (finding.level, finding.series, finding.step_from) == ("invalid", "train_loss", steps[300])
    assert finding.step_to == steps[301]
    assert "NaN at step 1504" in finding.sentence


def test_an_infinite_gradient_norm_is_a_warning_only() -> None:
    (finding,) = found(RunRecord({"grad_norm": [[0, 1], [1.0, float("inf")]]}), "not finite")

    assert (finding.level, finding.step_from) == ("warning", 1)


def test_a_run_that_stopped_itself_is_invalid_with_its_reason() -> None:
    (finding,) = examine(RunRecord(not_finite="train_loss became nan at step 7"))

    assert (finding.level, finding.sentence) == ("invalid", "The run stopped itself: train_loss became nan at step 7.")


def test_a_loss_that_rises_and_stays_is_said_to() -> None:
    (finding,) = found(changed(honest(), "train_loss", between(0.6, 1, 2.0)), "loss over its minimum")

    assert finding.level == "warning"
    assert "does not come back" in finding.sentence
    assert abs((finding.step_from or 0) - 0.6 * POINTS * STEPS_PER_POINT) <= 8 * STEPS_PER_POINT
    assert finding.step_to == (POINTS - 1) * STEPS_PER_POINT + 4


def test_a_loss_that_rises_and_returns_is_said_to() -> None:
    (finding,) = found(changed(honest(), "train_loss", between(0.4, 0.6, 2.0)), "loss over its minimum")

    assert "ends at" in finding.sentence
    assert abs((finding.step_to or 0) - 0.6 * POINTS * STEPS_PER_POINT) <= 8 * STEPS_PER_POINT


def test_one_spike_is_information_and_several_are_a_warning() -> None:
    def spiky(*shares: float) -> RunRecord:
        run = honest(3, noise=0.03)
        for share in shares:
            run = changed(run, "train_loss", between(share, share + 0.5 / POINTS, 2.5))
        return run

    (one,) = found(spiky(0.5), "loss spikes")
    (three,) = found(spiky(0.3, 0.5, 0.7), "loss spikes")

    assert (one.level, one.step_from, one.step_to) == ("info", 1004, 1004)
    assert (three.level, three.step_from) == ("warning", 604)
    assert three.sentence.startswith("3 spikes of the train loss")


def test_a_loss_that_may_be_negative_is_not_judged_by_ratios() -> None:
    assert warnings(changed(honest(), "train_loss", lambda values: values - 3), Circumstances()) == []


def test_a_gradient_norm_that_blows_up_is_found_where_it_does() -> None:
    (finding,) = found(changed(honest(), "grad_norm", between(0.7, 0.75, 40)), "gradient blow-up")

    assert finding.level == "warning"
    assert abs((finding.step_from or 0) - 1400) <= 8 * STEPS_PER_POINT


def test_a_late_rise_of_the_gradient_norm_is_held_against_the_baselines() -> None:
    run = changed(honest(), "grad_norm", between(0.85, 1, 5))

    (finding,) = found(run, "gradient late rise")

    assert finding.level == "warning"
    assert "(the baseline's: 1." in finding.sentence
    assert found(run, "gradient late rise", beside(changed(honest(9), "grad_norm", between(0.85, 1, 5)))) == []


def flat(seed: int, slope: float) -> RunRecord:
    """A run with a constant learning rate, then a decay; `slope` is what its loss loses before that, as a share."""
    progress = np.linspace(0, 1, POINTS)
    noise = np.exp(0.02 * np.random.default_rng(seed).standard_normal(POINTS))
    loss = (
        2.5 - 2.5 * slope * np.minimum(progress, 0.7) - 0.8 * np.maximum(progress - 0.7, 0) + np.exp(-30 * progress)
    ) * noise
    run = changed(honest(seed), "train_loss", lambda _: loss)
    return changed(run, "lr", lambda _: np.minimum(1, (1 - progress) / 0.3))


def test_a_plateau_before_the_decay_is_a_warning_unless_the_baseline_has_it() -> None:
    (finding,) = found(flat(1, -0.03), "plateau before the decay", beside(flat(2, 0.2), flat(3, 0.2)))
    (common,) = found(flat(1, -0.03), "plateau before the decay", beside(flat(2, -0.03), flat(3, -0.03)))

    assert (finding.level, common.level) == ("warning", "info")
    assert 600 < (finding.step_from or 0) < (finding.step_to or 0) < 1500
    assert "2 of 2 baseline runs" in common.sentence


def test_a_loss_that_falls_before_the_decay_is_no_plateau() -> None:
    assert found(flat(1, 0.1), "plateau before the decay") == []


def test_a_learning_rate_that_never_decays_has_no_plateau_before_its_decay() -> None:
    run = changed(flat(1, -0.03), "lr", lambda values: np.ones_like(values))

    assert found(run, "plateau before the decay") == []


@pytest.mark.parametrize(("factor", "word"), [(0.9, "wider gap"), (1.18, "far below")])
def test_a_gap_unlike_the_baselines_is_a_warning(factor: float, word: str) -> None:
    (finding,) = found(changed(honest(), "train_loss", between(0.5, 1, factor)), "train/validation gap")

    assert (finding.level, finding.series) == ("warning", "val_loss")
    assert word in finding.sentence


def test_a_gap_is_not_judged_without_a_baseline() -> None:
    assert found(changed(honest(), "train_loss", between(0.5, 1, 0.8)), "train/validation gap", Circumstances()) == []


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="'train_loss' must be two lists of equal length"):
        examine(RunRecord({"train_loss": [[1, 2], [0.5]]}))


def test_points_out_of_order_are_sorted_and_the_last_of_a_step_counts() -> None:
    run = RunRecord({"train_loss": [[3, 1, 2, 1], [0.3, 9.0, 0.2, 0.1]]})

    assert run.curve("train_loss").values.tolist() == [0.1, 0.2, 0.3]
