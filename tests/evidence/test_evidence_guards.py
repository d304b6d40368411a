"""Guard metrics: non-inferiority with margins, and who pays for an average gain."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from research_app.evidence.errors import BadDesign, BadScore, BadSigma, TooFewRuns
from research_app.evidence.guards import DEFAULT_GUARDS, Guard, check_guard, check_sources, holm

MEMORY = Guard("peak_memory", 0.10)
SPEED = Guard("tokens_per_second", 0.10, lower_is_better=False)


def test_the_default_guards_are_the_ones_that_the_method_states() -> None:
    margins = {guard.metric: (guard.margin, guard.lower_is_better) for guard in DEFAULT_GUARDS}
    assert margins["peak_memory"] == (0.10, True)
    assert margins["tokens_per_second"] == (0.10, False)
    assert {"parameters", "flops_per_token"} < margins.keys()


def test_a_clear_change_within_the_margin_is_within() -> None:
    result = check_guard(MEMORY, [100.0, 101.0, 99.0, 100.0], [103.0, 104.0, 103.0])
    assert result.status == "within"
    assert result.change == pytest.approx(0.0333, abs=1e-3)
    assert result.interval is not None and result.change is not None
    assert result.interval[0] < result.change < result.interval[1] < 0.10


def test_a_clear_change_beyond_the_margin_is_exceeded_in_the_bad_direction_only() -> None:
    steady, higher = [100.0, 101.0, 99.0, 100.0], [125.0, 126.0, 124.0]
    assert check_guard(MEMORY, steady, higher).status == "exceeded"
    assert check_guard(MEMORY, higher, steady).status == "within"
    assert check_guard(SPEED, higher, steady).status == "exceeded"
    assert check_guard(SPEED, steady, higher).status == "within"


def test_a_noisy_change_near_the_margin_is_uncertain() -> None:
    assert check_guard(SPEED, [100.0, 120.0, 80.0, 110.0], [70.0, 115.0]).status == "uncertain"


def test_a_metric_that_never_varies_is_compared_exactly() -> None:
    parameters = Guard("parameters", 0.10)
    assert check_guard(parameters, [1000.0] * 4, [1100.0] * 2).status == "within"
    over = check_guard(parameters, [1000.0] * 4, [1101.0] * 2)
    assert over.status == "exceeded"
    assert over.interval == pytest.approx((over.change, over.change))


def test_one_run_of_each_arm_is_compared_without_an_interval() -> None:
    result = check_guard(MEMORY, [100.0], [120.0])
    assert (result.interval, result.status) == (None, "exceeded")


def test_bad_guard_input_is_named() -> None:
    with pytest.raises(BadScore, match="guard metrics are positive"):
        check_guard(MEMORY, [1.0, 0.0], [1.0])
    with pytest.raises(BadScore, match="peak_memory candidate score 1 is nan"):
        check_guard(MEMORY, [1.0], [math.nan])
    with pytest.raises(TooFewRuns, match="peak_memory of the candidate: 0 of 1"):
        check_guard(MEMORY, [1.0], [])
    with pytest.raises(BadDesign, match="margin of x is -1"):
        Guard("x", -1)


@given(
    st.lists(st.integers(50, 200), min_size=2, max_size=6),
    st.lists(st.integers(50, 200), min_size=1, max_size=6),
    st.floats(1e-6, 1e6),
)
def test_the_unit_of_a_guard_metric_changes_nothing(baseline: list[int], candidate: list[int], unit: float) -> None:
    plain = check_guard(MEMORY, baseline, candidate)
    scaled = check_guard(MEMORY, [x * unit for x in baseline], [x * unit for x in candidate])
    assert scaled.change == pytest.approx(plain.change, abs=1e-9)
    assert scaled.interval == pytest.approx(plain.interval, abs=1e-6)


def test_a_guard_at_its_margin_is_passed_as_rarely_as_stated() -> None:
    rng = np.random.default_rng(1)
    passed = 0
    for _ in range(1500):
        baseline = np.exp(rng.normal(0, 0.05, 4))
        candidate = 1.1 * np.exp(rng.normal(0, 0.05, 4))
        passed += check_guard(MEMORY, baseline.tolist(), candidate.tolist()).status == "within"
    assert abs(passed / 1500 - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 1500)


def sources(**levels: float) -> dict[str, list[float]]:
    wiggle = (-0.01, 0.0, 0.01, 0.0)
    return {source: [level + step for step in wiggle] for source, level in levels.items()}


def test_a_gain_paid_for_by_one_source_is_shown_as_that() -> None:
    baseline = sources(code=2.0, prose=2.0, tables=2.0)
    report = check_sources(baseline, sources(code=1.8, prose=1.8, tables=2.1), margin=0.02)
    assert report.hurt == ("tables",)
    assert report.sentence == "better on average by 0.1, but worse on tables"
    worst = report.sources[0]
    assert (worst.source, worst.hurt, worst.status) == ("tables", True, "exceeded")
    assert [result.status for result in report.sources[1:]] == ["within", "within"]


def test_noise_in_one_of_many_sources_is_not_called_harm() -> None:
    """One-sided p = 0.014 alone; among 30 sources such a one is expected."""
    names = [f"s{number}" for number in range(30)]
    baseline = {name: [0.0] * 4 for name in names}
    candidate = {name: [0.0] * 4 for name in names} | {"s7": [1.55] * 4}
    sigmas = dict.fromkeys(names, 1.0)
    assert check_sources(baseline, candidate, 0.1, sigmas).hurt == ()
    pair = {"s7": [0.0] * 4}, {"s7": [1.55] * 4}
    assert check_sources(*pair, 0.1, sigmas).hurt == ("s7",)


def test_the_share_of_reports_that_cry_harm_without_any_is_as_stated() -> None:
    rng = np.random.default_rng(2)
    names = ["a", "b", "c", "d", "e", "f"]
    cries = 0
    for _ in range(600):
        arms = [{name: rng.normal(size=4).tolist() for name in names} for _ in range(2)]
        cries += bool(check_sources(arms[0], arms[1], 0.5).hurt)
    assert cries / 600 < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 600)


def test_a_metric_where_higher_is_better_mirrors_the_report() -> None:
    baseline, candidate = sources(a=2.0, b=3.0), sources(a=1.9, b=3.2)
    low, high = ({name: [-x for x in xs] for name, xs in arm.items()} for arm in (baseline, candidate))
    there = check_sources(baseline, candidate, 0.05)
    mirrored = check_sources(low, high, 0.05, lower_is_better=False)
    assert mirrored.hurt == there.hurt == ("b",)
    assert [row.effect for row in mirrored.sources] == [row.effect for row in there.sources]


def test_holm_steps_down_and_stays_in_order() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}


def test_bad_source_input_is_named() -> None:
    with pytest.raises(BadDesign, match=r"same sources \(b\)"):
        check_sources(sources(a=1.0, b=1.0), sources(a=1.0), 0.1)
    with pytest.raises(BadDesign, match="no source at all"):
        check_sources({}, {}, 0.1)
    with pytest.raises(TooFewRuns, match="a, both arms: 2 of 3"):
        check_sources({"a": [1.0]}, {"a": [1.0]}, 0.1)
    with pytest.raises(BadDesign, match="no sigma for the source b"):
        check_sources(sources(a=1.0, b=1.0), sources(a=1.0, b=1.0), 0.1, {"a": 1.0})
    with pytest.raises(BadSigma):
        check_sources({"a": [1.0, 1.0]}, {"a": [1.0, 1.0]}, 0.1)
