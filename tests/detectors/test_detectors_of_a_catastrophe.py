"""The watch ends a run for a catastrophe alone: an ordinary curve, a poor one or one odd batch never ends it."""

import math
import random
from collections.abc import Iterable

import pytest

from training.detectors.watch import AVERAGED, OVER_LOWEST, Watch
from training.spec import Point


def watched(losses: Iterable[float]) -> Watch:
    watch = Watch()
    watch.see(Point(step, {"train_loss": loss}) for step, loss in enumerate(losses))
    return watch


def falling(points: int, noise: float, end: float = 2.0) -> list[float]:
    draw = random.Random(7)
    return [end + (5.5 - end) * math.exp(-step / (points / 8)) + draw.gauss(0, noise) for step in range(points)]


@pytest.mark.parametrize("end", [2.0, 3.5, 5.4])
def test_a_curve_that_falls_slowly_or_hardly_is_left_alone(end: float) -> None:
    assert watched(falling(600, 0.2, end)).catastrophe == ""


def test_one_odd_batch_is_left_alone() -> None:
    losses = falling(600, 0.05)
    losses[400] = 40.0
    assert watched(losses).catastrophe == ""


def test_a_loss_that_rises_far_above_its_lowest_is_named_with_its_step() -> None:
    losses = falling(300, 0.05) + [OVER_LOWEST * 2.0 * 1.5] * (2 * AVERAGED)
    found = watched(losses).catastrophe
    assert "rose to" in found
    assert "at step 3" in found


def test_points_without_a_train_loss_and_losses_below_zero_are_left_alone() -> None:
    watch = watched([-5.0] * 50 + [10.0] * 50)
    watch.see([Point(1, {"val_loss": 1e9})] * 100)
    assert watch.catastrophe == ""


def test_points_in_small_batches_say_the_same_as_all_at_once() -> None:
    losses = falling(300, 0.05) + [20.0] * 60
    watch = Watch()
    for step, loss in enumerate(losses):
        watch.see([Point(step, {"train_loss": loss})])
    assert watch.catastrophe == watched(losses).catastrophe != ""
