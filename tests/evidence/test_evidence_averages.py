"""Means and spreads of numbers of any size: as the standard library has them where that can say them."""

import math
import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from research_app.evidence.averages import deviation, mean

ORDINARY = st.floats(-1e100, 1e100, allow_nan=False)
ANY = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(ORDINARY, min_size=1, max_size=20))
def test_the_mean_is_that_of_the_standard_library(values: Sequence[float]) -> None:
    assert mean(values) == pytest.approx(statistics.fmean(values), rel=1e-12, abs=1e-300)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_the_deviation_is_that_of_the_standard_library(values: Sequence[float]) -> None:
    assert deviation(values) == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-12)


@given(st.lists(ANY, max_size=20))
def test_no_numbers_are_an_error(values: Sequence[float]) -> None:
    assert (mean(values) is None) == (not values)
    assert (deviation(values) is None) == (len(values) < 2)


@pytest.mark.parametrize("value", [1e308, -1e308, 1.7976931348623157e308, 5e-324, 0.0])
def test_equal_numbers_of_any_size_are_their_own_mean_without_spread(value: float) -> None:
    assert mean([value] * 7) == value
    assert deviation([value] * 7) == 0.0


def test_what_is_not_finite_has_no_mean() -> None:
    assert math.isnan(mean([1.0, math.inf]) or 0.0)
    assert math.isnan(deviation([1.0, math.nan]) or 0.0)
