"""Numbers as people read them."""

from datetime import timedelta

import pytest

from research_app.evidence import digits
from research_app.evidence.digits import Gain
from research_app.web.shared import figures
from research_app.web.shared.effects import Effect, Scale


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.18731, "2.1873"), (None, "–"), (float("nan"), "–"), (-0.5, "−0.5000"), (1e-5, "0.00001"), (12345.6, "12,346")],
)
def test_scores(value: float | None, text: str) -> None:
    assert digits.score(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(139_840, "139,840"), (1_500_000, "1.5 M"), (5e11, "500 G"), (0.71, "0.71"), (None, "–"), (3, "3"), (2e18, "2×10¹⁸")],
)
def test_counts(value: float | None, text: str) -> None:
    assert figures.quantity(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (48, "48 s"), (840, "14 min"), (7200, "2 h"), (timedelta(days=3), "3 d"), (None, "–"), (-5, "0 s")],
)
def test_durations(seconds: float | timedelta | None, text: str) -> None:
    assert figures.duration(seconds) == text


def test_sizes_and_shares() -> None:
    assert [figures.size(n) for n in (412e6, 8.1e9, 900, 150_000, None)] == ["412 MB", "8.1 GB", "900 B", "150 kB", "–"]
    assert figures.percent(0.934) == "93%"
    assert figures.percent(-0.041, signed=True) == "−4.1%"


def test_one_outlier_does_not_flatten_the_other_interval_bars() -> None:
    usual = [Effect(Gain(0.01, 0.005, 0.0, 0.02), 1.0, 1, 4)] * 9
    wild = Effect(Gain(-5.0, 0.5, -6.0, -4.0), 700.0, 1, 4)
    scale = Scale.of([*usual, wild])
    assert scale.limit == pytest.approx(0.08)
    assert 'class="outside"' in scale.bar(wild)
    assert 'class="outside"' not in scale.bar(usual[0])


def test_an_interval_bar_says_in_words_what_it_shows() -> None:
    bar = Scale(0.05).bar(Effect(Gain(0.012, 0.0041, 0.004, 0.02), 1.7, 3, 4))
    assert 'aria-label="gain +0.0120, 95% interval +0.0040 … +0.0200: better"' in bar
