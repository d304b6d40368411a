"""Losing every message loses no work: the reconciler finds what should be running (invariant 1)."""

from datetime import timedelta

import pytest
from django.utils import timezone

from research_app.loop import reconcile, tasks
from research_app.loop.check import check
from research_app.loop.propose import propose
from research_app.loop.review.review import Seen, approve
from research_app.models import Candidate, Device, Event, Landing, Message, Project, Run, Stage, TaskLease, Turn
from tests.small_project import BETTER, approver, patch, small_project

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def project() -> Project:
    return small_project()


def lose_everything() -> None:
    """Every message is gone, and so much time passes that nobody can still be waiting for one."""
    Message.objects.all().delete()
    for model in (Run, Candidate, Landing, Turn):
        model.objects.filter(lease_until__isnull=False).update(lease_until=timezone.now() - timedelta(seconds=1))
    long_ago = timezone.now() - timedelta(minutes=5)
    Run.objects.update(created_at=long_ago)
    Run.objects.filter(finished_at__isnull=False).update(finished_at=long_ago)
    Candidate.objects.filter(stage_since__gt=long_ago).update(stage_since=long_ago)  # once: a turn is told once for each
    Landing.objects.update(queued_at=long_ago)
    Turn.objects.update(opened_at=long_ago)


def one_message_at_a_time(limit: int = 100) -> None:
    """Run one task, lose all other messages, reconcile, and so on until there is nothing to wake."""
    for _ in range(limit):
        lose_everything()
        reconcile.reconcile()
        first = Message.objects.order_by("pk").first()
        if first is None:
            return
        Message.objects.exclude(pk=first.pk).delete()
        first.delete()
        getattr(tasks, first.task)(first.object_id)
    raise AssertionError("the loop does not come to rest")


def test_a_candidate_lands_although_every_other_message_is_lost(project: Project) -> None:
    Device.report("here/cpu.0", "cpu", 0)
    candidate = check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
    one_message_at_a_time()
    candidate.refresh_from_db()
    assert candidate.stage == Stage.READY
    candidate = Candidate.objects.with_evidence().get(pk=candidate.pk)
    approve(candidate, approver(), Seen.of(candidate))
    one_message_at_a_time()
    candidate.refresh_from_db()
    assert candidate.stage == Stage.LANDED
    assert project.tip().runs.filter(purpose="bank").completed().count() == 4, "the new baseline got its reference runs"


def test_a_round_is_filled_and_closed_although_every_other_message_is_lost(project: Project) -> None:
    Device.report("here/cpu.0", "cpu", 0)
    asked = propose.open_round(project, ["knobs"], 3, "test")
    one_message_at_a_time()
    asked.refresh_from_db()
    assert asked.closed_at is not None
    assert [candidate.idle for candidate in asked.candidates.all()] == [True] * 3


def test_reconciling_while_all_is_well_wakes_nothing(project: Project) -> None:
    events = Event.objects.count()
    reconcile.reconcile()
    assert Message.objects.count() == 0
    assert Event.objects.count() == events


def test_messages_do_not_pile_up_while_the_broker_is_down(project: Project) -> None:
    Device.report("here/cpu.0", "cpu", 0)
    check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
    lose_everything()
    for _ in range(5):
        reconcile.reconcile()
    assert Message.objects.count() == 1


def test_only_one_reconciler_works_at_a_time() -> None:
    TaskLease.objects.create(name=reconcile.NAME)
    first = reconcile.claim()
    assert first is not None
    assert reconcile.claim() is None
    first.release()
    assert reconcile.claim() is not None
