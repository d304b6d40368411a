"""Two runs are one and the same training where every digit agrees that the machine has no say in, and digits enough do."""

from dataclasses import replace

import numpy as np
import pytest

from research_app.evidence.identical import BELIEVED, Curve, Trajectory, chance_of, is_of_the_machine


def curve(*values: float) -> Curve:
    return np.arange(float(len(values))), np.asarray(values, dtype=float)


RUN = Trajectory(
    0.9979, {"code": 1.1}, {"train_loss": curve(3.1, 2.4567), "step_ms": curve(12.0, 11.0)}, {"steps": 2, "parameters": 100}
)


def test_a_run_repeats_itself_whatever_the_machine_did() -> None:
    assert RUN.repeats(replace(RUN, curves={**RUN.curves, "step_ms": curve(90.0, 80.0, 70.0)}))
    assert RUN.points == 2


@pytest.mark.parametrize(
    "other",
    [
        replace(RUN, score=0.9979000000000001),
        replace(RUN, by_source={"code": 1.2}),
        replace(RUN, by_source={}),
        replace(RUN, curves={**RUN.curves, "train_loss": curve(3.1, 2.4568)}),
        replace(RUN, curves={**RUN.curves, "train_loss": curve(3.1, 2.4567, 2.0)}),
        replace(RUN, curves={**RUN.curves, "train_loss": (np.array([0.0, 2.0]), np.array([3.1, 2.4567]))}),
        replace(RUN, curves={**RUN.curves, "grad_norm": curve(1.0)}),
        replace(RUN, curves={"step_ms": curve(12.0, 11.0)}),
        replace(RUN, work=dict(RUN.work) | {"steps": 3}),
        replace(RUN, work=dict(RUN.work) | {"parameters": 101}),
    ],
)
def test_one_digit_of_anything_else_is_another_run(other: Trajectory) -> None:
    assert not RUN.repeats(other)
    assert not other.repeats(RUN)


@pytest.mark.parametrize(
    "name",
    ["step_ms", "dt", "tok/sec", "tokens_per_second", "tokens/s", "mfu_percent", "train_ms", "Peak VRAM (MiB)", "gpu util"],
)
def test_times_speeds_and_memory_are_of_the_machine(name: str) -> None:
    assert is_of_the_machine(name)


@pytest.mark.parametrize(
    "name", ["train_loss", "val_loss", "bits_per_byte", "lr_multiplier", "grad_norm", "tokens", "epoch", "softmax_temperature"]
)
def test_what_the_training_came_to_is_not(name: str) -> None:
    assert not is_of_the_machine(name)


def reference(*scores: float) -> list[Trajectory]:
    return [Trajectory(score) for score in scores]


def test_a_score_measured_to_the_last_bit_agrees_by_no_chance() -> None:
    assert chance_of(Trajectory(0.123456789012345), reference(0.123456789012345, 0.13), 0.01) < 1e-12


def test_a_score_printed_with_four_digits_can_agree_by_chance() -> None:
    assert chance_of(Trajectory(3.2781), reference(3.2781, 3.28), 0.0015) == pytest.approx(1 / 15)


def test_a_short_number_among_long_ones_has_their_digits() -> None:
    assert chance_of(Trajectory(3.2), reference(3.2, 3.2781), 0.0015) == pytest.approx(1 / 15)


def test_the_ends_of_curves_that_differ_between_seeds_count_too() -> None:
    def run(score: float, loss: float) -> Trajectory:
        return Trajectory(score, curves={"train_loss": curve(4.0, loss), "lr": curve(1.0, 0.5), "dt": curve(1.0, loss)})

    others = [run(3.2781, 3.3391), run(3.28, 3.2391)]
    assert chance_of(others[0], others, 0.0015) == pytest.approx(1 / 15 * 0.0001 / 0.05) and BELIEVED < 1 / 15


def test_without_noise_nothing_is_proved() -> None:
    assert chance_of(Trajectory(1.0), reference(1.0, 1.0), 0.0) == 1.0
