"""Figures that a sentence compares never read the same when they are not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from research_app.evidence.apart import percent_apart, told_apart
from research_app.evidence.evidence_document import GuardRecord
from research_app.evidence.health import RunFacts, check
from research_app.evidence.noise import Noise
from research_app.evidence.transfer import judge_rung
from research_app.loop.judge.build_evidence import effect_and_line
from research_app.web.candidate.verdict import guard_row

AMOUNTS = st.floats(min_value=0, max_value=1e6, allow_subnormal=False).map(lambda value: round(value, 9))


def test_two_decimals_where_those_tell_them_apart() -> None:
    assert told_apart(3.0, 2.5) == ("3.00", "2.50")
    assert told_apart(2.0, 2.0) == ("2.00", "2.00")
    assert told_apart(0.0, 0.0) == ("0.00", "0.00")


def test_as_many_as_it_takes_where_two_do_not() -> None:
    assert told_apart(0.0031, 0.0004) == ("0.0031", "0.0004")
    assert told_apart(0.0031, 0.0) == ("0.003", "0.000")
    assert told_apart(12.0049, 12.0012) == ("12.005", "12.001")
    assert percent_apart(0.0744, 0.0741) == ("7.44%", "7.41%")
    assert percent_apart(0.31, 0.12) == ("31%", "12%")


@given(AMOUNTS, AMOUNTS)
def test_which_is_larger_can_always_be_read_off(one: float, other: float) -> None:
    first, second = map(float, told_apart(one, other))
    assert (first > second) == (one > other) and (first < second) == (one < other)
    assert (first == 0) == (one == 0) and (second == 0) == (other == 0)


def test_what_differs_in_the_last_bits_alone_or_is_no_number_is_written_all_the_same() -> None:
    third = 1 / 3
    one, other = told_apart(third, math.nextafter(third, 1))
    assert one.startswith("0.333") and other.startswith("0.333")
    assert told_apart(math.inf, 1.0) == ("inf", "1.00")
    assert told_apart(math.nan, 1.0)[1] == "1.00"


def test_a_drop_just_under_its_line_shows_that_it_is_under_it() -> None:
    assert effect_and_line(0.3, 0.9) == ("+0.3 σ", "0.9 σ")
    assert effect_and_line(0.87, 0.9) == ("+0.87 σ", "0.90 σ")
    assert effect_and_line(-0.6, 0.75) == ("−0.6 σ", "0.75 σ")


def test_a_saving_just_short_of_half_of_the_promise_shows_that_it_is_short() -> None:
    verdict = judge_rung(Noise.known(0.01), [2.0] * 4, [1.95] * 4, saved=0.07441, saved_below=0.14888)
    assert "saves 7.441%, less than half of the 14.888%" in verdict.sentence
    plain = judge_rung(Noise.known(0.01), [2.0] * 4, [1.95] * 4, saved=0.04, saved_below=0.09)
    assert "saves 4.0%, less than half of the 9.0%" in plain.sentence
    slower = judge_rung(Noise.known(0.01), [2.0] * 4, [2.05] * 4, saved=-0.17, saved_below=0.0)
    assert "takes 17.0% more time" in slower.sentence and "promised" not in slower.sentence


def test_a_gain_just_above_what_is_believed_shows_that_it_is_above() -> None:
    def facts(score: float) -> RunFacts:
        return RunFacts("d" * 64, 1.0, 1.0, "1 cpu", "", "finished", score)

    [finding] = check([facts(2.0), facts(2.0001)], [facts(1.7999), facts(1.7998)], plausible_gain=0.1).findings
    assert finding.sentence.startswith("a gain of 10.01% is above the 10.00% that is believed")
    [plain] = check([facts(2.0), facts(2.0001)], [facts(1.5), facts(1.5001)], plausible_gain=0.1).findings
    assert plain.sentence.startswith("a gain of 25.0% is above the 10% that is believed")


@pytest.mark.parametrize(
    ("interval", "margin", "shown"),
    [
        ((0.12, 0.15), 0.10, ("+12.0% … +15.0%", "+10%")),
        ((0.1003, 0.15), 0.10, ("+10.03% … +15.00%", "+10.00%")),
        ((-0.00001, 0.05), 0.10, ("0.0% … +5.0%", "+10%")),
    ],
)
def test_a_guard_just_beyond_its_margin_shows_that_it_is_beyond(
    interval: tuple[float, float], margin: float, shown: tuple[str, str]
) -> None:
    row = guard_row(
        GuardRecord(metric="parameters", baseline=1e6, candidate=1.1e6, change=0.1, interval=interval, margin=margin,
                    status="exceeded")
    )  # fmt: skip
    assert (row.interval, row.margin) == shown
