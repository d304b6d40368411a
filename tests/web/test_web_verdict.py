"""The verdict card: health before effect, every number of the frozen evidence in words, and nothing where it is missing."""

import re
from typing import Any

import pytest
from django.test import Client

from research_app.evidence.evidence_document import GuardRecord, LookRecord, SavingsRecord, SourceRecord
from research_app.models import Candidate, Evidence, Project, Run, Stage, Verdict
from research_app.web.candidate.interim_looks import looks_chart
from research_app.web.candidate.verdict import Health, Saving, guard_row, source_row
from tests.factories import make_candidate

pytestmark = pytest.mark.django_db
DESK = "/projects/demo/candidates/1/"


def text(client: Client, address: str = DESK) -> str:
    """What a person reads on the page, without tags."""
    response = client.get(address)
    assert response.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def change(candidate: Candidate, **numbers: Any) -> Evidence:
    """Other numbers in the candidate's evidence."""
    assert candidate.evidence
    candidate.evidence.numbers |= numbers
    candidate.evidence.save()
    return candidate.evidence


def test_confirmed_evidence_counts_the_looks_and_the_fresh_seeds_of_both_arms(client: Client, project: Project) -> None:
    make_candidate(project, effect=0.033, runs=3, verdict=Verdict.SOLID)
    page = text(client)
    assert "n = 3 + 5 against 4 + 5" in page
    assert "the fresh ones on hidden text" in page
    assert "run-to-run noise σ 0.0071 (0.0047 … 0.015, 7 df)" in page
    assert "C-1, fresh seeds" in page
    assert "baseline, fresh seeds" in page


def test_the_looks_are_drawn_against_the_boundary_and_told_in_words(client: Client, project: Project) -> None:
    candidate = make_candidate(project, effect=0.012, runs=3)
    page = client.get(DESK).content.decode()
    assert candidate.evidence
    looks = candidate.evidence.numbers["looks"]
    assert page.count("<circle") == len(looks) + 1  # and one on the interval's bar
    for look in looks:
        assert f"run {look['n']}: z = {look['z']:.2f}, boundary {look['boundary']:.2f}" in page


def test_a_crossed_boundary_is_said_and_coloured() -> None:
    looks = [LookRecord(n=1, z=2.0, boundary=4.2), LookRecord(n=2, z=4.0, boundary=3.5)]
    assert looks_chart(looks, [4.2, 3.5, 3.2]).count('class="crossed"') == 1
    assert "The boundary was crossed." in looks_chart(looks, [4.2, 3.5, 3.2])
    assert "The boundary was not crossed." in looks_chart(looks[:1], [4.2, 3.5, 3.2])


@pytest.mark.parametrize("z", [-30.0, 0.0, 4.0, 500.0])
def test_however_far_a_look_lies_it_is_drawn_inside_the_chart(z: float) -> None:
    chart = looks_chart([LookRecord(n=1, z=z, boundary=4.2)], [4.2, 3.5, 3.2])
    heights = [float(y) for y in re.findall(r'cy="([-\d.]+)"', chart)] + [float(y) for y in re.findall(r",(-?[\d.]+)", chart)]
    assert all(0 <= y <= 88 for y in heights)


def test_what_would_settle_an_open_case_is_said(client: Client, project: Project) -> None:
    change(make_candidate(project, effect=0.012), settle="2 more runs, about 40 s of device time")
    assert "To settle it: 2 more runs, about 40 s of device time" in text(client)


def test_one_of_how_many_tries_it_was_is_said(client: Client, project: Project) -> None:
    change(make_candidate(project), tried=24)
    assert "tried 1 of 24 since the last landing" in text(client)


def test_time_saved_stands_beside_the_effect_and_says_when_it_is_extrapolated(client: Client, project: Project) -> None:
    candidate = make_candidate(project, effect=0.033, verdict=Verdict.SOLID)
    change(candidate, savings={"saved": 0.31, "low": 0.27, "high": 0.35, "extrapolated": False})
    page = text(client)
    assert "31% less time" in page
    assert "( 27% … 35% )" in page
    assert "extrapolated" not in page
    change(candidate, savings={"saved": 0.31, "low": 0.27, "high": 0.35, "extrapolated": True})
    assert "extrapolated" in text(client)


def test_why_time_saved_cannot_be_said(client: Client, project: Project) -> None:
    change(make_candidate(project, effect=0.033, verdict=Verdict.SOLID), savings={"sentence": "3 budgets are needed"})
    assert "Time saved cannot be said: 3 budgets are needed." in text(client)


def test_time_that_is_lost_is_said_to_be_lost() -> None:
    lost = Saving.of(SavingsRecord(saved=-0.25, low=-20.0, high=-0.1))
    assert lost
    assert (lost.words, lost.interval, lost.tone) == ("25% more time", "below −999% … −10%", "bad")
    assert Saving.of(None) is None


def test_health_counts_its_checks_and_says_which_were_not_made(client: Client, project: Project) -> None:
    candidate = make_candidate(project)
    assert "Health 14/14 2 not made" in text(client)
    for run in Run.objects.filter(patch_set=candidate.patch_set):
        run.facts |= {"findings": [], "probes": {"causality": {"ok": True, "reason": ""}}}
        run.save()
    page = text(client)
    assert "Health 16/16" in page
    assert "not made" not in page


