"""The page of a constant: each try with its value and gain, the value of the baseline marked, agents' text as text."""

import math

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from research_app.evidence.digits import Gain
from research_app.models import Project, Verdict
from research_app.web.constant.constant import tries_of
from research_app.web.constant.value_chart import value_chart
from research_app.web.shared.effects import Effect
from tests.factories import make_candidate, make_user

pytestmark = pytest.mark.django_db
PAGE = "/projects/demo/constants/WARMUP/"


@pytest.fixture
def tess(client: Client) -> Client:
    client.force_login(make_user("tess"))
    return client


def test_each_try_stands_with_its_value_and_gain_and_the_baselines_value_is_marked(project: Project, tess: Client) -> None:
    small = make_candidate(project, effect=0.02, title="<script>alert(1)</script>")
    large = make_candidate(project, edits=[("train.py", "WARMUP = 0.05", "WARMUP = 0.2")], effect=-0.03)
    ill = make_candidate(project, edits=[("train.py", "WARMUP = 0.05", "WARMUP = 0.3")], effect=0.9, verdict=Verdict.INVALID)
    make_candidate(project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")])
    tries = tries_of(project, "WARMUP")
    assert [(each.candidate, each.value) for each in tries] == [(ill, 0.3), (large, 0.2), (small, 0.02)]
    page = tess.get(PAGE).content.decode()
    assert "The baseline has <code>0.05</code>" in page and "0.05 → 0.02" in page
    assert page.count("<circle") == 2 + sum(bool(each.row.effect) for each in tries), "health hides a gain in the chart too"
    assert 'class="now"' in page and "<script>alert" not in page
    assert tess.get("/projects/demo/constants/NOBODY/").status_code == 404


def test_its_queries_do_not_grow_with_the_tries(project: Project, tess: Client) -> None:
    make_candidate(project)
    with CaptureQueriesContext(connection) as few:
        tess.get(PAGE)
    for value in range(1, 6):
        make_candidate(project, edits=[("train.py", "WARMUP = 0.05", f"WARMUP = 0.{value}")])
    with CaptureQueriesContext(connection) as many:
        assert tess.get(PAGE).status_code == 200
    assert len(many) <= len(few)


@pytest.mark.parametrize("gains", [(math.inf, -math.inf, math.nan), (0.1, math.inf, 0.2)])
def test_gains_that_are_not_finite_are_no_part_of_the_drawing(gains: tuple[float, ...]) -> None:
    points = [(0.1 * at, Effect(Gain(gain, None, -math.inf, gain)), f"C-{at}") for at, gain in enumerate(gains)]
    drawn = str(value_chart(points, 0.05, "loss"))
    assert drawn.count("<circle") == (2 if math.isfinite(gains[0]) else 0)
    assert "nan" not in drawn.lower() and 'y1="inf' not in drawn and 'y1="-inf' not in drawn
