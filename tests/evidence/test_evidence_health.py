"""Health before effect: each rule, with the sentence that a person reads."""

import math
from dataclasses import replace

import pytest

from research_app.evidence.errors import BadDesign
from research_app.evidence.health import Health, RunFacts, check

RUN = RunFacts(data_hash="d1", budget=100.0, spent=99.0, device_kind="cpu", scorer_hash="s1", outcome="finished", score=2.0)
CRASH = replace(RUN, outcome="crashed", score=None)
NAN = replace(RUN, outcome="nan", score=None)


def runs(*scores: float) -> list[RunFacts]:
    return [replace(RUN, score=score) for score in scores]


BASELINE = runs(2.00, 2.01, 1.99, 2.02)
CANDIDATE = runs(1.95, 1.96)


def only_rule(health: Health) -> tuple[str, str]:
    assert len(health.findings) == 1
    return health.findings[0].rule, health.findings[0].sentence


def test_two_clean_arms_are_healthy() -> None:
    health = check(BASELINE, CANDIDATE, probes={"causality": True, "determinism": True})
    assert (health.state, health.findings, health.hides_effect) == ("healthy", (), False)


@pytest.mark.parametrize(
    ("field", "value", "rule", "words"),
    [
        ("data_hash", "d2", "data", "do not share one data: baseline d1; candidate d1, d2"),
        ("budget", 120.0, "budget", "baseline 100.0; candidate 100.0, 120.0"),
        ("device_kind", "cuda", "device", "kind of device: baseline cpu; candidate cpu, cuda"),
        ("scorer_hash", "s2", "scorer", "baseline s1; candidate s1, s2"),
    ],
)
def test_arms_under_different_conditions_are_invalid(field: str, value: object, rule: str, words: str) -> None:
    odd = replace(CANDIDATE[1], **{field: value})  # type: ignore[arg-type]
    health = check(BASELINE, [CANDIDATE[0], odd])
    assert health.hides_effect
    found, sentence = only_rule(health)
    assert found == rule
    assert words in sentence


def test_a_candidate_that_loses_seeds_to_crashes_is_invalid() -> None:
    health = check(BASELINE, [*CANDIDATE, CRASH])
    assert health.state == "invalid"
    assert only_rule(health) == ("failures", "1 of 3 candidate runs crashed, 0 of 4 baseline runs did")


def test_nan_is_counted_apart_from_crashes() -> None:
    assert only_rule(check(BASELINE, [*CANDIDATE, NAN]))[1] == ("1 of 3 candidate runs ended in NaN, 0 of 4 baseline runs did")


def test_one_crash_of_the_baseline_alone_does_not_condemn_the_candidate() -> None:
    assert check([*BASELINE, CRASH], CANDIDATE).state == "healthy"
    many = check([*BASELINE, *[CRASH] * 8], runs(*(1.9 + 0.01 * k for k in range(8))))
    assert many.state == "invalid"


def test_equal_failure_rates_are_no_finding() -> None:
    assert check([*BASELINE, CRASH, CRASH], [*CANDIDATE, CRASH]).state == "healthy"


def test_an_arm_without_a_finished_run_is_invalid() -> None:
    health = check(BASELINE, [CRASH])
    assert health.findings[0].sentence == "no run of the candidate finished, 1 tried"
    assert check([], CANDIDATE).findings[0].sentence == "no run of the baseline finished, 0 tried"


@pytest.mark.parametrize("score", [None, math.nan, math.inf])
def test_a_finished_run_without_a_finite_score_is_invalid(score: float | None) -> None:
    health = check(BASELINE, [*CANDIDATE, replace(RUN, score=score)])
    assert only_rule(health) == ("scores", "1 finished candidate run has no finite score")


def test_seeds_that_never_differ_are_invalid() -> None:
    rule, sentence = only_rule(check(BASELINE, runs(1.9, 1.9, 1.9)))
    assert rule == "zero variance"
    assert "all 3 candidate runs scored exactly 1.9" in sentence


def test_failed_probes_and_changed_protected_files_are_named() -> None:
    health = check(BASELINE, CANDIDATE, probes={"causality": False}, protected_changed=["prepare.py"])
    assert [finding.sentence for finding in health.findings] == [
        "the causality probe failed",
        "the protected file prepare.py was changed",
    ]
    assert health.state == "invalid"


def test_two_percent_over_the_budget_is_tolerated_and_more_is_not() -> None:
    assert check(BASELINE, [*CANDIDATE, replace(RUN, spent=101.9)]).state == "healthy"
    health = check(BASELINE, [*CANDIDATE, replace(RUN, spent=102.5)])
    assert only_rule(health) == ("overspent", "1 of 3 candidate runs exceeded the budget, by up to 2.5%")


def test_a_candidate_may_exceed_the_budget_by_what_the_baseline_exceeds_it_by() -> None:
    baseline = [replace(run, spent=105.0) for run in BASELINE]
    assert check(baseline, [*CANDIDATE, replace(RUN, spent=105.4)]).state == "healthy", "nobody is blamed for the baseline"
    health = check(baseline, [*CANDIDATE, replace(RUN, spent=109.0)])
    words = "1 of 3 candidate runs exceeded the budget, by up to 9.0%; the baseline's runs do by up to 5.0%"
    assert only_rule(health) == ("overspent", words)


@pytest.mark.parametrize(("lower_is_better", "candidate"), [(True, runs(1.7, 1.71)), (False, runs(2.3, 2.31))])
def test_a_gain_too_good_to_be_true_waits_for_a_person(lower_is_better: bool, candidate: list[RunFacts]) -> None:
    health = check(BASELINE, candidate, lower_is_better=lower_is_better)
    assert (health.state, health.hides_effect) == ("quarantined", False)
    assert only_rule(health)[0] == "implausible"
    assert check(BASELINE, candidate, lower_is_better=lower_is_better, cleared=True).state == "healthy"
    assert check(BASELINE, candidate, lower_is_better=not lower_is_better).state == "healthy"


def test_a_risk_flag_matters_only_beside_a_gain() -> None:
    flag = ["the edit is near the seed"]
    health = check(BASELINE, CANDIDATE, risk_flags=flag)
    assert health.state == "quarantined"
    assert only_rule(health) == ("risk flag", "a gain comes with a risky edit: the edit is near the seed")
    assert check(BASELINE, runs(2.05, 2.06), risk_flags=flag).state == "healthy"


def test_clearing_a_quarantine_does_not_heal_an_invalid_comparison() -> None:
    health = check(BASELINE, [*CANDIDATE, CRASH], risk_flags=["seed"], cleared=True)
    assert health.state == "invalid"
    assert {finding.rule for finding in health.findings} == {"failures", "risk flag"}


def test_a_gain_over_a_baseline_of_zero_waits_for_a_person() -> None:
    assert check(runs(0.0, 0.01, -0.01), CANDIDATE, lower_is_better=False).state == "quarantined"


def test_a_run_without_a_budget_is_refused() -> None:
    with pytest.raises(BadDesign, match="budget is 0"):
        replace(RUN, budget=0.0)
