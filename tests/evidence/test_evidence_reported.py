"""What a table of reported scores is worth, told from its rows alone."""

import math
import random
from datetime import UTC, datetime, timedelta

import pytest
from scipy.stats import norm

from research_app.evidence.reported import Reported, audit_history, expected_best
from research_app.histories.bring_in import reported_rows
from research_app.histories.results_table import read_table
from tests.histories_samples import PUBLISHED

BEGIN = datetime(2026, 3, 8, 10, 0, tzinfo=UTC)


def rows(*cells: tuple[str, float | None] | tuple[str, float | None, str]) -> list[Reported]:
    """Rows of (outcome, score, words)."""
    return [Reported(n, each[0], each[1], each[2] if len(each) > 2 else f"change {n}") for n, each in enumerate(cells, 1)]


def scale_up(seed: int, count: int = 120, sigma: float = 0.0005, real: float = 0.0) -> list[Reported]:
    """A loop that keeps what scores lower; every tenth change gains `real`, the others nothing."""
    draw = random.Random(seed)
    true = best = 1.0
    found = [Reported(1, "baseline", best + draw.gauss(0, sigma))]
    best = found[0].score or 0.0
    for number in range(2, count + 2):
        candidate = true - (real if number % 10 == 0 else 0.0)
        score = candidate + draw.gauss(0, sigma)
        kept = score < best
        found.append(Reported(number, "keep" if kept else "discard", score, f"change {number}"))
        if kept:
            best, true = score, candidate
    return found


@pytest.mark.skipif(PUBLISHED is None, reason="the published history does not lie beside the checkout")
def test_14_of_the_22_keeps_of_the_published_history_are_smaller_than_its_one_seed_change() -> None:
    assert PUBLISHED is not None
    table = read_table(PUBLISHED.read_bytes(), "results.tsv")
    audit = audit_history(reported_rows(table.rows), lower_is_better=True)
    assert audit.noise and audit.noise.method == "repeats" and audit.noise.rests_on == (14, 15)
    assert audit.noise.floor == pytest.approx(0.973799 - 0.973104)
    assert (len(audit.smaller), len(audit.keeps)) == (14, 22)
    assert audit.estimates[1].method == "spread" and 0.0006 < audit.estimates[1].sigma < 0.0009
    assert audit.concentration and audit.concentration.total == pytest.approx(0.997900 - 0.969686)
    assert (
        audit.concentration.top[1] == pytest.approx(0.011859 / audit.concentration.positive) and audit.concentration.half == 2
    )
    assert audit.idle is None


def test_shares_of_the_gain_are_told_for_as_many_keeps_as_there_are() -> None:
    audit = audit_history(rows(("baseline", 1.0), *[("keep", 1.0 - 0.1 * number) for number in range(1, 5)]), True)
    assert audit.concentration
    assert audit.concentration.top == {1: pytest.approx(0.25), 3: pytest.approx(0.75)}


def test_an_attempt_is_held_against_what_was_kept_before_it() -> None:
    audit = audit_history(
        rows(("baseline", 1.0), ("discard", 1.2), ("crash", None), ("keep", 0.9), ("discard", 0.95), ("keep", 0.92)), True
    )
    assert [(each.row.number, each.incumbent.number, round(each.gain, 3)) for each in audit.attempts] == [
        (2, 1, -0.2), (4, 1, 0.1), (5, 4, -0.05), (6, 4, -0.02),
    ]  # fmt: skip


def test_a_higher_score_is_a_gain_where_higher_is_better() -> None:
    audit = audit_history(rows(("baseline", 0.5), ("keep", 0.6)), False)
    assert audit.keeps[0].gain == pytest.approx(0.1)


@pytest.mark.parametrize(
    "words",
    [
        "random seed 42 to 137",
        "rerun",
        "re-run of the best",
        "seed 7",
        "same config, another seed",
        "repeat",
        "no-op",
        "A/A",
        "replicate the best",
        "seed 1 -> 2",
        "rerun with seed = 3 to see the noise",
    ],
)
def test_words_of_a_repeat_are_understood(words: str) -> None:
    audit = audit_history(rows(("baseline", 1.0), ("discard", 1.001, words)), True)
    assert audit.attempts[0].repeats
    assert audit.noise and audit.noise.sigma == pytest.approx(0.001 / math.sqrt(2))


