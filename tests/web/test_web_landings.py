"""The pages of landing: what waits and why, what left, the remote, ablations with their price, flags and reverts."""

import math
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from research_app.loop.judge.target import SEEDS, SHARES, measure_target, times_to_target
from research_app.models import (
    Ablation,
    BaselineVersion,
    Candidate,
    Kind,
    Landing,
    LandingState,
    Project,
    Purpose,
    Push,
    PushState,
    Stage,
    State,
)
from tests.factories import BASE_SCORE, make_candidate, make_landing, make_many, make_run, make_user

pytestmark = pytest.mark.django_db
QUEUE, BASELINE, STACKS = "/projects/demo/landings/", "/projects/demo/baseline/", "/projects/demo/stacks/"


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(make_user("ada"))
    return client


def waiting(project: Project, count: int) -> list[Landing]:
    """So many entries of the queue."""
    return [make_landing(c) for c in make_many(project, count, stage=Stage.LANDING)]


def text(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_each_entry_says_what_it_waits_for(client: Client, project: Project) -> None:
    first, second, _ = waiting(project, 3)
    shown = text(client, QUEUE)
    assert "lands as soon as a worker takes it" in shown
    assert "its turn, after C-1" in shown and "its turn, after C-2" in shown
    Landing.objects.filter(pk=first.pk).update(trouble="git could not write: no space left on device. Make room.")
    assert "no space left on device. Make room." in text(client, QUEUE)
    Landing.objects.filter(pk=first.pk).update(trouble="", state=LandingState.REJUDGING, reason="Judged again on baseline 1.")
    make_run(project.tip(), patch_set=first.patch_set, purpose=Purpose.REJUDGE, seed=2000)
    make_run(project.tip(), patch_set=first.patch_set, purpose=Purpose.REJUDGE, seed=2001, state=State.QUEUED)
    shown = text(client, QUEUE)
    assert "Judged again on baseline 1." in shown and "1 of 2 runs, about 15 s left" in shown
    assert second.candidate.hypothesis[:20] in shown


def test_an_empty_queue_and_what_left_it_say_why(client: Client, project: Project) -> None:
    assert "Nothing is waiting to land" in text(client, QUEUE)
    landing = make_landing(make_candidate(project), LandingState.RETURNED, "It conflicts with baseline 1 in train.py.")
    Landing.objects.filter(pk=landing.pk).update(ended_at=timezone.now())
    shown = text(client, QUEUE)
    assert "returned" in shown and "It conflicts with baseline 1 in train.py." in shown


def test_entries_of_a_batch_stand_in_the_queue_and_the_stack_that_they_are_judged_as_does_not(
    client: Client, project: Project
) -> None:
    first, second = waiting(project, 2)
    stack = make_candidate(project, kind=Kind.STACK, stage=Stage.LANDING, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")])
    whole = make_landing(stack, LandingState.REJUDGING)
    Landing.objects.filter(pk__in=[first.pk, second.pk]).update(state=LandingState.BATCHED, batch=whole)
    response = client.get(QUEUE)
    queue = response.context["queue"]
    assert [entry.landing.pk for entry in queue] == [first.pk, second.pk]
    assert {entry.waits_for for entry in queue} == {f"judged and landed together, as {stack}"}


def test_a_remote_that_says_no_is_quoted_and_a_person_can_push_now(client: Client, project: Project) -> None:
    project.config["landing"]["remote"] = "https://ada:secret@example.org/model.git"
    project.save()
    Push.objects.create(
        project=project, version=project.tip(), state=PushState.REJECTED, reason="frozen until Monday", failures=3,
        next_at=timezone.now() + timedelta(minutes=10),
    )  # fmt: skip
    shown = text(client, QUEUE)
    assert "frozen until Monday" in shown and "tried 3 times" in shown and "The landing stands." in shown
    assert "secret" not in shown and "https://example.org/model.git" in shown
    assert client.post("/projects/demo/landings/push/").status_code == 302
    assert Push.objects.get().next_at <= timezone.now()


def test_a_branch_moved_by_hand_is_said_on_the_queue_and_on_the_baseline_page(client: Client, project: Project) -> None:
    tip = project.tip()
    BaselineVersion.objects.create(
        project=project, number=1, commit="b" * 40, tree=tip.tree, moved_outside=True, dropped=["C-3", "C-2"]
    )
    for address in (QUEUE, BASELINE):
        shown = text(client, address)
        assert "moved by hand" in shown and "No longer part of it: C-3, C-2." in shown


def test_the_queue_asks_as_often_for_ten_entries_as_for_two(client: Client, project: Project) -> None:
    waiting(project, 2)
    client.get(QUEUE)
    with CaptureQueriesContext(connection) as few:
        client.get(QUEUE)
    for candidate in make_many(project, 8, stage=Stage.LANDING, edits=[("train.py", "LAYERS = 3", "LAYERS = 5")]):
        make_landing(candidate)
    with CaptureQueriesContext(connection) as many:
        client.get(QUEUE)
    assert len(many) == len(few)


def landed(project: Project, effect: float = 0.02) -> Landing:
    landing = make_landing(make_candidate(project, stage=Stage.LANDED, effect=effect), LandingState.LANDED)
    Landing.objects.filter(pk=landing.pk).update(ended_at=timezone.now())
    return landing


def test_a_contradicted_gain_is_flagged_where_the_landing_stands(client: Client, project: Project) -> None:
    landing = landed(project)
    Landing.objects.filter(pk=landing.pk).update(
        contradictions="Ablation 3 on baseline 1 measured +0.00010 for it, not a gain."
    )
    for address in (BASELINE, QUEUE, "/projects/demo/history/?show=landings"):
        assert "Ablation 3 on baseline 1 measured" in text(client, address)
    assert "gain under question" in text(client, BASELINE)


def test_time_to_target_is_read_off_the_runs_of_each_version_and_not_off_a_sum(client: Client, project: Project) -> None:
    version = landed(project).version
    assert version
    assert "not measured" in text(client, BASELINE)
    measure_target(version, "ada")
    assert version.runs.filter(purpose=Purpose.TARGET).count() == len(SHARES) * len(SEEDS)
    version.runs.filter(purpose=Purpose.TARGET).delete()
    for share in SHARES:  # 0.05 bits better for each e-fold of budget, and where the first version ends at 70% of it
        for seed in SEEDS:
            score = BASE_SCORE - 0.05 * math.log(share / 0.7)
            make_run(version, purpose=Purpose.TARGET, seed=seed, budget_share=share, score=score)
    version.runs.filter(budget_share=1.0).update(score=BASE_SCORE - 0.05 * math.log(1 / 0.7))
    project.baseline_versions.get(number=0).runs.filter(seed__in=[1, 2]).update(score=BASE_SCORE - 0.007)
    project.baseline_versions.get(number=0).runs.filter(seed__in=[3, 4]).update(score=BASE_SCORE + 0.007)
    reach = times_to_target(project, [version], project.noise())[version.pk].reach
    assert reach and reach.share == pytest.approx(0.7, abs=0.01)
    assert reach.interval[0] < 0.7 < reach.interval[1] and not reach.extrapolated
    assert f"{reach.share:.0%}" in text(client, BASELINE)


def test_the_price_stands_before_an_ablation_begins(client: Client, project: Project) -> None:
    make_many(project, 3, effect=0.02)
    shown = text(client, STACKS)
    assert "Show the price" in shown and "Run the ablation" not in shown
    shown = text(client, f"{STACKS}?c=1&c=2&c=3")
    assert "<b>39 runs</b>, 10 min of device time</span>" in shown and "Run the ablation" in shown
    assert "Choose 2 to 24" in text(client, f"{STACKS}?c=1")
    response = client.post(f"{STACKS}start/", {"c": ["1", "2", "3"], "design": "plain"})
    check = Ablation.objects.get()
    assert response["Location"] == check.get_absolute_url() and not check.folded
    assert "running" in text(client, check.get_absolute_url())
    client.post(f"{check.get_absolute_url()}stop/")
    assert "Stopped by ada." in text(client, check.get_absolute_url())


def test_a_revert_is_one_click_and_a_refused_one_says_why(client: Client, project: Project) -> None:
    landing = landed(project)
    project.repository.advance(project.repository.tip(), landing.commit)
    response = client.post("/projects/demo/baseline/1/revert/")
    proposed = Candidate.objects.get(kind=Kind.REVERT)
    assert response["Location"] == proposed.get_absolute_url()
    assert f"revert proposed: {proposed}" in text(client, BASELINE)
    response = client.post("/projects/demo/baseline/1/revert/", follow=True)
    assert "proposes just that already" in response.content.decode()
    response = client.post("/projects/demo/baseline/0/revert/", follow=True)
    assert "only a landing can be reverted" in response.content.decode()


def test_what_comes_from_outside_stays_text(client: Client, project: Project) -> None:
    landing = make_landing(make_candidate(project, hypothesis="<script>alert(1)</script>", stage=Stage.LANDING))
    Landing.objects.filter(pk=landing.pk).update(trouble="<img src=x onerror=alert(1)>")
    shown = text(client, QUEUE)
    assert "<script>alert" not in shown and "<img src=x" not in shown
    assert "<script>alert" not in text(client, STACKS)
