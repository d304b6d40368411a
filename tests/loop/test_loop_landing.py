"""Landing: once, in order, only what was judged, whatever happens meanwhile (invariants 4 and 5)."""

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from research_app.loop.land import land
from research_app.loop.reconcile import reconcile
from research_app.loop.review.review import ReviewRefused, Seen, StalePage, approve, reject, reopen, withdraw
from research_app.models import Candidate, Event, Landing, LandingState, Lease, Message, Project, Run, Stage
from research_app.repository import Repository
from tests.landing_samples import take_over, training_at_once
from tests.small_project import BAD_WHEN_WIDE, BETTER, TRAIN, WIDER, WORSE, approver, drain, git, small_project, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def project() -> Iterator[Project]:
    """Its runs end as soon as they begin."""
    with training_at_once():
        yield small_project()


def landed(project: Project) -> list[str]:
    """Candidates on the baseline branch, newest first, as git tells it."""
    return [value for entry in project.repository.log(50) for key, value in entry.trailers if key == "Candidate"]


def fresh(candidate: Candidate) -> Candidate:
    return Candidate.objects.with_evidence().get(pk=candidate.pk)


def test_a_second_click_lands_nothing_twice(project: Project) -> None:
    candidate = submit(project, BETTER)
    seen = Seen.of(candidate)
    approve(candidate, approver(), seen)
    with pytest.raises(StalePage, match="landing"):
        approve(candidate, approver(), seen)
    drain()
    with pytest.raises(StalePage, match="landed"):
        approve(candidate, approver("ada"), seen)
    assert landed(project) == ["small/1"]


