"""The policy in a simulated campaign, small here; `benchmarks/policy.py` runs it in full and checks every bound."""

import numpy as np
import pytest

from benchmarks.noise import WORLDS, Meddling, pool_everything, pool_fresh
from benchmarks.noise import missed_bounds as missed_noise_bounds
from benchmarks.noise import simulate as simulate_noise
from benchmarks.policy import CALM, DEFAULT, SCENARIOS, STRATEGIES, Scenario, Tally, missed_bounds, simulate

REPLICATES, CANDIDATES = 12, 700


@pytest.fixture(scope="module")
def tallies() -> dict[str, Tally]:
    """Every strategy in the plain scenario."""
    return {name: simulate(strategy, SCENARIOS[0], REPLICATES, CANDIDATES) for name, strategy in STRATEGIES.items()}


def test_what_the_default_policy_accepts_is_real(tallies: dict[str, Tally]) -> None:
    default = tallies[DEFAULT]
    assert default.accepted > 80
    assert default.false_share < 0.04  # 0.9% in the long run; 2 in some 130 accepts would be bad luck
    assert default.runs_each < 1200


def test_keeping_whatever_is_lower_makes_most_keeps_noise(tallies: dict[str, Tally]) -> None:
    assert tallies["keep if lower, 1 run"].false_share > 0.5


def test_a_fixed_t_test_costs_three_times_the_runs(tallies: dict[str, Tally]) -> None:
    t_test = tallies["t-test at 0.05, 5 seeds"]
    assert t_test.runs_each > 3 * tallies[DEFAULT].runs_each
    assert t_test.false_share > 0.05


def test_without_confirmation_more_of_what_lands_is_noise() -> None:
    noisy = Scenario("outliers", outliers=0.05)
    bare = simulate(STRATEGIES["default policy without confirmation"], noisy, REPLICATES, CANDIDATES)
    assert bare.false_share > 2 * simulate(STRATEGIES[DEFAULT], noisy, REPLICATES, CANDIDATES).false_share


def test_the_simulation_repeats_itself() -> None:
    once, again = (simulate(STRATEGIES[DEFAULT], SCENARIOS[2], 2, 200) for _ in range(2))
    assert once == again
    assert simulate(STRATEGIES[DEFAULT], SCENARIOS[2], 2, 200, first=7) != once


def test_every_run_is_counted() -> None:
    """Nothing passes the first look: one run each, the 4 reference runs and the calibration of 8."""
    hopeless = Scenario("hopeless", real_mean=0.0, drift=0.0, sigma_factor=1000.0)
    assert simulate(STRATEGIES[DEFAULT], hopeless, 1, 50).runs == 50 + 4 + 8


def test_a_missed_bound_is_said() -> None:
    bad = Tally(replicates=1, accepted=10, false=5, runs=5000)
    assert len(missed_bounds(CALM[0], bad)) == 3
    assert missed_bounds(SCENARIOS[3], bad) == ["outliers: 50.0% false discoveries, at most 6% are allowed"]
    assert missed_bounds(CALM[0], Tally(replicates=1, accepted=12, false=0, runs=1100)) == []


def world(name: str) -> Meddling:
    return next(meddling for meddling in WORLDS if meddling.name == name)


def test_sigma_as_it_is_pooled_is_true_whoever_tries_to_move_it_and_finds_go_on() -> None:
    honest, sigmas = simulate_noise(world("honest"), pool_fresh, 3, 700)
    assert 0.85 < np.median(sigmas) < 1.15
    for name in ("one diverges on every third seed", "50 diverge on every third seed", "50 whose seeds do nothing"):
        tally, sigmas = simulate_noise(world(name), pool_fresh, 3, 700)
        assert 0.8 < np.median(sigmas) < 1.25, name
        assert tally.found > 0.6 * honest.found, name
    before, sigmas = simulate_noise(world("50 diverge on every third seed"), pool_everything, 3, 700)
    assert np.max(sigmas) > 100 and before.found < 0.2 * honest.found, "which is what pooling everything did"


def test_what_the_guard_of_sigma_missed_is_said() -> None:
    bad = Tally(replicates=1, accepted=10, false=5, runs=1000)
    assert len(missed_noise_bounds(WORLDS[0], bad, [3.0], 12.0)) == 3
    assert missed_noise_bounds(WORLDS[0], Tally(1, 12, 0, 1000), [1.0], 12.0) == []