@pytest.mark.parametrize(
    "words",
    ["seed the embedding from the tokenizer", "depth 9", "depth 9, seed 7",
     "seeded initialisation", "replicate padding", "repeated layers share weights", "norm of seeds", "width 96 rerun"],
)  # fmt: skip
def test_words_of_a_change_are_no_repeat(words: str) -> None:
    assert not audit_history(rows(("baseline", 1.0), ("discard", 1.001, words)), True).attempts[0].repeats


def test_the_same_commit_twice_is_a_repeat() -> None:
    told = [Reported(n, o, s, "x", c) for n, o, s, c in ((1, "baseline", 1.0, "aaaa"), (2, "keep", 0.9, "bbbb"),
            (3, "discard", 1.004, "aaaa"))]  # fmt: skip
    audit = audit_history(told, True)
    assert audit.noise and audit.noise.rests_on == (1, 3) and audit.noise.floor == pytest.approx(0.004)
    assert audit.near_misses == ()  # a repeat is no idea that was missed


def test_the_spread_of_null_changes_gives_the_noise_that_they_were_drawn_with() -> None:
    found = [audit_history(scale_up(seed), True).noise for seed in range(40)]
    sigmas = [each.sigma for each in found if each and each.method == "spread"]
    assert len(sigmas) == 40 and sum(sigmas) / 40 == pytest.approx(0.0005, rel=0.1)


def test_real_gains_stand_out_of_the_floor_and_null_ones_rarely_do() -> None:
    real = [audit_history(scale_up(seed, real=0.004), True) for seed in range(20)]
    assert sum(len(each.keeps) - len(each.smaller) for each in real) / 20 > 8
    null = [audit_history(scale_up(seed), True) for seed in range(40)]
    assert sum(len(each.keeps) - len(each.smaller) for each in null) / sum(len(each.keeps) for each in null) < 0.4


def test_what_chance_alone_gains_is_what_loops_without_any_real_change_gain() -> None:
    audits = [audit_history(scale_up(seed), True) for seed in range(200)]
    gained = [each.concentration.total if each.concentration else 0.0 for each in audits]
    assert sum(gained) / 200 == pytest.approx(0.0005 * expected_best(121), rel=0.1)
    assert expected_best(2) == pytest.approx(norm.expect(lambda x: 2 * x * norm.cdf(x)), abs=0.03)


def test_without_repeats_and_with_few_results_there_is_no_floor() -> None:
    audit = audit_history(rows(("baseline", 1.0), ("keep", 0.9), ("discard", 0.95)), True)
    assert audit.noise is None and audit.smaller == () and audit.near_misses == () and audit.by_chance is None


@pytest.mark.parametrize("scores", [[], [None] * 5, [1.0] * 30, [1e100, -1e100] * 10, [5e-324, 0.0] * 10])
def test_odd_scores_break_nothing(scores: list[float | None]) -> None:
    told = [Reported(n, "keep" if n % 3 else "discard", score, "rerun") for n, score in enumerate(scores, 1)]
    audit = audit_history(told, True)
    assert all(math.isfinite(each.sigma) and each.sigma > 0 for each in audit.estimates)


def test_pauses_are_told_from_work() -> None:
    times = [0, 6, 12, 18, 24, 144, 150, 162]  # minutes; the last two rows lie two experiments apart
    numbers = [1, 2, 3, 4, 5, 6, 7, 9]
    told = [
        Reported(n, "keep", 1.0 - n / 100, "x", at=BEGIN + timedelta(minutes=t)) for n, t in zip(numbers, times, strict=True)
    ]
    idle = audit_history(told, True).idle
    assert idle and idle.typical == timedelta(minutes=6) and idle.longest_after == 5
    assert idle.share == pytest.approx(114 / 162) and idle.dated == 8


def test_times_that_run_backwards_or_are_alike_break_nothing() -> None:
    told = [Reported(n, "keep", 1.0, "x", at=BEGIN - timedelta(days=n)) for n in range(1, 9)]
    assert audit_history(told, True).idle is None
    assert audit_history([Reported(n, "keep", 1.0, "x", at=BEGIN) for n in range(1, 9)], True).idle is None
