"""A step of Signoff's own that fails on a run has a name, costs nothing of what the run produced, and is tried again only
where that may help: a killed worker is not made responsible for what it did not do."""

import errno
import os
import shutil
import socket
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from research_app.loop.check import check
from research_app.loop.check.examine import EXAMINING
from research_app.loop.judge import judge
from research_app.loop.reconcile import ReconcileFailed, reconcile, retry
from research_app.loop.train import attempts, record, train
from research_app.loop.train.points import PointWriter
from research_app.models import (
    Candidate,
    Device,
    Event,
    LeaseLost,
    Message,
    Project,
    Run,
    RunLog,
    Stage,
    State,
    TaskLease,
    lease,
)
from research_app.models.lease import MAX_ATTEMPTS, Lease, Lost
from research_app.repository import RepositoryError
from tests.small_project import BETTER, drain, patch, small_project
from training import detectors
from training.failure import Failure, in_words, may_pass_by_itself
from training.spec import Outcome

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project() -> Project:
    return small_project()


@pytest.fixture
def device() -> Device:
    return Device.report("here/cpu.0", "cpu", 0, sandbox_level="strong")


@pytest.fixture
def run(project: Project) -> Run:
    """A run that waits for a device."""
    candidate = check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
    check.check(candidate.pk, "test")
    return Run.objects.get(state=State.QUEUED)


def fresh(run: Run) -> Run:
    return Run.objects.select_related("patch_set__candidate", "project").get(pk=run.pk)


def attention(run: Run) -> str:
    """What its candidate says."""
    assert run.patch_set is not None
    return Candidate.objects.get(pk=run.patch_set.candidate_id).needs_attention


def at_once(run: Run) -> None:
    """The pause after a failed attempt is over."""
    Run.objects.filter(pk=run.pk).update(retry_at=None)


def test_a_missing_repository_is_named_at_once_and_not_tried_again(project: Project, run: Run, device: Device) -> None:
    path = project.repository.path
    path.rename(path.with_suffix(".away"))
    train.train_next(run.queue, device)
    found = fresh(run)
    assert (found.state, found.failed_step, found.attempts) == (State.STUCK, "exporting its code", 1)
    assert "Signoff failed while exporting its code (C-1/1 seed 1)" in found.reason
    assert "not tried again" in found.reason and "killed" not in found.reason
    assert attention(run) == found.reason
    path.with_suffix(".away").rename(path)
    retry(found.patch_set.candidate, "grace")  # type: ignore[union-attr]
    drain()
    assert fresh(run).outcome == Outcome.completed and fresh(run).failed_step == ""


def test_a_missing_text_is_not_blamed_on_the_change(project: Project, run: Run, device: Device) -> None:
    Project.objects.filter(pk=project.pk).update(data_hash="0" * 64)
    train.train_next(run.queue, device)
    found = fresh(run)
    assert (found.state, found.failed_step) == (State.STUCK, "finding its text")
    assert "the project's text is not on this machine" in found.reason and "0000/held_out/gate.bin" in found.reason


def test_a_pattern_without_a_group_is_named_and_not_tried_again(project: Project, run: Run, device: Device) -> None:
    project.config["metric"]["pattern"] = "score=.*"  # as an earlier version took it
    Project.objects.filter(pk=project.pk).update(config=project.config)
    train.train_next(run.queue, device)
    found = fresh(run)
    assert (found.state, found.attempts) == (State.STUCK, 1)
    assert "has no named group" in found.reason and "killed" not in found.reason


def test_a_project_file_that_cannot_be_read_any_more_stops_no_other_project(device: Device) -> None:
    projects = [small_project(slug) for slug in ("broken", "sound")]
    for project in projects:
        candidate = check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
        check.check(candidate.pk, "test")
    broken, sound = Run.objects.filter(state=State.QUEUED).order_by("pk")
    Project.objects.filter(pk=projects[0].pk).update(config={"no such table": {}})
    assert train.train_next(broken.queue, device) and train.train_next(broken.queue, device)
    assert fresh(broken).failed_step == "reading the project's file" and "no such table" in fresh(broken).reason
    assert fresh(sound).outcome == Outcome.completed


