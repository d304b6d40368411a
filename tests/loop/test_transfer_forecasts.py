"""Predictions of transfer beside what came: inside or outside the interval, a tally, and how often it should hold."""

import math
import re

import numpy as np
import pytest
from django.test import Client

from research_app.evidence.evidence_document import SavingsRecord, TransferRecord
from research_app.evidence.transfer import Forecast, RungSaving, coverage_of, predict
from research_app.loop.scale_up.scale_up import forecast_of, forecasts_of
from research_app.models import Candidate, Evidence, Project, ScaleUp, Stage
from tests.factories import make_candidate, make_project, make_user
from tests.ladder_project import CONFIG, approve, finish, fresh

LOW, HIGH = 0.12, 0.50


@pytest.mark.parametrize(
    ("came", "inside"), [(0.31, True), (LOW, True), (HIGH, True), (0.1199, False), (0.51, False), (-0.2, False)]
)
def test_what_came_is_inside_or_outside_the_interval_that_was_shown(came: float, inside: bool) -> None:
    assert Forecast(0.31, LOW, HIGH, came).inside is inside


def test_the_tally_says_how_many_held_and_how_sure_that_is() -> None:
    held, missed = Forecast(0.3, 0.1, 0.5, 0.2), Forecast(0.3, 0.1, 0.5, 0.0)
    assert coverage_of([]) is None
    few = coverage_of([held, held, missed])
    assert few is not None and (few.inside, few.of) == (2, 3) and few.low < 0.3 and few.high > 0.95 and not few.too_narrow
    many = coverage_of([held] * 20 + [missed] * 10)
    assert many is not None and many.share == pytest.approx(2 / 3) and many.too_narrow


def test_the_interval_of_a_measurement_holds_95_percent_of_the_measurements() -> None:
    """Savings move between rungs as assumed, and what is measured has an error of its own: that counts too."""
    rng = np.random.default_rng(3)
    covered = bare = 0
    for _ in range(3000):
        slope, level, error = rng.normal(0, 0.03), rng.normal(0.1, 0.1), 0.04
        small = RungSaving("S", 1.0, level + rng.normal(0, error), error)
        came = level + slope * math.log(8) + rng.normal(0, error)
        low, high = predict([small], 8.0, measured_with=error).interval
        covered += low <= came <= high
        low, high = predict([small], 8.0).interval
        bare += low <= came <= high
    assert 0.938 < covered / 3000 < 0.962
    assert bare / 3000 < 0.92, "the interval of the true saving is no interval of what is measured"


def test_evidence_of_before_predictions_were_kept_is_told_from_the_rung_below() -> None:
    below = {"rung": "S", "compute": 1.0, "saved": 0.2, "standard_error": 0.02}
    transfer = TransferRecord.read({"below": below, "compute": 8.0, "passed": True})
    old = forecast_of(transfer, SavingsRecord(saved=0.18, low=0.1, high=0.26))
    assert old is not None and old.predicted == pytest.approx(0.2) and old.inside
    assert forecast_of(TransferRecord(below=None), SavingsRecord(saved=0.1)) is None
    assert forecast_of(transfer, SavingsRecord(sentence="the curve is flat")) is None
    assert forecast_of(None, None) is None


def text_of(html: bytes) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.decode()))


@pytest.fixture
def project() -> Project:
    return make_project("foretold", ladder=CONFIG["ladder"], scale_up={"budget_hours": 50, "currency": "EUR"})


def scaled_up(project: Project, gain: float, place: int) -> Candidate:
    edit = ("train.py", "WIDTH = 96", f"WIDTH = {100 + place}")
    candidate = make_candidate(project, edits=[edit], stage=Stage.SHORTLISTED, verdict="solid")  # type: ignore[arg-type]
    below = {"saved": 0.2, "low": 0.16, "high": 0.24, "extrapolated": False}
    evidence = fresh(candidate).evidence
    assert evidence
    evidence.numbers["savings"] = below
    evidence.save()
    step = approve(fresh(candidate), make_user(f"grace{place}"))
    finish(ScaleUp.objects.get(pk=step.pk), gain)
    return fresh(candidate)


@pytest.mark.django_db(transaction=True)
def test_the_page_marks_an_outcome_inside_and_one_outside_and_counts_both(project: Project) -> None:
    near, far = scaled_up(project, 0.02, 1), scaled_up(project, 0.09, 2)
    first, second = forecasts_of(project)
    assert first.inside and not second.inside and first.predicted == pytest.approx(0.2)
    client = Client()
    client.force_login(make_user("hedy"))
    pages = {c.pk: text_of(client.get(f"{c.get_absolute_url()}scale-up/").content) for c in (near, far)}
    assert "✓ inside" in pages[near.pk] and "outside" not in pages[near.pk]
    assert "! outside" in pages[far.pk]
    for page in (*pages.values(), text_of(client.get("/projects/foretold/shortlist/").content)):
        assert "1 of 2 outcomes lay inside their 95% interval (50%" in page


@pytest.mark.django_db(transaction=True)
def test_what_was_predicted_is_kept_in_the_evidence_and_covered_by_its_hash(project: Project) -> None:
    scaled_up(project, 0.02, 1)
    evidence = Evidence.objects.get(scale="M")
    kept = evidence.numbers["transfer"]["predicted"]
    assert kept["low"] < kept["saved"] < kept["high"] and evidence.content_hash == evidence.compute_hash()
    evidence.numbers["transfer"]["predicted"]["low"] = -1.0
    assert evidence.content_hash != evidence.compute_hash()


@pytest.mark.django_db(transaction=True)
def test_health_hides_what_was_saved_and_counts_no_prediction(project: Project) -> None:
    candidate = scaled_up(project, 0.02, 1)
    Evidence.objects.filter(scale="M").update(verdict="invalid")
    assert forecasts_of(project) == []
    client = Client()
    client.force_login(make_user("hedy"))
    html = client.get(f"{candidate.get_absolute_url()}scale-up/").content.decode()
    row = text_of(html.split("<tbody>", 1)[1].split("</tr>")[1].encode())
    assert "less time" not in row and "inside" not in row


@pytest.mark.django_db(transaction=True)
def test_a_saving_just_short_of_what_passes_reads_as_short(project: Project) -> None:
    candidate = scaled_up(project, 0.02, 1)
    evidence = Evidence.objects.get(scale="M")
    evidence.numbers["savings"] |= {"saved": 0.0741, "low": 0.06, "high": 0.09}
    evidence.numbers["transfer"] |= {"promised": 0.1488, "passed": False}
    evidence.save()
    client = Client()
    client.force_login(make_user("hedy"))
    page = text_of(client.get(f"{candidate.get_absolute_url()}scale-up/").content)
    assert "7.41% less time" in page and "7.44% passes" in page