def test_two_people_who_approve_at_the_same_moment_land_it_once(project: Project) -> None:
    candidate = submit(project, BETTER)
    people, seen = [approver("ada"), approver("grace")], Seen.of(candidate)
    barrier, answers = threading.Barrier(2), []

    def click(person: User) -> None:
        try:
            barrier.wait()
            approve(candidate, person, seen)
            answers.append("approved")
        except StalePage:
            answers.append("stale")
        finally:
            connection.close()

    threads = [threading.Thread(target=click, args=[person]) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    drain()
    assert sorted(answers) == ["approved", "stale"]
    assert landed(project) == ["small/1"]
    assert Landing.objects.count() == 1


def test_a_stale_page_cannot_approve_and_says_what_changed(project: Project) -> None:
    candidate = submit(project, BETTER)
    now = Seen.of(candidate)
    stale = replace(now, evidence_hash="0" * 64)
    with pytest.raises(StalePage, match="its evidence changed"):
        approve(candidate, approver(), stale)
    assert fresh(candidate).stage == Stage.READY


def test_who_is_no_approver_cannot_vote_not_even_an_administrator(project: Project) -> None:
    candidate = submit(project, BETTER)
    admin = User.objects.create_superuser("root")
    for person in (admin, User.objects.create_user("viewer")):
        with pytest.raises(ReviewRefused, match="role “approver”"):
            approve(candidate, person, Seen.of(candidate))


def test_an_approver_who_was_demoted_meanwhile_does_not_count(project: Project) -> None:
    candidate = submit(project, BETTER)
    person = approver()
    approve(candidate, person, Seen.of(candidate))
    person.groups.clear()
    drain()
    candidate = fresh(candidate)
    assert candidate.stage == Stage.READY and "needs a new one" in candidate.why
    assert landed(project) == []


def test_a_rejection_needs_a_reason_and_closes_the_candidate_until_it_is_withdrawn(project: Project) -> None:
    candidate = submit(project, BETTER)
    with pytest.raises(ReviewRefused, match="Say why"):
        reject(candidate, approver(), Seen.of(candidate), "  ")
    reject(candidate, approver(), Seen.of(candidate), "The gain is noise.")
    candidate = fresh(candidate)
    assert candidate.stage == Stage.REJECTED and candidate.why == "The gain is noise."
    with pytest.raises(ReviewRefused, match="grace decided this and alone can withdraw it"):
        reopen(candidate, approver("ada"), "New reviewer")
    withdraw(candidate, approver())
    candidate = fresh(candidate)
    assert candidate.stage == Stage.READY
    assert candidate.reviews.standing().count() == 0
    approve(candidate, approver(), Seen.of(candidate))
    drain()
    assert landed(project) == ["small/1"]


def test_approving_against_the_evidence_needs_a_reason_and_is_marked(project: Project) -> None:
    candidate = submit(project, WORSE)
    reopen(candidate, approver(), "I want it for its simplicity")
    candidate = fresh(candidate)
    with pytest.raises(ReviewRefused, match="does harm"):
        approve(candidate, approver(), Seen.of(candidate))
    approve(candidate, approver(), Seen.of(candidate), "Simpler, and the loss is bearable.")
    assert candidate.reviews.get().against_verdict


def test_when_the_baseline_moved_the_vote_stands_and_the_change_is_judged_again_first(project: Project) -> None:
    first, second = submit(project, BETTER), submit(project, WIDER)
    approve(first, approver(), Seen.of(first))
    approve(second, approver(), Seen.of(second))
    drain()
    second = fresh(second)
    assert second.stage == Stage.LANDED
    assert landed(project) == ["small/2", "small/1"]
    assert [patch_set.number for patch_set in second.patch_sets.all()] == [1, 2]
    assert second.patch_set is not None and second.patch_set.rebased
    assert second.patch_set.base.number == 1, "judged on the baseline that the first landing made"
    assert second.patch_set.moved == {"train.py:WIDTH": [64, 128]}, "it still does nothing but turn a constant"
    [entry, *_] = project.repository.log(1)
    assert project.repository.tree_of(entry.commit) == second.patch_set.tree, "what landed is what was judged"
    text = project.repository.read(entry.commit, "train.py").decode()
    assert text == TRAIN.replace(*BETTER).replace(*WIDER)


def test_a_gain_that_is_gone_on_the_new_baseline_goes_back_to_the_reviewers(project: Project) -> None:
    """The pair helps alone and hurts together."""
    first, second = submit(project, WIDER), submit(project, BAD_WHEN_WIDE)
    assert first.stage == second.stage == Stage.READY
    for candidate in (first, second):
        approve(candidate, approver(), Seen.of(candidate))
    drain()
    second = fresh(second)
    assert second.stage == Stage.READY and re.match(r"On baseline 1 it does harm\. Worse: −[45]\.", second.why)
    assert second.why.endswith(f"It clashes with what landed since it was judged on baseline 0: {first}.")
    assert second.reviews.get().voided_at is not None
    assert second.evidence is not None and second.evidence.effect is not None and second.evidence.effect < -4
    assert landed(project) == ["small/1"]


def test_a_conflict_leaves_the_queue_with_the_paths_and_does_not_hold_up_the_next(project: Project) -> None:
    first, second = submit(project, BETTER), submit(project, ("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.015"))
    third = submit(project, WIDER)
    for candidate in (first, second, third):
        approve(candidate, approver(), Seen.of(candidate))
    drain()
    second = fresh(second)
    assert second.stage == Stage.CONFLICT and "train.py" in second.why
    assert landed(project) == ["small/3", "small/1"]


def test_a_branch_moved_by_hand_becomes_a_version_of_its_own_and_the_landing_is_judged_on_it(project: Project) -> None:
    candidate = submit(project, BETTER)
    approve(candidate, approver(), Seen.of(candidate))
    repository = project.repository
    by_hand = repository.change_from_edits(repository.tip(), [("README.md", "# Small", "# Smaller")], "By hand", "ada")
    git(repository.path, "update-ref", "refs/heads/baseline", by_hand.commit)
    drain()
    assert fresh(candidate).stage == Stage.LANDING
    take_over(project)
    drain()
    assert fresh(candidate).stage == Stage.LANDED
    assert project.baseline_versions.filter(moved_outside=True).count() == 1
    assert repository.read(repository.tip(), "README.md") == b"# Smaller\n"
    assert Event.objects.filter(kind="baseline moved outside Signoff").exists()


class Killed(BaseException):
    """Stands for SIGKILL between two statements: nothing catches it, nothing is cleaned up."""


CRASH_POINTS = ["find_landed", "commit_landing", "advance:before", "advance:after", "record"]


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_crash_at_any_step_of_the_protocol_lands_it_exactly_once(
    project: Project, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = submit(project, BETTER)
    approve(candidate, approver(), Seen.of(candidate))
    Message.objects.all().delete()
    with monkeypatch.context() as patched:
        name, _, when = point.partition(":")
        owner = land if name == "record" else Repository
        original = getattr(owner, name)

        def dying(*args: object, **options: object) -> None:
            if when == "after":
                original(*args, **options)
            raise Killed

        patched.setattr(owner, name, dying)
        patched.setattr(Lease, "fail", lambda self, error: None)  # a killed process gives nothing back
        with pytest.raises(Killed):
            land.land(project.pk, "killed worker")
    Landing.objects.update(lease_until=timezone.now() - timedelta(seconds=1), queued_at=timezone.now() - timedelta(minutes=1))
    reconcile()
    drain()
    assert fresh(candidate).stage == Stage.LANDED
    assert landed(project) == ["small/1"]
    assert project.tip().commit == project.repository.tip()
    project.repository.fsck()


def test_two_queue_workers_at_once_land_it_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = submit(project, BETTER)
    approve(candidate, approver(), Seen.of(candidate))
    Message.objects.all().delete()
    advance = Repository.advance

    def overtaken(self: Repository, expected: str, new: str, fence: str = "") -> None:
        """The lease ran out just before the swap, and another worker did everything meanwhile."""
        monkeypatch.setattr(Repository, "advance", advance)
        Landing.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        land.land(project.pk, "second worker")
        advance(self, expected, new, fence)

    monkeypatch.setattr(Repository, "advance", overtaken)
    land.land(project.pk, "first worker")
    drain()
    assert landed(project) == ["small/1"]
    assert Landing.objects.get().state == LandingState.LANDED
    assert list(Event.objects.faults()) == []


def test_a_landing_whose_new_run_cannot_be_trained_does_not_hold_up_the_queue(project: Project) -> None:
    first, second, third = submit(project, BETTER), submit(project, WIDER), submit(project, BAD_WHEN_WIDE)
    for candidate in (first, second, third):
        approve(candidate, approver(), Seen.of(candidate))
    land.land(project.pk, "worker")  # the first lands
    land.land(project.pk, "worker")  # the second is rebased and waits for a run
    run = Run.objects.filter(purpose="rejudge").first()
    assert run is not None
    Run.objects.filter(pk=run.pk).update(state="stuck")
    assert run.patch_set is not None and run.patch_set.candidate_id == second.pk
    reconcile()
    drain()
    assert Landing.objects.get(candidate=second).state == LandingState.RETURNED
    assert landed(project) == ["small/3", "small/1"]
