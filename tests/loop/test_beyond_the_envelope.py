"""A candidate whose runs used more than the envelope allows is not comparable, until a person says that it may."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from research_app.access import Role
from research_app.loop.judge.judge import judge
from research_app.loop.review.review import ReviewRefused
from research_app.loop.review.widen import suggested, widen, widenable
from research_app.models import Candidate, Event, Message, Project, Purpose, Run, Stage, Verdict, Widening
from research_app.project_file.ladder import SMALLEST
from tests.factories import BASE_SCORE, make_candidate, make_project, make_run, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    made = make_project(reference_runs=0)
    for seed in range(1, 9):
        used(make_run(made.tip(), seed=seed, score=BASE_SCORE + 0.007 * (seed % 3)), 15.0 + 0.1 * seed)
    return made


def used(run: Run, cpu_seconds: float, **facts: Any) -> Run:
    run.facts = run.facts | {"cpu_seconds": cpu_seconds, "account": "control group", **facts}
    run.save()
    return run


def judged(project: Project, cpu_seconds: float, gain: float = 0.5, **facts: Any) -> Candidate:
    """A candidate at its first look, with one run."""
    candidate = make_candidate(project, effect=None)
    Candidate.objects.filter(pk=candidate.pk).update(stage=Stage.SCREENING, evidence=None)
    patch_set = candidate.patch_set
    assert patch_set is not None
    patch_set.runs.all().delete()
    used(make_run(project.tip(), patch_set=patch_set, seed=1, score=BASE_SCORE - gain), cpu_seconds, **facts)
    judge(patch_set.pk, "a worker")
    candidate.refresh_from_db()
    return candidate


def test_a_run_that_worked_twice_as_much_makes_the_evidence_invalid_whatever_it_states(project: Project) -> None:
    candidate = judged(project, 31.0, flops=3.2e11)
    assert (candidate.stage, candidate.evidence and candidate.evidence.verdict) == (Stage.INVALID, Verdict.INVALID)
    assert candidate.evidence is not None and candidate.evidence.effect is None
    assert "processor time in one run is 31 s" in candidate.evidence.reason
    assert widenable(candidate)


def test_a_run_like_the_baselines_goes_on(project: Project) -> None:
    assert judged(project, 15.9).stage == Stage.CONFIRMING


def test_the_load_of_other_hours_accuses_nobody(project: Project) -> None:
    """The reference runs had a quiet machine an hour ago; beside the candidate one of the baseline was as slow as its own."""
    Run.objects.update(started_at=timezone.now() - timedelta(minutes=70), finished_at=timezone.now() - timedelta(minutes=69))
    used(make_run(project.tip(), seed=90, score=BASE_SCORE), 22.0)
    assert judged(project, 23.5).stage != Stage.INVALID


def test_a_person_widens_it_for_one_candidate_on_the_record_and_it_is_judged_again(project: Project) -> None:
    candidate, person = judged(project, 31.0), make_user("grace", role=Role.APPROVER)
    other = judged(project, 33.0)
    widen(candidate, person, 2.4, "It runs attention twice, and both are counted.")
    candidate.refresh_from_db()
    assert candidate.stage == Stage.SCREENING and "up to 2.4 times" in candidate.why
    event = Event.objects.get(kind="envelope widened")
    assert (event.actor, event.data["times"]) == ("grace", 2.4)
    assert Message.objects.filter(task="judge", object_id=candidate.patch_set_id or 0).exists()
    judge(candidate.patch_set_id or 0, "a worker")
    candidate.refresh_from_db()
    assert candidate.stage == Stage.CONFIRMING and candidate.evidence is not None
    assert candidate.evidence.numbers["envelope"][0]["allowed"] == 2.4
    other.refresh_from_db()
    assert other.stage == Stage.INVALID, "it was widened for one candidate"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.REVIEWER])
def test_only_an_approver_may(project: Project, role: Role) -> None:
    candidate = judged(project, 31.0)
    with pytest.raises(ReviewRefused, match="approver"):
        widen(candidate, make_user("ada", role=role), 2.4, "Please.")
    assert not Widening.objects.exists()


@pytest.mark.parametrize(("times", "reason"), [(2.4, "  "), (0.5, "x"), (1.0, "x"), (1e9, "x"), (float("nan"), "x")])
def test_it_needs_a_reason_and_a_number_that_makes_sense(project: Project, times: float, reason: str) -> None:
    candidate = judged(project, 31.0)
    with pytest.raises(ReviewRefused):
        widen(candidate, make_user("grace", role=Role.APPROVER), times, reason)


def test_what_is_invalid_for_another_reason_cannot_be_widened(project: Project) -> None:
    candidate = judged(project, 15.0, probes={"causality": {"ok": False, "reason": "", "tolerance": 0}})
    assert candidate.stage == Stage.INVALID and not widenable(candidate)
    with pytest.raises(ReviewRefused):
        widen(candidate, make_user("grace", role=Role.APPROVER), 2.0, "It is fine.")


def test_the_page_says_what_was_used_and_offers_the_form_to_those_who_may(project: Project) -> None:
    candidate = judged(project, 31.0)
    client = Client()
    client.force_login(make_user("grace", role=Role.APPROVER))
    page = client.get(candidate.get_absolute_url()).content.decode()
    assert "times the" in page and "are allowed" in page and f'value="{suggested(candidate):.2f}"' in page
    answer = client.post(f"{candidate.get_absolute_url()}widen/", {"times": "many", "reason": "x"})
    assert answer.status_code == 422 and "Write a number" in answer.content.decode()
    answer = client.post(f"{candidate.get_absolute_url()}widen/", {"times": "2.4", "reason": "Counted."})
    assert answer.status_code == 302
    other = Client()
    other.force_login(make_user("vi", role=Role.VIEWER))
    third = judged(project, 31.0)
    assert "Widen and judge again" not in other.get(third.get_absolute_url()).content.decode()
    assert other.post(f"{third.get_absolute_url()}widen/", {"times": "2.4", "reason": "x"}).status_code == 403


def test_the_command_line_can_too_as_somebody_who_may(project: Project) -> None:
    candidate = judged(project, 31.0)
    make_user("grace", role=Role.APPROVER)
    words = [project.slug, str(candidate.number), "--times", "2.4", "--reason", "Counted."]
    with pytest.raises(CommandError, match="no active account"):
        call_command("candidate", "widen", *words, "--by", "nobody")
    call_command("candidate", "widen", *words, "--by", "grace")
    assert Widening.objects.get().times == 2.4


def test_the_step_is_the_one_that_was_invalid(project: Project) -> None:
    candidate = judged(project, 31.0)
    assert candidate.patch_set is not None
    used(make_run(project.tip(), patch_set=candidate.patch_set, seed=10_001, purpose=Purpose.CONFIRM), 31.0)
    widen(candidate, make_user("grace", role=Role.APPROVER), 2.4, "Counted.")
    candidate.refresh_from_db()
    assert candidate.stage == Stage.CONFIRMING
    assert {run.scale for run in candidate.patch_set.runs.all()} == {SMALLEST}
