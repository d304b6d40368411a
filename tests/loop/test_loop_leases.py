"""A lease with a fencing token: one worker at a time, and a worker that lost its row cannot write (invariant 2)."""

from datetime import timedelta

import pytest
from django.utils import timezone

from research_app.health import examine
from research_app.loop.check import check
from research_app.loop.reconcile import reconcile, retry
from research_app.loop.train import train
from research_app.models import Device, LeaseLost, Project, Run, Series, SeriesChunk, State, TaskLease, lease
from research_app.models.lease import MAX_ATTEMPTS
from tests.small_project import BETTER, WIDER, drain, patch, small_project
from tests.small_project import submit as submit_and_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def project() -> Project:
    return small_project()


@pytest.fixture
def device() -> Device:
    return Device.report("here/cpu.0", "cpu", 0, sandbox_level="strong")


def queued(project: Project, change: tuple[str, str] = BETTER) -> Run:
    """A run that waits for a device."""
    candidate = check.submit(project, patch(change), "Faster", category="optimiser", author="ada")
    check.check(candidate.pk, "test")
    return Run.objects.get(state=State.QUEUED)


def expire(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_a_run_is_claimed_once(project: Project, device: Device) -> None:
    run = queued(project)
    first = Run.claim_next(run.queue, device)
    assert first is not None and first.pk == run.pk
    assert Run.claim_next(run.queue, device) is None


def test_a_worker_that_lost_its_lease_can_write_neither_outcome_nor_points(project: Project, device: Device) -> None:
    run = queued(project)
    old = Run.claim_next(run.queue, device)
    assert old is not None
    expire(run)
    reconcile()
    new = Run.claim_next(run.queue, device)
    assert new is not None and new.token > old.token
    with pytest.raises(LeaseLost):
        old.write(score=0.0)
    with pytest.raises(LeaseLost):
        SeriesChunk.append(old, 0, {"train_loss": [[1], [1.0]]}, 0.5)
    assert not old.renew() and new.renew()
    assert SeriesChunk.objects.filter(run=run).count() == 0
    assert Run.objects.get(pk=run.pk).score is None


def test_the_outcome_of_a_run_that_was_taken_away_meanwhile_is_discarded(
    project: Project, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = queued(project)
    execute = train.execute

    def slow(*args: object) -> object:
        result = execute(*args)  # type: ignore[arg-type]
        expire(run)
        reconcile()
        return result

    monkeypatch.setattr(train, "execute", slow)
    assert train.train_next(run.queue, device)
    run.refresh_from_db()
    assert run.state == State.QUEUED and run.score is None


def test_a_run_whose_worker_died_is_trained_again_and_counted_once(project: Project, device: Device) -> None:
    run = queued(project)
    assert Run.claim_next(run.queue, device)
    expire(run)
    reconcile()
    drain()
    run.refresh_from_db()
    assert run.state == State.FINISHED and run.score is not None
    assert Run.objects.filter(patch_set=run.patch_set, seed=run.seed).count() == 1
    assert Series.objects.filter(run=run, name="train_loss").count() == 1 and not SeriesChunk.objects.filter(run=run).exists()


def test_after_three_lost_attempts_a_person_is_asked_and_can_start_it_again(project: Project, device: Device) -> None:
    run = queued(project)
    for _ in range(MAX_ATTEMPTS):
        assert Run.claim_next(run.queue, device)
        expire(run)
        reconcile()
    train.train_next(run.queue, device)
    run.refresh_from_db()
    assert run.state == State.STUCK and run.patch_set is not None
    assert "Try again" in run.patch_set.candidate.needs_attention
    retry(run.patch_set.candidate, "grace")
    drain()
    run.refresh_from_db()
    assert run.state == State.FINISHED
    assert run.patch_set.candidate.__class__.objects.get(pk=run.patch_set.candidate_id).needs_attention == ""


def test_a_worker_that_is_asked_to_stop_gives_its_run_back_without_using_up_an_attempt(
    project: Project, device: Device
) -> None:
    run = queued(project)
    train.stopping.set()
    try:
        train.train_next(run.queue, device)
    finally:
        train.stopping.clear()
    run.refresh_from_db()
    if run.state == State.QUEUED:  # else it ended before it could be stopped
        assert run.attempts == 0 and run.lease_until is None
        drain()
        run.refresh_from_db()
    assert run.state == State.FINISHED


def test_a_lease_is_renewed_while_the_work_goes_on_and_tells_when_it_is_lost(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE", timedelta(seconds=0.4))
    row = TaskLease.objects.create(name="test")
    held = TaskLease.claim(row.pk, "test")
    assert held is not None
    with held.heartbeat() as lost:
        begin = TaskLease.objects.get(pk=row.pk).lease_until
        assert not lost.wait(0.5)
        assert TaskLease.objects.get(pk=row.pk).lease_until > begin
        TaskLease.objects.filter(pk=row.pk).update(fence_token=99)
        assert lost.wait(5)


def test_reference_runs_go_before_screenings(project: Project, device: Device) -> None:
    submit_and_run(project, BETTER)
    run = queued(project, WIDER)
    Run.objects.create(
        project=project, baseline=run.baseline, purpose="bank", priority=1, queue=run.queue, commit=run.commit, seed=77
    )
    claimed = Run.claim_next(run.queue, device)
    assert claimed is not None and Run.objects.get(pk=claimed.pk).seed == 77


def test_a_worker_whose_sandbox_is_too_weak_takes_no_work_and_says_what_to_do(project: Project) -> None:
    run = queued(project)
    weak = Device.report("here/cpu.1", "cpu", 1, sandbox_level="none", sandbox_advice="Install bubblewrap.")
    assert Run.claim_next(run.queue, weak) is None
    weak.refresh_from_db()
    assert "needs the sandbox level basic, this machine has none. Install bubblewrap." in weak.refusal
    [finding] = [one for one in examine(thorough=True) if one.name == "sandbox"]
    assert not finding.ok and "Install bubblewrap." in finding.fix
    better = Device.report("here/cpu.1", "cpu", 1, sandbox_level="basic", sandbox_advice="")
    assert Run.claim_next(run.queue, better) is not None
    better.refresh_from_db()
    assert better.refusal == ""
