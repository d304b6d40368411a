"""Figures that a sentence compares never read the same when they are not."""

import math

from hypothesis import given
from hypothesis import strategies as st

from research_app.evidence.apart import percent_apart, told_apart

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