def test_what_invalidates_the_evidence_is_listed_and_no_number_is_shown(client: Client, project: Project) -> None:
    candidate = make_candidate(project, effect=0.05, runs=2, verdict=Verdict.INVALID, stage=Stage.INVALID)
    findings = [
        {"rule": "loss over its minimum", "sentence": "the loss rose (seed 1)"},
        {"rule": "data", "sentence": "two data"},
    ]
    change(candidate, health={"state": "invalid", "findings": findings})
    page = text(client)
    assert "Not comparable." in page
    assert "the loss rose (seed 1)" in page
    assert "two data" in page
    assert "z after each run" not in page
    assert "Guards" not in page
    assert "By source" not in page


def test_a_detectors_warning_fails_the_check_of_the_detectors() -> None:
    finding = {"rule": "hidden work", "sentence": "far more time than stated"}
    health = Health.of(Evidence(numbers={"health": {"state": "invalid", "findings": [finding]}}), [])
    assert health
    assert [check.words for check in health.checks if check.passed is False] == ["no detector calls a run invalid"]


def test_guards_are_rows_with_margin_and_status_in_words(client: Client, project: Project) -> None:
    candidate = make_candidate(project, runs=2)
    page = text(client)
    for words in ("peak memory", "tokens/s", "parameters", "FLOPs per token", "−10%", "+10%", "✓ within"):
        assert words in page
    assert candidate.evidence
    rows = candidate.evidence.numbers["guards"]
    change(candidate, guards=[rows[0] | {"status": "exceeded", "change": 0.31}])
    page = text(client)
    assert "+31.0%" in page
    assert "! exceeded" in page


def test_a_guard_that_ran_once_has_no_interval() -> None:
    row = GuardRecord(metric="peak_memory", baseline=4e8, candidate=5e8, change=0.25, margin=0.1, status="uncertain")
    assert guard_row(row).interval == ""


def test_who_pays_for_a_gain_is_shown_with_a_gain_below_0() -> None:
    row = SourceRecord(
        source="web", baseline=2.0, candidate=2.02, effect=-0.02, interval=(-0.03, -0.01), hurt=True, status="uncertain"
    )
    drawn = source_row(row.model_copy(update={"margin": 0.03}))
    assert (drawn.gain.text, drawn.gain.interval) == ("−0.0200", "−0.0300 … −0.0100")
    assert drawn.status == "pays for the gain"
    assert source_row(row).status == "pays for the gain", "evidence of before margins were kept"
    assert source_row(row.model_copy(update={"margin": 0.015})).status == "beyond its margin"
    assert source_row(row.model_copy(update={"status": "exceeded"})).status == "beyond its margin"


def test_evidence_of_another_policy_says_so(client: Client, project: Project) -> None:
    make_candidate(project)
    assert "policy version" not in text(client)
    Project.objects.update(policy_version=3)
    assert "Judged by policy version 1; the project uses version 3 now." in text(client)


def test_old_evidence_without_its_numbers_is_shown_as_far_as_it_goes(client: Client, project: Project) -> None:
    candidate = make_candidate(project, effect=0.012)
    assert candidate.evidence
    candidate.evidence.numbers = {}
    candidate.evidence.save()
    page = text(client)
    assert "n = 1 against 4" in page
    assert f"95% interval {candidate.evidence.low:+.4f} … {candidate.evidence.high:+.4f}".replace("-", "−") in page
    assert "Health:" not in page
    assert "since the last landing" not in page


def test_a_contradicted_hypothesis_and_changed_constants_stand_with_the_measured_facts(
    client: Client, project: Project
) -> None:
    moved = {
        "knobs": {"train.py:LEARNING_RATE": 0.004, "train.py:DEPTH": 3},
        "was": {"train.py:LEARNING_RATE": 0.003, "train.py:DEPTH": 3},
    }
    candidate = make_candidate(project, details=moved)
    change(
        candidate,
        contradictions=[
            {"said": "dim about 512", "measured": "", "sentence": "The hypothesis says “<b>”, but the width is 640."}
        ],
    )
    response = client.get(DESK).content.decode()
    assert "The hypothesis says “&lt;b&gt;”, but the width is 640." in response
    assert "WARMUP 0.05 0.02 constant" in text(client)  # as the diff has it
    assert "DEPTH" not in text(client)  # not as the author says


def test_hidden_scores_stand_on_the_runs_page_alone(client: Client, project: Project) -> None:
    candidate = make_candidate(project, effect=0.033, verdict=Verdict.SOLID)
    run = Run.objects.filter(patch_set=candidate.patch_set, hidden_score__isnull=False).first()
    assert run
    run.hidden_score = 7.6543
    run.save()
    assert "7.6543 on the hidden text" in text(client, f"/projects/demo/runs/{run.pk}/")
    for address in (
        DESK,
        f"{DESK}curves.json",
        "/projects/demo/progress.json",
        f"/projects/demo/runs/{run.pk}/curves.json",
        "/audit/",
    ):
        assert "7.6543" not in client.get(address).content.decode()
