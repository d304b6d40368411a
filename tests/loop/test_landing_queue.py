"""The landing queue: order, many at once (APPROVALS=50), batches, evidence taken over, a fence against late workers."""

import os
import random
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from research_app.loop.land import land, landing_queue
from research_app.loop.land.external_moves import notice_moved_branches
from research_app.loop.review.review import ReviewRefused, Seen, approve, reject
from research_app.models import (
    Candidate,
    Event,
    Evidence,
    ExternalMove,
    Landing,
    LandingState,
    Message,
    Project,
    Run,
    Stage,
    Verdict,
)
from research_app.repository import OvertakenError, Repository
from tests.landing_samples import (
    approved,
    check_agreement,
    fresh,
    knob,
    knobs_project,
    landed,
    ready,
    take_over,
    training_at_once,
)
from tests.small_project import approver, drain, git

APPROVALS = int(os.environ.get("APPROVALS", "20"))
pytestmark = pytest.mark.django_db(transaction=True)
both_databases = pytest.mark.both_databases


@pytest.fixture(autouse=True)
def _training_at_once() -> Iterator[None]:
    with training_at_once():
        yield


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = knobs_project(tmp_path)
    drain()
    return made


def reason_of(candidate: Candidate) -> str:
    return Landing.objects.filter(candidate=candidate).latest("pk").reason


@pytest.mark.one_in(2)
def test_approvals_in_parallel_each_land_once_or_come_back_with_a_reason_in_order(tmp_path: Path) -> None:
    project = knobs_project(tmp_path, penalty=0.5)
    candidates = [ready(project, knob(number)) for number in range(APPROVALS - 4)]
    candidates += [ready(project, knob(number, 2)) for number in range(10, 14)]  # four that alter the same lines as others
    order, people = list(range(APPROVALS)), [approver(f"person-{n}") for n in range(8)]
    random.Random(7).shuffle(order)
    barrier, failures = threading.Barrier(8), []

    def click(which: int) -> None:
        try:
            barrier.wait()
            for place in order[which::8]:
                approve(candidates[place], people[which], Seen.of(candidates[place]))
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=click, args=[which]) for which in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    queued = list(Landing.objects.order_by("pk").values_list("candidate__number", flat=True))
    assert sorted(queued) == list(range(1, APPROVALS + 1))
    drain(limit=5000)
    check_agreement(project)
    names = [int(name.rpartition("/")[2]) for name in reversed(landed(project))]
    assert names == [number for number in queued if number in names], "the order of the queue is the order on the baseline"
    returned = Landing.objects.filter(state=LandingState.RETURNED).select_related("candidate")
    assert len(names) + len(returned) == APPROVALS
    assert all(entry.reason for entry in returned)
    by_stage = sorted(entry.candidate.stage for entry in returned)
    assert by_stage == [*[Stage.CONFLICT] * 4, Stage.READY], "four alter the same lines; one of the pair lost its gain"
    assert list(Event.objects.faults()) == []


def test_approving_twice_lands_once(project: Project) -> None:
    candidate = approved(project, knob(3))
    with pytest.raises(ReviewRefused, match="landing"):
        approve(fresh(candidate), approver("ada"), Seen.of(fresh(candidate)))
    drain(limit=500)
    assert landed(project) == ["knobs/1"]


def test_a_batch_is_judged_and_landed_as_one_and_keeps_the_order(tmp_path: Path) -> None:
    project = knobs_project(tmp_path, batch=4)
    candidates = [approved(project, knob(number)) for number in range(2, 7)]
    drain(limit=2000)
    check_agreement(project)
    assert project.tip().number == 2, "the first alone, the other four together"
    newest, _ = project.repository.log(2)
    together = [value for key, value in newest.trailers if key == "Candidate"]
    assert together == ["knobs/6", "knobs/2", "knobs/3", "knobs/4", "knobs/5"], "the batch, then its entries in order"
    rejudged = Run.objects.filter(purpose="rejudge")
    assert {run.patch_set.candidate.number for run in rejudged.select_related("patch_set__candidate") if run.patch_set} == {6}
    assert all(fresh(candidate).stage == Stage.LANDED for candidate in candidates)
    assert "one batch" in fresh(candidates[-1]).why


@both_databases
def test_a_batch_that_fails_is_halved_until_the_one_that_hurts_is_alone(tmp_path: Path) -> None:
    project = knobs_project(tmp_path, penalty=0.5, batch=4)
    numbers = [0, 10, 11, 1, 12]  # the fourth hurts where the first has landed
    candidates = [approved(project, knob(number)) for number in numbers]
    drain(limit=2000)
    check_agreement(project)
    guilty = fresh(candidates[3])
    assert guilty.stage == Stage.READY and "On baseline 2 it does harm" in guilty.why
    innocent = [candidate for candidate in candidates if candidate.pk != guilty.pk]
    assert all(fresh(candidate).stage == Stage.LANDED for candidate in innocent), "nobody else is ejected"
    assert Event.objects.filter(kind="batch taken apart").exists()


