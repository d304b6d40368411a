"""What is wanted next follows from the outcomes of earlier tries: seeded draws, shares, and a plateau that is said."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from agent.proposal import CATEGORIES, MODES
from agent.steering import PLATEAU, arms_of, chances, drawn_category, drawn_mode, plateau_of

GOOD = [("optimiser", True)] * 8
BAD = [("data", False)] * 12


def test_before_anything_was_tried_every_category_is_drawn_about_equally_often() -> None:
    found = chances(arms_of([]))
    assert set(found) == set(CATEGORIES)
    assert sum(found.values()) == pytest.approx(1.0)
    assert all(abs(chance - 1 / len(CATEGORIES)) < 0.04 for chance in found.values())


def test_a_category_whose_candidates_were_solid_is_drawn_more_often_and_one_without_less() -> None:
    found = chances(arms_of([*GOOD, *BAD]))
    assert found["optimiser"] > 0.6
    assert found["data"] < 0.5 * found["schedule"]
    assert chances(arms_of(BAD))["data"] > 0, "no category is excluded for good"


def test_the_same_seed_draws_the_same_and_others_differ() -> None:
    arms = arms_of(BAD)
    assert drawn_category(arms, "demo 7") == drawn_category(arms, "demo 7")
    assert len({drawn_category(arms, f"demo {turn}") for turn in range(60)}) >= 5


def test_old_outcomes_count_less_than_new_ones() -> None:
    early = arms_of([*GOOD, *BAD * 20])
    late = arms_of([*BAD * 20, *GOOD])
    rate = {name: next(arm.rate for arm in arms if arm.category == "optimiser") for name, arms in (("e", early), ("l", late))}
    assert rate["e"] < rate["l"]
    assert [arm.tried for arm in early] == [arm.tried for arm in late], "what is shown counts all of them"


def test_the_bandit_finds_the_best_category_and_spends_most_draws_there() -> None:
    truth = dict.fromkeys(CATEGORIES, 0.02) | {"architecture": 0.35, "schedule": 0.15}
    chance = random.Random(5)
    outcomes: list[tuple[str, bool]] = []
    for turn in range(300):
        category = drawn_category(arms_of(outcomes), f"turn {turn}")
        outcomes.append((category, chance.random() < truth[category]))
    counts = Counter(category for category, _ in outcomes)
    assert counts.most_common(1)[0][0] == "architecture"
    assert sum(solid for _, solid in outcomes) > 2 * 300 * sum(truth.values()) / len(truth), "twice what drawing blindly finds"


def test_modes_come_as_often_as_their_shares_say() -> None:
    shares = {"explore": 0.5, "exploit": 0.25, "combine": 0.15, "simplify": 0.1}
    counts = Counter(drawn_mode(shares, f"demo {turn}") for turn in range(2000))
    assert set(counts) == set(MODES)
    assert all(abs(counts[mode] / 2000 - share) < 0.03 for mode, share in shares.items())
    assert {drawn_mode({"explore": 1.0, "combine": 0.0}, str(turn)) for turn in range(50)} == {"explore"}


def test_a_plateau_is_so_many_outcomes_in_a_row_without_a_solid_one() -> None:
    assert plateau_of([]) is None
    assert plateau_of([False] * (PLATEAU - 1)) is None
    assert plateau_of([False] * 40 + [True] + [False] * (PLATEAU - 1)) is None
    found = plateau_of([True] + [False] * PLATEAU)
    assert found is not None
    assert found.outcomes == PLATEAU
    assert found.at_most == pytest.approx(1 - 0.05 ** (1 / PLATEAU))
    assert f"none of the last {PLATEAU} judged candidates was solid" in found.sentence
    assert "one in 9" in found.sentence
