"""What curves say at one place: means with Student's interval, differences with Welch's, against SciPy's own."""

from collections.abc import Sequence

import numpy as np
import pytest
from django.test import Client
from scipy import stats

from research_app.web.shared.curves import Group, Logged, View
from research_app.web.shared.readings import Reading, readings
from tests.factories import make_candidate, make_project, make_user

RANDOM = np.random.default_rng(7)
STEPS = np.arange(0, 2001, 100, dtype=float)


def run(level: float, steps: np.ndarray = STEPS) -> Logged:
    return {"val_loss": (steps, level + RANDOM.normal(0, 0.05, len(steps)))}


def group(key: str, level: float, n: int) -> Group:
    return Group(key, key, "candidate", [run(level) for _ in range(n)])


def at(groups: Sequence[Group], x: float, reference: str = "base", **view: object) -> dict[str, Reading]:
    return {each.key: each for each in readings(groups, "val_loss", View(**view), x, reference)}  # type: ignore[arg-type]


def logged_at(group: Group, x: float) -> np.ndarray:
    return np.array([run["val_loss"][1][list(run["val_loss"][0]).index(x)] for run in group.runs])


def test_means_and_intervals_are_those_of_scipy() -> None:
    base, mine = group("base", 1.7, 4), group("mine", 1.6, 6)
    found = at([base, mine], 1000.0)
    values, others = logged_at(mine, 1000.0), logged_at(base, 1000.0)
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    assert found["mine"].value == pytest.approx(values.mean())
    assert found["mine"].half == pytest.approx((high - low) / 2)
    welch = stats.ttest_ind(values, others, equal_var=False).confidence_interval(0.95)
    assert (found["mine"].low, found["mine"].high) == pytest.approx((welch.low, welch.high))
    assert found["mine"].n == 6 and found["base"].difference is None


def test_between_points_it_is_the_straight_line_and_outside_nothing() -> None:
    mine = group("mine", 1.6, 3)
    half_way = (logged_at(mine, 1000.0) + logged_at(mine, 1100.0)) / 2
    assert at([mine], 1050.0)["mine"].value == pytest.approx(half_way.mean())
    assert at([mine], 2000.1) == {} and at([mine], -1.0) == {}


def test_one_run_has_a_value_and_no_interval() -> None:
    found = at([group("base", 1.7, 3), group("mine", 1.6, 1)], 500.0)
    assert found["mine"].half is None and found["mine"].low is None
    assert found["mine"].difference is not None


def test_the_lowest_stands_first_and_a_view_that_smooths_changes_nothing() -> None:
    groups = [group("base", 1.7, 3), group("worse", 1.9, 3), group("better", 1.5, 3)]
    assert list(at(groups, 700.0)) == ["better", "base", "worse"]
    assert at(groups, 700.0, smoothing=0.99, difference=True, band="all") == at(groups, 700.0)


def test_any_group_can_be_the_reference_and_an_unknown_one_is_none() -> None:
    groups = [group("base", 1.7, 3), group("mine", 1.5, 3)]
    one, other = at(groups, 700.0)["mine"].difference, at(groups, 700.0, "mine")["base"].difference
    assert one is not None and other is not None
    assert one == pytest.approx(-other)
    assert all(each.difference is None for each in at(groups, 700.0, "nobody").values())


def test_numbers_of_any_size_raise_nothing() -> None:
    def level(*values: float) -> Group:
        return Group("mine", "mine", "candidate", [{"val_loss": (STEPS[:2], np.array([v, v]))} for v in values])

    for values in ((1e308, -1e308), (1e200, 2e200), (5e-324, 0.0), (np.inf, 1.0), (np.nan, 1.0), (1e308, 1e308, 1e308)):
        for x in (0.0, 50.0, 1e300):
            assert all(np.isfinite(each.value) for each in at([group("base", 1.7, 2), level(*values)], x).values())


@pytest.mark.django_db
def test_the_address_asks_for_them_and_nonsense_asks_for_none() -> None:
    make_candidate(make_project(), runs=3)
    client = Client()
    client.force_login(make_user())
    address = "/projects/demo/candidates/1/curves.json"
    answer = client.get(address, {"at": "10"}).json()
    assert {row["key"] for row in answer["readings"]} <= {"base", "candidate"} and answer["reference"] == "base"
    assert client.get(address, {"at": "10", "ref": "candidate"}).json()["reference"] == "candidate"
    for asked in ("", "x", "nan", "inf", "1e999"):
        assert client.get(address, {"at": asked}).json()["readings"] is None
    assert client.get(address, {"at": "10"}).headers["ETag"] != client.get(address, {"at": "11"}).headers["ETag"]