def refuse(*_: object, **__: object) -> None:
    raise ValueError("the flux is off")


def test_a_parser_that_fails_keeps_log_exit_code_and_times(run: Run, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.output.OutputParser.feed", refuse)
    train.train_next(run.queue, device)
    found = fresh(run)
    assert (found.state, found.failed_step, found.outcome) == (State.STUCK, "reading what it printed", "")
    assert "ValueError: the flux is off (test_failed_steps.py, line " in found.reason
    assert found.train_seconds is not None and found.started_at and found.finished_at
    assert "train_loss" in RunLog.objects.get(run=run).text


def test_a_record_that_fails_keeps_score_log_curves_and_times(
    run: Run, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("research_app.models.SeriesChunk.compact", refuse)
    train.train_next(run.queue, device)
    found = fresh(run)
    assert (found.state, found.failed_step, found.exit_code) == (State.STUCK, "writing its record", 0)
    assert found.score is not None and found.train_seconds and "and its score" in found.reason
    assert "score=" in RunLog.objects.get(run=run).text and found.series_chunks.exists()
    assert found.attempts == 1 and "not tried again" in found.reason
    assert found.device_seconds == pytest.approx(found.train_seconds), "and what it cost is counted once"


def test_facts_that_cannot_be_stored_cost_nothing_else(run: Run, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    executed = train.execute

    def with_odd_facts(*args: object) -> object:
        result = executed(*args)  # type: ignore[arg-type]
        result.facts.update(speed=float("inf"), words="\ud800", good=1)  # type: ignore[attr-defined]
        return result

    monkeypatch.setattr(train, "execute", with_odd_facts)
    train.train_next(run.queue, device)
    found = fresh(run)
    assert found.outcome == Outcome.completed and found.facts["good"] == 1 and "speed" not in found.facts


def test_a_detector_that_fails_is_a_finding_that_puts_a_gain_in_quarantine(
    project: Project, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_detector(*_: object) -> None:
        raise ZeroDivisionError("no points")

    monkeypatch.setattr(detectors, "RUN_DETECTORS", (broken_detector, *detectors.RUN_DETECTORS))
    candidate = check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
    drain()
    candidate.refresh_from_db()
    assert candidate.stage == Stage.READY and candidate.evidence is not None
    run = Run.objects.filter(patch_set=candidate.patch_set).latest("pk")
    assert run.outcome == Outcome.completed and run.failed_step == EXAMINING
    [finding] = [one for one in run.facts["findings"] if one["detector"] == "broken detector failed"]
    assert finding["level"] == "warning" and "ZeroDivisionError: no points" in finding["sentence"]
    assert candidate.evidence.quarantined, "nobody knows what it would have seen"
    assert candidate.reason_needed


def test_a_database_that_is_away_for_a_moment_costs_nothing(run: Run, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    write, tries = record._write, []

    def away_twice(*args: object) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("the database is away")
        write(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(record, "_write", away_twice)
    monkeypatch.setattr(record, "FIRST_PAUSE", 0.01)
    train.train_next(run.queue, device)
    assert fresh(run).outcome == Outcome.completed and len(tries) == 3


def test_points_wait_while_the_database_is_away(run: Run, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    append, tries = PointWriter.flush, []

    def away_once(writer: object) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise OperationalError("database is locked")
        append(writer)  # type: ignore[arg-type]

    monkeypatch.setattr(PointWriter, "flush", away_once)
    train.train_next(run.queue, device)
    [loss] = fresh(run).series.filter(name="train_loss")
    assert len(loss.values) == 8 * 20, "all of them came in the end"


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(attempts, "resume", full)


def test_a_full_disk_is_tried_again_with_pauses_and_then_named(
    run: Run, device: Device, no_room: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for attempt in range(1, MAX_ATTEMPTS):
        assert train.train_next(run.queue, device)
        found = fresh(run)
        assert (found.state, found.attempts) == (State.QUEUED, attempt)
        assert "No space left on device" in found.last_error
        assert found.retry_at and found.retry_at > timezone.now() + timedelta(seconds=2)
        assert not train.train_next(run.queue, device), "no device takes it before the pause is over"
        at_once(run)
    train.train_next(run.queue, device)
    found = fresh(run)
    assert (found.state, found.failed_step) == (State.STUCK, "taking over what an earlier attempt saved")
    assert "No space left on device" in found.reason and "tried 3 times" in found.reason
    assert found.earlier_seconds > 0


def test_a_full_disk_that_has_room_again_is_no_trouble(run: Run, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(attempts, "resume", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        train.train_next(run.queue, device)
    at_once(run)
    train.train_next(run.queue, device)
    found = fresh(run)
    assert found.outcome == Outcome.completed and found.last_error == "" and attention(run) == ""


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EIO, "Input/output error"), True),
        (OSError(errno.EMFILE, "Too many open files"), True),
        (MemoryError(), True),
        (ConnectionError("reset"), True),
        (TimeoutError("too slow"), True),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), False),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (IsADirectoryError(errno.EISDIR, "Is a directory"), False),
        (ValueError("no"), False),
        (RepositoryError("not a git repository"), False),
        (KeyError("L"), False),
    ],
)
def test_what_the_machine_lacks_may_pass_and_what_is_wrong_does_not(error: Exception, passes: bool) -> None:
    assert may_pass_by_itself(error) is passes
    assert Failure.of("scoring it", error).may_pass is passes


def test_an_error_is_told_on_one_line_with_its_kind_and_place() -> None:
    with pytest.raises(ValueError, match="two") as caught:
        raise ValueError("two\nlines\x00")
    assert in_words(caught.value).startswith("ValueError: two lines (test_failed_steps.py, line ")
    assert in_words(KeyError()) == "KeyError: no message"


def test_whatever_fails_while_the_folder_is_tidied_hides_nothing(
    run: Run, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "leave", lambda _: (_ for _ in ()).throw(OSError("busy")))
    train.train_next(run.queue, device)
    assert fresh(run).outcome == Outcome.completed
    shutil.rmtree(attempts.folders(), ignore_errors=True)


# --- leases


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE", timedelta(seconds=0.4))


@pytest.mark.parametrize("error", [ValueError("a bug"), OperationalError("the database is away")])
def test_a_lease_that_cannot_be_renewed_is_lost(short: None, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    row = TaskLease.objects.create(name="test")
    held = TaskLease.claim(row.pk, "test")
    assert held is not None

    def broken(_: Lease) -> bool:
        raise error

    monkeypatch.setattr(Lease, "renew", broken)
    with held.heartbeat() as lost:
        assert lost.wait(5)
        assert str(error) in lost.why


def test_a_database_that_is_away_for_less_than_the_lease_loses_nothing(short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    row = TaskLease.objects.create(name="test")
    held = TaskLease.claim(row.pk, "test")
    assert held is not None
    renew, tries = Lease.renew, []

    def away_once(self: Lease) -> bool:
        tries.append(1)
        if len(tries) == 1:
            raise OperationalError("the database is away")
        return renew(self)

    monkeypatch.setattr(Lease, "renew", away_once)
    with held.heartbeat() as lost:
        assert not lost.wait(0.6) and len(tries) > 2


def test_a_run_whose_lease_cannot_be_renewed_is_stopped_and_its_outcome_is_not_written(
    project: Project, device: Device, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = ("for step in STEPS:\n", "import time\ntime.sleep(30)\nfor step in STEPS:\n")
    candidate = check.submit(project, patch(change), "Slow", category="optimiser", author="ada")
    check.check(candidate.pk, "test")
    run = Run.objects.get(state=State.QUEUED)
    monkeypatch.setattr(Lease, "renew", lambda _: (_ for _ in ()).throw(ValueError("a bug in the heartbeat")))
    begun = timezone.now()
    train.train_next(run.queue, device)
    assert timezone.now() - begun < timedelta(seconds=20), "it was stopped, not trained to its end"
    found = fresh(run)
    assert (found.state, found.outcome, found.lease_until) == (State.QUEUED, "", None)
    assert "its lease could not be renewed: ValueError: a bug in the heartbeat" in found.last_error
    assert found.earlier_seconds > 0


def test_a_worker_of_which_nothing_is_known_is_not_said_to_be_killed(run: Run, device: Device) -> None:
    for holder in ("elsewhere/cpu.0 pid 4", "nonsense"):
        assert Run.claim_next(run.queue, device)
        Run.objects.filter(pk=run.pk).update(leased_by=holder, lease_until=timezone.now() - timedelta(seconds=1))
        reconcile()
        assert "known" in fresh(run).last_error and "was killed" not in fresh(run).last_error


def test_a_worker_whose_process_is_gone_is_said_to_have_died(run: Run, device: Device) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert Run.claim_next(run.queue, device)
    gone = f"{socket.gethostname()}/cpu.0 pid {pid}"
    Run.objects.filter(pk=run.pk).update(leased_by=gone, lease_until=timezone.now() - timedelta(seconds=1))
    reconcile()
    assert fresh(run).last_error.startswith(f"its worker died: there is no process {pid} on ")


# --- steps of a candidate


def test_a_judge_that_raises_for_ever_says_so_once_with_pauses_between(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "judge_look", refuse)
    candidate = check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
    for attempt in range(1, MAX_ATTEMPTS):
        with pytest.raises(ValueError, match="the flux is off"):
            drain() if attempt == 1 else judge.judge(candidate.revision.pk, "test")
        candidate = Candidate.objects.get(pk=candidate.pk)
        assert candidate.needs_attention == "" and candidate.attempts == attempt
        assert candidate.retry_at and candidate.retry_at > timezone.now() + timedelta(seconds=2)
    judge.judge(candidate.revision.pk, "test")
    judge.judge(candidate.revision.pk, "test")
    candidate.refresh_from_db()
    assert "Judging failed 3 times; the last time: ValueError: the flux is off" in candidate.needs_attention
    assert candidate.stage == Stage.SCREENING and candidate.lease_until is None
    assert Event.objects.filter(kind="needs attention").count() == 1
    monkeypatch.undo()
    retry(candidate, "grace")
    judge.judge(candidate.revision.pk, "test")
    drain()
    candidate.refresh_from_db()
    assert candidate.stage == Stage.READY and candidate.needs_attention == ""


def test_the_reconciler_does_not_wake_what_just_failed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
    long_ago = timezone.now() - timedelta(minutes=5)
    Message.objects.all().delete()
    Candidate.objects.filter(pk=candidate.pk).update(stage_since=long_ago, retry_at=timezone.now() + timedelta(minutes=1))
    reconcile()
    assert not Message.objects.filter(task="check").exists()
    Candidate.objects.filter(pk=candidate.pk).update(retry_at=None)
    reconcile()
    assert Message.objects.filter(task="check").exists()


def test_a_step_of_the_reconciler_that_fails_keeps_no_other_from_its_turn(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
    Message.objects.all().delete()
    Candidate.objects.filter(pk=candidate.pk).update(stage_since=timezone.now() - timedelta(minutes=5))

    def broken() -> None:
        raise KeyError("L")

    monkeypatch.setattr("research_app.loop.reconcile.wake_proposers", broken)
    with pytest.raises(ReconcileFailed, match="broken: KeyError: 'L'"):
        reconcile()
    assert Message.objects.filter(task="check").exists()


def test_a_check_that_fails_after_the_change_was_examined_is_given_back_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "begin_screening", refuse)
    candidate = check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
    for attempt in range(1, MAX_ATTEMPTS):
        with pytest.raises(ValueError, match="the flux is off"):
            check.check(candidate.pk, "test")
        candidate.refresh_from_db()
        assert candidate.lease_until is None and candidate.attempts == attempt
    check.check(candidate.pk, "test")
    candidate.refresh_from_db()
    assert "Checking failed 3 times; the last time: ValueError: the flux is off" in candidate.needs_attention


def test_a_lease_that_somebody_else_has_is_no_failure() -> None:
    row = TaskLease.objects.create(name="test")
    held = TaskLease.claim(row.pk, "test")
    assert held is not None
    TaskLease.objects.filter(pk=row.pk).update(fence_token=99)
    with held.heartbeat() as lost:
        assert isinstance(lost, Lost) and lost.why == ""
    with pytest.raises(LeaseLost):
        held.write(last_error="")
