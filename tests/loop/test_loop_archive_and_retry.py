"""Putting discarded candidates away, and trying again what crashed or what the worker failed on."""

import pytest

from research_app.loop.review.archive import ArchiveRefused, archive, unarchive
from research_app.loop.review.retry import RetryRefused, fail_candidate, retry_candidate
from research_app.models import Candidate, Event, Message, Project, Run, Stage, State
from research_app.models.candidate import DISCARDED
from tests.factories import make_candidate, make_run
from training.spec import Outcome

pytestmark = pytest.mark.django_db
HUGE = [("train.py", "LAYERS = 3", "LAYERS = 400")]


def fresh(candidate: Candidate) -> Candidate:
    return Candidate.objects.get(pk=candidate.pk)


def test_a_discarded_candidate_is_put_away_and_taken_out_again_with_both_in_the_log(project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.DROPPED)
    archive(candidate, "ada")
    assert fresh(candidate).archived_at is not None
    unarchive(candidate, "ada")
    assert fresh(candidate).archived_at is None
    kinds = Event.objects.about(candidate).values_list("kind", flat=True)
    assert list(kinds)[-2:] == ["candidate archived", "candidate unarchived"]


@pytest.mark.parametrize("stage", sorted(set(Stage) - set(DISCARDED)))
def test_what_somebody_or_a_machine_still_has_to_do_with_is_not_put_away(project: Project, stage: Stage) -> None:
    candidate = make_candidate(project, stage=stage)
    with pytest.raises(ArchiveRefused, match="only what was discarded"):
        archive(candidate, "ada")
    assert fresh(candidate).archived_at is None


def test_archiving_twice_says_so_and_writes_one_event(project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.DROPPED)
    archive(candidate, "ada")
    with pytest.raises(ArchiveRefused, match="archived already"):
        archive(candidate, "grace")
    assert Event.objects.about(candidate).filter(kind="candidate archived").count() == 1


def test_a_candidate_that_moves_on_is_no_longer_archived(project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.DROPPED)
    archive(candidate, "ada")
    candidate.move(Stage.READY, "Reopened.")
    assert fresh(candidate).archived_at is None


def test_a_crashed_run_is_trained_again_at_its_own_step(project: Project) -> None:
    candidate = make_candidate(project, edits=HUGE, stage=Stage.CRASHED, effect=None)
    run = make_run(project.tip(), patch_set=candidate.patch_set, outcome=Outcome.crashed, reason="Killed: out of memory.")
    retry_candidate(candidate, "ada")
    run.refresh_from_db()
    assert (run.state, run.outcome, run.reason, run.progress, run.finished_at) == (State.QUEUED, "", "", 0.0, None)
    assert fresh(candidate).stage == Stage.SCREENING
    assert Message.objects.filter(object_id=run.pk, queue=run.queue).exists()
    told = Event.objects.get(kind="run tried again").data
    assert told["reason"] == "Killed: out of memory."


def test_what_needs_attention_gets_fresh_attempts(project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.SCREENING, effect=None, needs_attention="The disk is full.")
    run = make_run(project.tip(), patch_set=candidate.patch_set, state=State.QUEUED)
    Run.objects.filter(pk=run.pk).update(state=State.STUCK, attempts=4)
    retry_candidate(candidate, "ada")
    run.refresh_from_db()
    assert (run.state, run.attempts) == (State.QUEUED, 0)
    assert fresh(candidate).needs_attention == ""


@pytest.mark.parametrize("stage", [Stage.DROPPED, Stage.INCONCLUSIVE, Stage.READY, Stage.LANDED])
def test_what_was_measured_is_never_measured_a_second_time(project: Project, stage: Stage) -> None:
    candidate = make_candidate(project, stage=stage)
    with pytest.raises(RetryRefused, match="only what crashed or needs attention"):
        retry_candidate(candidate, "ada")
    assert not Run.objects.filter(state=State.QUEUED).exists()


def test_what_a_worker_failed_on_can_be_ended_by_a_person_too_and_tried_again_later(project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.SCREENING, effect=None, needs_attention="No shard 17.")
    run = make_run(project.tip(), patch_set=candidate.patch_set, state=State.STUCK, train_seconds=60.0)
    fail_candidate(candidate, "grace")
    found = fresh(candidate)
    assert (found.stage, found.needs_attention, found.why) == (Stage.CRASHED, "", "Ended by grace. No shard 17.")
    run.refresh_from_db()
    assert run.outcome == Outcome.cancelled and run.device_seconds == 60.0
    retry_candidate(found, "grace")
    assert fresh(candidate).stage == Stage.SCREENING


def test_only_what_needs_attention_can_be_ended(project: Project) -> None:
    with pytest.raises(RetryRefused, match="needs no attention"):
        fail_candidate(make_candidate(project, stage=Stage.SCREENING, effect=None), "grace")
    landing = make_candidate(project, stage=Stage.LANDING, needs_attention="No room.", edits=HUGE)
    with pytest.raises(RetryRefused, match="take it out of the queue"):
        fail_candidate(landing, "grace")