@both_databases
def test_a_rejection_that_comes_while_a_batch_is_judged_takes_only_that_entry_out(tmp_path: Path) -> None:
    project = knobs_project(tmp_path, batch=4)
    candidates = [approved(project, knob(number)) for number in range(2, 6)]
    land.land(project.pk, "worker")
    land.land(project.pk, "worker")
    assert Landing.objects.filter(state=LandingState.BATCHED).count() == 3
    fresh(candidates[2]).reviews.update(voided_at=timezone.now(), void_reason="Withdrawn")
    drain(limit=2000)
    check_agreement(project)
    assert fresh(candidates[2]).stage == Stage.READY and "needs a new one" in fresh(candidates[2]).why
    assert [fresh(candidate).stage for candidate in candidates].count(Stage.LANDED) == 3


@both_databases
def test_a_tree_that_was_judged_on_just_this_baseline_before_is_not_trained_again(project: Project) -> None:
    first, second, third = approved(project, knob(2)), approved(project, knob(3)), ready(project, knob(3))
    drain(limit=500)
    repository = project.repository
    before = project.baseline_versions.get(number=1)
    git(repository.path, "update-ref", "refs/heads/baseline", before.commit)  # back to where only the first had landed
    take_over(project)
    approve(third, approver(), Seen.of(third))
    Message.objects.all().delete()
    runs = Run.objects.filter(purpose="rejudge").count()
    land.land(project.pk, "worker")
    land.land(project.pk, "worker")
    assert fresh(third).stage == Stage.LANDED
    assert Run.objects.filter(purpose="rejudge").count() == runs, "nothing was trained for it"
    evidence = fresh(third).evidence
    assert evidence and evidence.numbers["taken_from"] == Evidence.objects.get(patch_set=fresh(second).revision).content_hash
    assert "judged on this very baseline" in reason_of(third)
    assert fresh(first).stage == Stage.LANDED


@both_databases
def test_going_back_by_hand_is_a_version_that_names_what_is_no_longer_there(project: Project) -> None:
    approved(project, knob(2))
    drain(limit=500)
    begun = project.baseline_versions.get(number=0)
    git(project.repository.path, "update-ref", "refs/heads/baseline", begun.commit)
    candidate = approved(project, knob(3))
    drain(limit=500)
    assert fresh(candidate).stage == Stage.LANDING and landed(project) == []
    take_over(project)
    drain(limit=500)
    outside = project.baseline_versions.get(moved_outside=True)
    assert (outside.number, outside.commit, outside.dropped) == (2, begun.commit, ["C-1"])
    assert fresh(candidate).stage == Stage.LANDED
    assert landed(project) == ["knobs/2"]


def test_the_reconciler_notices_a_branch_that_was_moved_by_hand(project: Project) -> None:
    repository = project.repository
    by_hand = repository.change_from_edits(repository.tip(), [("README.md", "# Small", "# Smaller")], "By hand", "ada")
    git(repository.path, "update-ref", "refs/heads/baseline", by_hand.commit)
    notice_moved_branches()
    notice_moved_branches()
    assert project.tip().number == 0, "a person has to take it over first"
    assert ExternalMove.objects.waiting().get().commit == by_hand.commit
    assert Event.objects.filter(kind="baseline moved outside Signoff").count() == 1


