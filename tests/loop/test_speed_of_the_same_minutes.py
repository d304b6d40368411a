"""Speed is compared between runs of the same minutes alone: a busy machine is no fault of a candidate."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from research_app.evidence.guards import GuardResult
from research_app.loop.check.examine import claims_of
from research_app.loop.judge.arms import Arms
from research_app.loop.judge.guard_check import guards_of
from research_app.loop.judge.same_minutes import baseline_beside, of_same_minutes
from research_app.models import Candidate, Project, Run
from tests.factories import make_candidate, make_device, make_project, make_run, make_user

pytestmark = pytest.mark.django_db
FAST, SLOW = 62_000, 31_000


@pytest.fixture
def project() -> Project:
    return make_project(reference_runs=0)


def run(project: Project, seed: int, speed: float, ago: int, candidate: Candidate | None = None, **facts: Any) -> Run:
    """A run that ended so many minutes ago."""
    ended = timezone.now() - timedelta(minutes=ago)
    made = make_run(
        project.tip(), patch_set=candidate.patch_set if candidate else None, seed=seed, train_seconds=60.0,
        started_at=ended - timedelta(minutes=1), finished_at=ended,
    )  # fmt: skip
    made.facts = made.facts | {"tokens_per_second": speed, **facts}
    made.save()
    return made


def speed_row(project: Project, reference: list[Run], mine: list[Run]) -> GuardResult:
    same = of_same_minutes(baseline_beside(mine), mine)
    return next(row for row in guards_of(project, Arms(reference, mine), same) if row.metric == "tokens_per_second")


@pytest.fixture
def candidate(project: Project) -> Candidate:
    return make_candidate(project, effect=None, hypothesis="It is faster: higher tokens per second")


def test_reference_runs_of_an_hour_ago_says_nothing_of_speed(project: Project, candidate: Candidate) -> None:
    reference = [run(project, seed, FAST + seed, ago=70) for seed in range(1, 5)]
    mine = [run(project, seed, SLOW + seed, ago=2, candidate=candidate) for seed in (1, 2)]
    row = speed_row(project, reference, mine)
    assert (row.status, row.change) == ("not comparable", None)
    assert row.note.startswith("not comparable: no run of the baseline within 10 minutes on the same kind of device")
    others = {each.metric: each.status for each in guards_of(project, Arms(reference, mine), of_same_minutes([], mine))}
    assert others["peak_memory"] == "within", "what the load does not bend is compared as ever"


def test_runs_beside_each_other_on_a_busy_machine_are_compared_with_each_other(project: Project, candidate: Candidate) -> None:
    reference = [run(project, seed, FAST + seed, ago=70) for seed in range(1, 5)]
    beside = [run(project, seed, SLOW - 10 * seed, ago=4) for seed in (11, 12)]
    mine = [run(project, seed, SLOW + 10 * seed, ago=2, candidate=candidate) for seed in (1, 2)]
    row = speed_row(project, [*reference, *beside], mine)
    assert row.status == "within" and row.baseline == pytest.approx(SLOW, rel=0.01)


def test_a_candidate_that_is_slower_than_the_runs_beside_it_is_still_said_to_be(project: Project, candidate: Candidate) -> None:
    beside = [run(project, seed, FAST - 10 * seed, ago=4) for seed in (11, 12, 13)]
    mine = [run(project, seed, SLOW + 10 * seed, ago=2, candidate=candidate) for seed in (1, 2, 3)]
    assert speed_row(project, beside, mine).status == "exceeded"


def test_another_device_in_the_same_minutes_is_no_comparison(project: Project, candidate: Candidate) -> None:
    small, large = make_device("a/train.cpu.0", description="2 cores"), make_device("b/train.cpu.0", description="64 cores")
    reference, mine = [run(project, 1, FAST, ago=4)], [run(project, 1, SLOW, ago=2, candidate=candidate)]
    Run.objects.filter(pk=reference[0].pk).update(device=large)
    Run.objects.filter(pk=mine[0].pk).update(device=small)
    assert of_same_minutes(list(Run.objects.filter(patch_set=None)), list(Run.objects.exclude(patch_set=None))).why_not
    Run.objects.filter(pk=mine[0].pk).update(device=large)
    assert not of_same_minutes(list(Run.objects.filter(patch_set=None)), list(Run.objects.exclude(patch_set=None))).why_not


def test_a_processor_that_was_shared_differently_is_named(project: Project, candidate: Candidate) -> None:
    reference = [run(project, 11, FAST, ago=4, cpu_seconds=59.0)]
    mine = [run(project, 1, SLOW, ago=2, candidate=candidate, cpu_seconds=30.0)]
    said = "not comparable: the machine was busy, the candidate's runs got 50% of a processor, the baseline's 98%"
    assert speed_row(project, reference, mine).note.startswith(said)


def test_a_claim_of_speed_is_held_against_the_runs_beside_it_alone(project: Project, candidate: Candidate) -> None:
    reference = [run(project, 1, FAST, ago=70)]
    mine = [run(project, 1, SLOW, ago=2, candidate=candidate)]
    assert claims_of(candidate, reference[0], mine[0], of_same_minutes(reference, mine)) == []
    beside = [run(project, 2, FAST, ago=3)]
    [found] = claims_of(candidate, reference[0], mine[0], of_same_minutes(beside, mine))
    assert "tokens per second" in found.sentence


def test_the_candidates_page_says_that_they_are_not_compared(client: Client, project: Project, candidate: Candidate) -> None:
    for seed in range(1, 5):
        run(project, seed, FAST, ago=70)
    run(project, 1, SLOW, ago=2, candidate=candidate)
    client.force_login(make_user())
    page = client.get(candidate.get_absolute_url()).content.decode()
    assert "no run of the baseline within 10 minutes on the same kind of device" in page
    assert "−50.0%" not in page
