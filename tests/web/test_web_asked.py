"""Numbers in addresses and forms: read in one place, so that no spelling of one is an error page."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from research_app.web.shared.query_numbers import real, whole, wholes
from tests.routes.spellings import PARAMETERS


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("007", 7),
        ("٣", 3),
        ("0", 0),
        ("²", None),
        ("-1", None),
        ("1.0", None),
        ("9" * 30, None),
        (None, None),
    ],
)
def test_a_whole_number_is_decimal_digits_alone(text: str | None, number: int | None) -> None:
    assert whole(text) == number


def test_a_whole_number_has_a_largest() -> None:
    assert (whole("999", 999), whole("1000", 999)) == (999, None)
    assert wholes(["1", "x", "3"]) == [1, 3]


@given(st.text() | st.sampled_from(PARAMETERS))
def test_no_text_is_an_error(text: str) -> None:
    number, value = whole(text), real(text)
    assert number is None or 0 <= number < 2**31
    assert value is None or math.isfinite(value)
