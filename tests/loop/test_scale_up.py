"""Scale-up: both arms on larger rungs, the verdict whether the gain transfers, and what can stop on the way."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from research_app.access import Role, set_role
from research_app.loop.reconcile import OVERDUE_AFTER, reconcile, retry
from research_app.loop.scale_up import scale_up as scale_up_step
from research_app.loop.scale_up.scale_up import ScaleUpRefused, compute_of, measured, prediction, stop
from research_app.models import (
    Candidate,
    Device,
    Event,
    Evidence,
    Message,
    Project,
    Run,
    ScaleUp,
    ScaleUpState,
    Stage,
    State,
    Verdict,
)
from tests.ladder_project import DOES_NOT_HOLD, HOLDS, approve, fresh, ladder_project, submit
from tests.landing_samples import training_at_once
from tests.small_project import approver, drain
from training.spec import Outcome

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases, pytest.mark.one_in(2)]


@pytest.fixture
def project() -> Iterator[Project]:
    """Its runs end as soon as they begin."""
    with training_at_once():
        yield ladder_project()


@pytest.fixture
def trained() -> Project:
    """Its runs are processes of their own."""
    return ladder_project()


def at(project: Project, scale: str, candidate: Candidate | None = None) -> list[Run]:
    """Runs at one rung: of the baseline, or of a candidate."""
    if candidate is None:
        return list(project.tip().runs.of_baseline(scale).order_by("pk"))
    return list(fresh(candidate).revision.runs.filter(scale=scale).order_by("seed"))


def operator(name: str = "olga") -> User:
    user = User.objects.create_user(name)
    set_role(user, Role.OPERATOR)
    return user


def test_a_solid_candidate_waits_on_the_shortlist_and_trains_nothing_larger(project: Project) -> None:
    candidate = submit(project, HOLDS)
    assert candidate.stage == Stage.SHORTLISTED, candidate.why
    reconcile()
    drain()
    assert not project.runs.exclude(scale="S").exists()


def test_a_gain_that_holds_passes_the_rung_and_goes_to_gate_two(trained: Project) -> None:
    candidate = submit(trained, HOLDS)
    approve(candidate, approver())
    assert fresh(candidate).stage == Stage.SCALING_UP
    drain()
    candidate = fresh(candidate)
    assert candidate.stage == Stage.READY, candidate.why
    step = ScaleUp.objects.get()
    assert step.state == ScaleUpState.PASSED and step.reason.startswith("Holds at M: saves ")
    evidence = Evidence.objects.get(scale="M")
    transfer, saved = evidence.numbers["transfer"], evidence.numbers["savings"]["saved"]
    assert evidence.verdict == Verdict.SOLID and transfer["passed"] is True and transfer["p_value"] < 0.05
    assert saved == pytest.approx(1 - 2.718281828 ** (-0.01 / 0.05), abs=0.06), "a gain of 0.01 at 0.05 per e-fold of budget"
    assert saved >= transfer["promised"] / 2 > 0
    assert candidate.evidence is not None and candidate.evidence.scale == "S", "the card still shows the confirmation at S"


def test_a_gain_that_is_gone_at_the_larger_scale_ends_as_no_transfer_with_the_reason(project: Project) -> None:
    candidate = submit(project, DOES_NOT_HOLD)
    assert candidate.stage == Stage.SHORTLISTED, candidate.why
    approve(candidate, approver())
    drain()
    candidate = fresh(candidate)
    assert candidate.stage == Stage.NO_TRANSFER
    assert "At M: worse: −0.00" in candidate.why and "on this rung" in candidate.why, "harm is said as harm"
    assert "more time, where the rung below promised" in candidate.why and "within the noise" not in candidate.why
    assert Evidence.objects.get(scale="M").verdict == Verdict.WORSE
    assert ScaleUp.objects.get().state == ScaleUpState.FAILED


def test_both_arms_have_the_same_fresh_seeds_and_the_baseline_its_curve(project: Project) -> None:
    candidate = submit(project, HOLDS)
    approve(candidate, approver())
    drain()
    mine, theirs = at(project, "M", candidate), at(project, "M")
    full = [run for run in theirs if run.budget_share == 1.0]
    assert [run.seed for run in mine] == [run.seed for run in full] == [1, 2, 3, 4]
    assert sorted(run.budget_share for run in theirs if run.budget_share != 1.0) == [0.8, 0.9, 1.15, 1.3]
    assert {run.queue for run in mine} == {"train.cpu"}
    scores = {run.score for run in mine}
    assert max(score for score in scores if score is not None) < min(run.score for run in full if run.score is not None)


def test_the_second_candidate_of_a_baseline_shares_its_runs(project: Project) -> None:
    first, second = submit(project, HOLDS), submit(project, DOES_NOT_HOLD)
    for candidate in (first, second):
        approve(candidate, approver())
    drain()
    assert len(at(project, "M")) == 8
    assert fresh(first).stage == Stage.READY and fresh(second).stage == Stage.NO_TRANSFER


def test_runs_of_larger_rungs_do_not_count_as_the_reference_runs_or_the_noise_of_the_smallest(project: Project) -> None:
    candidate = submit(project, HOLDS)
    reference, noise = len(at(project, "S")), project.noise()
    approve(candidate, approver())
    drain()
    assert len(at(project, "S")) == reference and project.noise() == noise
    larger = project.noise("M")
    assert larger is not None and larger.degrees == 3


def test_a_scale_up_of_two_rungs_goes_on_after_the_first_and_predicts_the_second(project: Project) -> None:
    candidate = submit(project, HOLDS)
    approve(candidate, approver(), ("M", 4), ("L", 3))
    drain()
    candidate = fresh(candidate)
    assert candidate.stage == Stage.READY and candidate.why.startswith("Holds at L")
    assert [rung.rung for rung in measured(candidate)] == ["S", "M", "L"]
    assert len(at(project, "L", candidate)) == 3
    expected = prediction(measured(candidate)[:2], 64)
    assert expected is not None and expected.interval[0] < measured(candidate)[2].saved < expected.interval[1]
    kinds = list(Event.objects.about(candidate).values_list("kind", flat=True))
    assert kinds.count("evidence frozen") >= 3 and "scale-up approved" in kinds


def test_a_scale_up_ends_at_the_first_rung_that_it_does_not_pass(project: Project) -> None:
    candidate = submit(project, DOES_NOT_HOLD)
    approve(candidate, approver(), ("M", 4), ("L", 3))
    drain()
    assert fresh(candidate).stage == Stage.NO_TRANSFER
    assert not at(project, "L") and ScaleUp.objects.get().rung == "M"


def test_compute_is_that_of_the_flops_that_were_counted_and_else_of_the_budget(project: Project) -> None:
    runs = at(project, "S")
    assert compute_of(project, "M", runs) == 8
    for run in runs:
        run.facts = {"flops": 100}
        run.save()
    larger = [Run(facts={"flops": 790}), Run(facts={"flops": 810})]
    assert compute_of(project, "M", larger) == 8.0


def test_a_candidate_that_crashes_on_a_larger_rung_does_not_transfer_and_says_why(trained: Project) -> None:
    candidate = submit(trained, DOES_NOT_HOLD, ("NOISE = 0.001  # not a knob", "NOISE = 0.001 / (SIZE < 2)"))
    approve(candidate, approver())
    drain()
    candidate = fresh(candidate)
    assert candidate.stage == Stage.NO_TRANSFER and "ZeroDivisionError" in candidate.why


def test_a_scale_up_whose_every_message_was_lost_goes_on(project: Project) -> None:
    candidate = submit(project, HOLDS)
    approve(candidate, approver())
    Message.objects.all().delete()
    device = Device.report("here/cpu.0", "cpu", 0, sandbox_level="strong")
    for _ in range(40):
        Run.objects.update(created_at=timezone.now() - 2 * OVERDUE_AFTER)
        Run.objects.filter(state=State.FINISHED).update(finished_at=timezone.now() - 2 * OVERDUE_AFTER)
        reconcile()
        if not Message.objects.exists():
            break
        message = Message.objects.order_by("pk").first()
        assert message is not None
        Message.objects.exclude(pk=message.pk).delete()  # and all but one are lost again
        drain()
    assert device.pk and fresh(candidate).stage == Stage.READY, fresh(candidate).why


def test_a_rung_that_was_judged_while_its_worker_died_is_judged_once_more_and_once_only(project: Project) -> None:
    candidate = submit(project, HOLDS)
    step = approve(candidate, approver())
    Message.objects.all().delete()
    for run in Run.objects.filter(state=State.QUEUED).order_by("pk"):
        Message.objects.create(task="train", object_id=run.pk, queue=run.queue)
    drain()
    assert fresh(candidate).stage == Stage.READY
    for _ in range(3):
        scale_up_step.scale_up(step.patch_set_id, "again")
    assert Evidence.objects.filter(scale="M").count() == 1


def test_a_person_stops_a_scale_up_and_its_runs_end(project: Project) -> None:
    candidate = submit(project, HOLDS)
    step = approve(candidate, approver())
    device = Device.report("here/cpu.0", "cpu", 0, sandbox_level="strong")
    lease = Run.claim_next("train.cpu", device)
    assert lease is not None
    stop(step, operator(), "The electricity is dear today")
    candidate = fresh(candidate)
    assert candidate.stage == Stage.SHORTLISTED and "stopped by olga: The electricity" in candidate.why
    assert not Run.objects.exclude(state=State.FINISHED).exists()
    assert set(project.runs.exclude(scale="S").values_list("outcome", flat=True)) == {Outcome.cancelled}
    assert not lease.renew(), "the worker that trained one lost its lease, and ends the run"
    assert ScaleUp.objects.get().ended_by == "olga"
    with pytest.raises(ScaleUpRefused, match="ended already"):
        stop(step, User.objects.get(username="olga"), "")


def test_a_stopped_scale_up_can_be_approved_again_and_takes_the_same_runs(project: Project) -> None:
    candidate = submit(project, HOLDS)
    stop(approve(candidate, approver()), operator(), "")
    before = project.runs.count()
    approve(candidate, approver())
    drain()
    assert fresh(candidate).stage == Stage.READY, fresh(candidate).why
    assert project.runs.count() == before


def test_stopping_one_scale_up_leaves_the_runs_that_another_one_waits_for(project: Project) -> None:
    first, second = submit(project, HOLDS), submit(project, DOES_NOT_HOLD)
    step = approve(first, approver())
    approve(second, approver())
    stop(step, operator(), "")
    drain()
    assert fresh(second).stage == Stage.NO_TRANSFER
    assert fresh(first).stage == Stage.SHORTLISTED
    assert {run.outcome for run in at(project, "M", first)} == {Outcome.cancelled}


def test_only_an_operator_stops_a_scale_up(project: Project) -> None:
    step = approve(submit(project, HOLDS), approver())
    with pytest.raises(ScaleUpRefused, match="operator"):
        stop(step, User.objects.create_user("vera"), "")
    assert ScaleUp.objects.get().state == ScaleUpState.RUNNING


def test_a_stuck_run_of_the_rung_is_said_on_the_candidate_and_trying_again_goes_on(project: Project) -> None:
    candidate = submit(project, HOLDS)
    approve(candidate, approver())
    stuck = at(project, "M")[0]
    Run.objects.filter(pk=stuck.pk).update(state=State.STUCK, reason="The disk is full.")
    reconcile()
    assert "The disk is full." in fresh(candidate).needs_attention
    Message.objects.all().delete()
    retry(candidate, "olga")
    for run in Run.objects.filter(state=State.QUEUED):
        Message.objects.create(task="train", object_id=run.pk, queue=run.queue)
    drain()
    assert fresh(candidate).stage == Stage.READY


def test_a_rung_without_a_readable_curve_is_not_settled_and_goes_back_to_the_shortlist() -> None:
    project = ladder_project("flat")
    candidate = submit(project, HOLDS)
    approve(candidate, approver())
    drain()
    step = ScaleUp.objects.get()
    Run.objects.filter(scale="M", patch_set=None).exclude(budget_share=1.0).update(score=2.0)
    Evidence.objects.filter(scale="M").delete()
    ScaleUp.objects.update(state=ScaleUpState.RUNNING, ended_at=None)
    Candidate.objects.filter(pk=candidate.pk).update(stage=Stage.SCALING_UP)
    scale_up_step.scale_up(step.patch_set_id, "test")
    assert fresh(candidate).stage == Stage.SHORTLISTED
    assert ScaleUp.objects.get().state == ScaleUpState.UNSETTLED
    assert "time saved cannot be told" in fresh(candidate).why


def test_device_time_of_lost_attempts_is_counted(project: Project) -> None:
    candidate = submit(project, HOLDS)
    approve(candidate, approver())
    device = Device.report("here/cpu.0", "cpu", 0, sandbox_level="strong")
    lease = Run.claim_next("train.cpu", device)
    assert lease is not None
    now = timezone.now()
    Run.objects.filter(pk=lease.pk).update(started_at=now - timedelta(seconds=100), lease_until=now - timedelta(seconds=1))
    reconcile()
    run = Run.objects.get(pk=lease.pk)
    assert run.state == State.QUEUED and 70 < run.earlier_seconds < 100
    drain()
    run.refresh_from_db()
    assert run.device_seconds == pytest.approx(run.earlier_seconds + (run.train_seconds or 0))