@both_databases
def test_a_worker_that_lost_its_lease_cannot_land_what_was_taken_out_meanwhile(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = approved(project, knob(2))
    Message.objects.all().delete()
    advance = Repository.advance

    def asleep(self: Repository, expected: str, new: str, fence: str = "") -> None:
        """It slept just before the swap, until its lease ran out; somebody withdrew, and another worker saw that."""
        monkeypatch.setattr(Repository, "advance", advance)
        Landing.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        candidate.reviews.update(voided_at=timezone.now(), void_reason="Withdrawn")
        land.land(project.pk, "second worker")
        with pytest.raises(OvertakenError):
            advance(self, expected, new, fence)
        raise OvertakenError("told")

    monkeypatch.setattr(Repository, "advance", asleep)
    land.land(project.pk, "first worker")
    assert landed(project) == []
    assert fresh(candidate).stage == Stage.READY
    check_agreement(project)


def test_a_commit_that_bears_the_trailer_but_not_the_judged_tree_is_not_taken_for_a_landing(project: Project) -> None:
    candidate = approved(project, knob(2))
    repository = project.repository
    forged = repository.change_from_edits(
        repository.tip(), [("README.md", "# Small", "# X")], "X\n\nCandidate: knobs/1", "mallory"
    )
    git(repository.path, "update-ref", "refs/heads/baseline", forged.commit)
    drain(limit=500)
    assert fresh(candidate).stage == Stage.LANDING
    take_over(project)
    drain(limit=500)
    assert fresh(candidate).stage == Stage.LANDED
    version = Landing.objects.get(candidate=candidate).version
    assert version and version.commit == repository.tip() != forged.commit


@both_databases
def test_a_full_disk_holds_the_queue_says_so_and_goes_on_when_there_is_room(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = approved(project, knob(2)), approved(project, knob(3))
    Message.objects.all().delete()
    for _ in range(5):
        with monkeypatch.context() as full:
            full.setattr("research_app.repository.git.subprocess.Popen", on_a_full_disk)
            land.land(project.pk, "worker")
        entry = Landing.objects.get(candidate=first)
        assert entry.state == LandingState.QUEUED and "no space left on device" in entry.trouble
        assert entry.lease_until is None
    assert landed(project) == [] and Event.objects.filter(kind="landing held up").count() == 1, "told once"
    Message.objects.enqueue("land", project.pk)
    drain(limit=500)
    assert landed(project) == ["knobs/2", "knobs/1"]
    assert Landing.objects.get(candidate=first).trouble == ""
    assert fresh(second).stage == Stage.LANDED
    check_agreement(project)


popen = subprocess.Popen


def on_a_full_disk(command: tuple[str, ...], **options: object) -> "subprocess.Popen[bytes]":
    """Git as it ends on a full disk, whichever of its commands writes."""
    writes = {"hash-object", "commit-tree", "update-ref", "write-tree"} & set(command)
    if writes:
        script = 'cat >/dev/null; echo "error: unable to write file: No space left on device" >&2; exit 128'
        command = ("sh", "-c", script)
    return popen(command, **options)


def test_a_stale_lock_holds_the_queue_with_the_remedy_and_the_landing_follows_it(project: Project) -> None:
    candidate = approved(project, knob(2))
    Message.objects.all().delete()
    lock = project.repository.path / "refs/heads/baseline.lock"
    lock.touch()
    land.land(project.pk, "worker")
    entry = Landing.objects.get(candidate=candidate)
    assert entry.state == LandingState.QUEUED and str(lock) in entry.trouble
    lock.unlink()
    land.land(project.pk, "worker")
    assert landed(project) == ["knobs/1"]
    check_agreement(project)


@both_databases
def test_many_queue_workers_at_once_land_everything_once_and_in_order(project: Project) -> None:
    for number in range(2, 5):
        approved(project, knob(number))
    Message.objects.all().delete()
    barrier = threading.Barrier(4)

    def work() -> None:
        try:
            barrier.wait()
            for _ in range(4):
                land.land(project.pk, threading.current_thread().name)
        finally:
            connection.close()

    for _ in range(3):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        drain(limit=500)
        barrier.reset()
    assert landed(project) == ["knobs/3", "knobs/2", "knobs/1"]
    check_agreement(project)


def test_a_landing_that_was_killed_too_often_comes_back_and_the_next_lands(project: Project) -> None:
    first, second = approved(project, knob(2)), approved(project, knob(3))
    Message.objects.all().delete()
    Landing.objects.filter(candidate=first).update(attempts=3, last_error="")
    land.land(project.pk, "worker")
    assert fresh(first).stage == Stage.READY and "failed 3 times" in fresh(first).why
    drain(limit=500)
    assert fresh(second).stage == Stage.LANDED
    assert landing_queue.head_of(project.pk) is None


def test_what_was_approved_against_the_verdict_lands_while_it_is_no_worse_than_it_was(project: Project) -> None:
    first, second = approved(project, knob(2)), ready(project, ("train.py", "PENALTY, PAIRS = 0.0", "PENALTY, PAIRS = 0.1"))
    evidence = second.evidence
    assert evidence
    evidence.verdict, evidence.effect, evidence.low, evidence.high = Verdict.INCONCLUSIVE, 0.0, -0.002, 0.002
    evidence.save()
    approve(fresh(second), approver(), Seen.of(fresh(second)), "It is simpler.")
    drain(limit=500)
    assert fresh(first).stage == Stage.LANDED
    assert fresh(second).stage == Stage.LANDED, fresh(second).why
    third = ready(project, knob(4))
    reject(third, approver(), Seen.of(third), "No.")
    assert fresh(third).stage == Stage.REJECTED
