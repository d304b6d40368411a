"""Stacks: several candidates as one, and the check that switches what landed on and off."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import transaction

from research_app.evidence.ablation_design import FRESH_RUNS
from research_app.loop.judge import contradictions
from research_app.loop.land.on_baseline import landings_on_baseline
from research_app.loop.propose.revert import RevertRefused, propose_removal, revert
from research_app.loop.reconcile import reconcile
from research_app.loop.review.review import Seen, approve
from research_app.loop.stacks.ablate import AblationRefused, ablation_price, begin_ablation, further_price, stop_ablation
from research_app.loop.stacks.stack import NoStack, form_stack
from research_app.models import (
    Ablation,
    AblationState,
    Candidate,
    Event,
    Kind,
    Landing,
    Message,
    Project,
    Purpose,
    Run,
    Stage,
    State,
)
from tests.landing_samples import approved, fresh, knob, knobs_project, landed, ready, training_at_once
from tests.small_project import approver, drain
from tests.stack_samples import same_seeds

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_in(2)]


@pytest.fixture(autouse=True)
def _training_at_once() -> Iterator[None]:
    with training_at_once():
        yield


@pytest.fixture(autouse=True)
def _same_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    same_seeds(monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = knobs_project(tmp_path)
    drain()
    return made


def effects_of(check: Ablation) -> dict[int, float]:
    return {int(row["change"]): row["effect"] for row in check.result["effects"]}


def test_a_stack_is_a_candidate_whose_diff_is_that_of_its_members_together(project: Project) -> None:
    members = [ready(project, knob(2)), ready(project, knob(3))]
    stack = form_stack(project, members, "grace")
    assert (stack.kind, stack.stage) == (Kind.STACK, Stage.SCREENING)
    assert list(stack.members.order_by("number")) == members
    text = project.repository.read(stack.revision.commit, "train.py").decode()
    assert "KNOB_02 = 1" in text and "KNOB_03 = 1" in text
    drain(limit=500)
    stack = fresh(stack)
    assert stack.stage == Stage.READY and stack.evidence and stack.evidence.effect and stack.evidence.effect > 0.015
    approve(stack, approver(), Seen.of(stack))
    drain(limit=500)
    assert landed(project) == ["knobs/3"]
    assert [fresh(member).stage for member in members] == [Stage.LANDED, Stage.LANDED]
    assert "as part of C-3" in fresh(members[0]).why
    (newest, *_) = project.repository.log(1)
    assert [value for key, value in newest.trailers if key == "Includes"] == ["knobs/1", "knobs/2"]


def test_members_that_alter_the_same_lines_make_no_stack_and_both_are_named(project: Project) -> None:
    members = [ready(project, knob(2)), ready(project, knob(2, 2))]
    with pytest.raises(NoStack, match=r"C-2 alters the same lines of train\.py as C-1"):
        form_stack(project, members, "grace")
    with pytest.raises(NoStack, match="at least two"):
        form_stack(project, members[:1], "grace")


def landed_three(project: Project) -> list[Candidate]:
    """Two that help, and one that only looked so when it landed."""
    nothing = approved(project, ("train.py", "KNOB_05 = 0\n", "KNOB_05 = 0 * 1\n"))
    drain(limit=500)
    helpful = [approved(project, knob(2)), approved(project, knob(8))]
    drain(limit=500)
    assert len(landed(project)) == 3
    return [fresh(helpful[0]), fresh(nothing), fresh(helpful[1])]


def test_the_check_finds_what_each_adds_and_what_nobody_would_miss(project: Project) -> None:
    useful, nothing, other = members = landed_three(project)
    price, further = ablation_price(project, members, folded=True), further_price(project, members)
    assert price.runs == 8 + 7 + 3 * 4 + 3 * 4, "the bare tree, the baseline, each change alone, and the baseline without each"
    check = begin_ablation(project, members, True, "grace")
    drain(limit=500)
    check.refresh_from_db()
    assert check.state == AblationState.FINISHED, check.reason
    trained = Run.objects.filter(purpose=Purpose.STACK, state=State.FINISHED)
    assert trained.filter(cell__fresh=False).count() == price.runs
    fresh_runs = trained.filter(cell__fresh=True).count()
    assert fresh_runs in (2 * FRESH_RUNS, 4 * FRESH_RUNS) and fresh_runs <= further.runs, "one change, once or twice"
    effects = effects_of(check)
    assert effects[useful.number] == pytest.approx(0.01, abs=0.003)
    assert effects[other.number] == pytest.approx(0.01, abs=0.003)
    assert effects[nothing.number] == pytest.approx(0.0, abs=0.003)
    missed = {row["change"] for row in check.result["effects"] if row["unhelpful"]}
    assert missed == {str(nothing.number)}
    assert check.result["bundle"]["bundle"] == pytest.approx(0.02, abs=0.004)
    assert check.result["bundle"]["verdict"] == "adds up"
    assert Landing.objects.get(candidate=nothing).contradictions.startswith(f"Ablation {check.pk}"), "its landing is flagged"
    assert not Landing.objects.get(candidate=useful).contradictions
    assert Event.objects.filter(kind="gain doubted").count() == 1


def test_a_removal_is_a_candidate_that_goes_to_a_person_unless_it_does_harm(project: Project) -> None:
    useful, nothing, _ = members = landed_three(project)
    check = begin_ablation(project, members, True, "grace")
    drain(limit=500)
    check.refresh_from_db()
    removal = propose_removal(check, nothing, approver())
    with pytest.raises(RevertRefused, match="proposes just that already"):
        propose_removal(check, nothing, approver())
    drain(limit=500)
    removal = fresh(removal)
    assert (removal.kind, removal.stage) == (Kind.REMOVAL, Stage.READY), removal.why
    approve(removal, approver(), Seen.of(removal), "Nobody misses it.")
    drain(limit=500)
    assert landed(project)[0] == f"knobs/{removal.number}"
    assert b"KNOB_05 = 0\n" in project.repository.read(project.repository.tip(), "train.py")
    with pytest.raises(RevertRefused, match=f"not shown that {useful} can be taken out without a loss"):
        propose_removal(check, useful, approver())


def test_a_removal_that_a_check_was_wrong_about_is_seen_to_do_harm(project: Project) -> None:
    useful, *_ = members = landed_three(project)
    check = begin_ablation(project, members, True, "grace")
    drain(limit=500)
    check.refresh_from_db()
    for row in check.result["effects"]:
        row["advice"] = "remove: brings nothing"
    check.save()
    harmful = propose_removal(check, useful, approver())
    drain(limit=500)
    assert fresh(harmful).stage == Stage.DROPPED, "taking out what helps is judged like any change"


def test_a_check_of_an_earlier_baseline_advises_nothing_about_the_one_of_today(project: Project) -> None:
    _, nothing, _ = members = landed_three(project)
    check = begin_ablation(project, members, True, "grace")
    drain(limit=500)
    check.refresh_from_db()
    approved(project, knob(9))
    drain(limit=500)
    with pytest.raises(RevertRefused, match="is of baseline 3, and the baseline is 4 now"):
        propose_removal(check, nothing, approver())


def test_what_was_taken_back_is_off_the_baseline_until_that_is_taken_back_too(project: Project) -> None:
    first, second = approved(project, knob(2)), approved(project, knob(3))
    drain(limit=500)
    assert set(landings_on_baseline([fresh(first), fresh(second)])) == {first.pk, second.pk}
    version = Landing.objects.get(candidate=first).version
    assert version
    back = revert(version, approver())
    drain(limit=500)
    approve(fresh(back), approver(), Seen.of(fresh(back)), "It was a mistake.")
    drain(limit=500)
    assert set(landings_on_baseline([fresh(first), fresh(second)])) == {second.pk}
    with pytest.raises(AblationRefused, match="What is no longer on the baseline cannot be checked"):
        ablation_price(project, [fresh(first), fresh(second)], folded=True)
    again = Landing.objects.get(candidate=back).version
    assert again
    forth = revert(again, approver())
    drain(limit=500)
    approve(fresh(forth), approver(), Seen.of(fresh(forth)), "It was none.")
    drain(limit=500)
    assert fresh(forth).stage == Stage.LANDED, fresh(forth).why
    assert set(landings_on_baseline([fresh(first), fresh(second)])) == {first.pk, second.pk}


def test_the_members_of_a_stack_that_landed_are_on_the_baseline_and_one_of_them_can_be_removed(project: Project) -> None:
    members = [ready(project, knob(2)), ready(project, ("train.py", "KNOB_05 = 0\n", "KNOB_05 = 0 * 1\n"))]
    stack = form_stack(project, members, "grace")
    drain(limit=500)
    approve(fresh(stack), approver(), Seen.of(fresh(stack)), "Together.")
    drain(limit=500)
    landed_members = [fresh(member) for member in members]
    assert set(landings_on_baseline(landed_members)) == {member.pk for member in members}
    check = begin_ablation(project, landed_members, True, "grace")
    drain(limit=500)
    check.refresh_from_db()
    removal = propose_removal(check, landed_members[1], approver())
    drain(limit=500)
    approve(fresh(removal), approver(), Seen.of(fresh(removal)), "Nobody misses it.")
    drain(limit=500)
    assert set(landings_on_baseline([fresh(member) for member in members])) == {members[0].pk}, "the other one stays"


def test_landed_and_approved_changes_can_be_checked_together(project: Project) -> None:
    first = approved(project, knob(2))
    drain(limit=500)
    waiting = ready(project, knob(5))
    check = begin_ablation(project, [fresh(first), waiting], False, "grace")
    drain(limit=500)
    check.refresh_from_db()
    assert check.state == AblationState.FINISHED, check.reason
    for number, effect in effects_of(check).items():
        assert effect == pytest.approx(0.01, abs=0.004), number
    bare = check.cells.get(on=[])
    assert project.repository.tree_of(bare.commit) == project.baseline_versions.get(number=0).tree


def test_a_check_of_changes_that_cannot_be_told_apart_ends_with_the_reason(project: Project) -> None:
    both = [ready(project, knob(2)), ready(project, knob(2, 2))]
    check = begin_ablation(project, both, True, "grace")
    drain(limit=500)
    check.refresh_from_db()
    assert check.state == AblationState.FAILED and "C-2 cannot be switched" in check.reason
    assert Run.objects.filter(purpose=Purpose.STACK).count() == 0


def test_what_is_neither_landed_nor_approved_is_refused(project: Project) -> None:
    good, bad = ready(project, knob(2)), ready(project, knob(3))
    Candidate.objects.filter(pk=bad.pk).update(stage=Stage.DROPPED)
    with pytest.raises(AblationRefused, match="C-2: only what landed"):
        begin_ablation(project, [good, fresh(bad)], True, "grace")
    with pytest.raises(AblationRefused, match="Choose 2 to 24"):
        begin_ablation(project, [good], True, "grace")


def test_a_check_whose_messages_were_lost_is_found_by_the_reconciler_and_a_stopped_one_trains_no_more(project: Project) -> None:
    pair = [ready(project, knob(2)), ready(project, knob(3))]
    check, stopped = begin_ablation(project, pair, True, "grace"), begin_ablation(project, pair, False, "grace")
    Message.objects.all().delete()
    stop_ablation(stopped, "grace")
    reconcile()
    drain(limit=500)
    check.refresh_from_db()
    stopped.refresh_from_db()
    assert (check.state, stopped.state) == (AblationState.FINISHED, AblationState.STOPPED)
    assert Run.objects.filter(cell__check_of=stopped).count() == 0


def test_runs_of_a_check_are_no_runs_of_the_baseline(project: Project) -> None:
    before = project.noise()
    pair = [ready(project, knob(2)), ready(project, knob(3))]
    begin_ablation(project, pair, True, "grace")
    drain(limit=500)
    assert before and project.noise() == before
    assert project.tip().runs.of_baseline().filter(purpose=Purpose.STACK).count() == 0


def test_an_aa_candidate_that_is_found_solid_contradicts_gains_no_larger_than_its_own(project: Project) -> None:
    small, large = approved(project, knob(2), effect=0.004), approved(project, knob(3), effect=0.05)
    drain(limit=500)
    for candidate, effect in ((small, 0.004), (large, 0.05)):
        evidence = fresh(candidate).evidence
        assert evidence
        evidence.numbers["confirmation"] = {"effect": effect, "standard_error": 0.001}
        evidence.save()
    aa = ready(project, knob(9), effect=0.006)
    assert aa.evidence
    aa.evidence.numbers["confirmation"] = {"effect": 0.006, "standard_error": 0.001}
    with transaction.atomic():
        contradictions.contradict_by_no_op(aa, aa.evidence)
    assert "changes nothing" in Landing.objects.get(candidate=small).contradictions
    assert Landing.objects.get(candidate=large).contradictions == ""
