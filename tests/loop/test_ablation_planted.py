"""Ablations against planted truth: what interacts is named, alone is measured alone, and no good change is advised away."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from research_app.evidence.ablation import Advice, Report, read
from research_app.loop.propose.revert import RevertRefused, propose_removal
from research_app.loop.review.review import Seen, approve
from research_app.loop.stacks.ablate import begin_ablation, check_stack
from research_app.models import Ablation, AblationState, Landing, Run, Stage
from tests.landing_samples import fresh, training_at_once
from tests.small_project import approver, drain
from tests.stack_samples import SIGMA, Planted, Truth, planted, same_seeds

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_in(3)]

A, B, C = 0, 1, 2
GOOD = 0.010
CANCEL = Truth({A: GOOD, B: GOOD}, {(A, B): -0.035})  # together −0.015
LESS = Truth({A: GOOD, B: GOOD}, {(A, B): -0.015})  # together +0.005
TOGETHER = Truth({A: 0.0, B: 0.0}, {(A, B): GOOD})
REDUNDANT = Truth({A: GOOD, B: GOOD}, {(A, B): -GOOD})
USELESS = Truth({A: GOOD, B: 0.0})
HARMFUL = Truth({A: GOOD, B: -GOOD})
KEEP, ADD, UNCLEAR = Advice.KEEP, Advice.ADD, Advice.UNCLEAR
NOTHING = {Advice.ADD_NOTHING, UNCLEAR}


@pytest.fixture(autouse=True)
def _same_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    same_seeds(monkeypatch)


@pytest.fixture(autouse=True)
def _training_at_once(request: pytest.FixtureRequest) -> Iterator[None]:
    if "of_its_own" in request.node.name:
        yield
        return
    with training_at_once():
        yield


def report_of(check: Ablation) -> Report:
    report = read(check.result)
    assert report is not None, check.reason
    return report


def advice(stack: Planted, report: Report) -> dict[int, Advice]:
    return {stack.knob_of(each.change): each.advice for each in report.effects}


def assert_never_advises_a_loss(stack: Planted, report: Report) -> None:
    """No removal that is advised costs the baseline more than the margin that it names."""
    for each in report.effects:
        if each.advice.removes:
            assert stack.loss_without(stack.knob_of(each.change)) < each.margin


def interaction(stack: Planted, report: Report) -> dict[tuple[int, int], float]:
    """The interactions that are named, by constants."""
    found = {}
    for each in report.found:
        one, other = sorted(map(stack.knob_of, each.changes))
        found[one, other] = each.effect
    return found


ORDERS: list[tuple[Sequence[int], Sequence[int]]] = [((A,), (B,)), ((B,), (A,)), ((A, B), ()), ((B, A), ()), ((), (A, B))]


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("landed", "waiting"), ORDERS)
def test_two_that_cancel_are_named_and_what_landed_first_stays(
    tmp_path: Path, landed: Sequence[int], waiting: Sequence[int]
) -> None:
    stack = planted(tmp_path, CANCEL, landed, waiting)
    report = stack.report()
    assert interaction(stack, report) == {(A, B): pytest.approx(-0.035, abs=0.004)}
    expected: Mapping[int, Advice] = {
        0: {A: ADD, B: ADD},
        1: {number: KEEP if number in landed else Advice.ADD_HARM for number in (A, B)},
        2: {A: Advice.REMOVE_HARM, B: Advice.REMOVE_HARM},
    }[len(landed)]
    assert advice(stack, report) == expected
    assert_never_advises_a_loss(stack, report)
    for each in report.effects:
        assert each.alone is not None and each.alone.effect == pytest.approx(GOOD, abs=0.003), "alone is measured alone"
        assert each.beside is not None and each.beside.effect == pytest.approx(-0.025, abs=0.003)
    assert report.bundle is not None and report.bundle.verdict == "less than the sum"
    assert (report.bundle.total, report.bundle.bundle) == pytest.approx((2 * GOOD, -0.015), abs=0.004)
    assert not Landing.objects.exclude(contradictions="").exists(), (
        "each gain is there alone: what clashes is said, and no gain contradicted"
    )


@pytest.mark.parametrize(("landed", "waiting"), ORDERS[1:3])
def test_two_that_bring_less_together_are_named_with_what_is_missing(
    tmp_path: Path, landed: Sequence[int], waiting: Sequence[int]
) -> None:
    stack = planted(tmp_path, LESS, landed, waiting)
    check = stack.check()
    numbers = sorted(candidate.number for candidate in stack.candidates.values())
    assert f"C-{numbers[0]} and C-{numbers[1]} together bring 0.01" in check.reason
    assert "less than the sum of their effects" in check.reason
    assert ("Can be taken out" in check.reason or "better without" in check.reason) == (len(landed) == 2)


@pytest.mark.parametrize(("landed", "waiting"), ORDERS[1:3] + ORDERS[-1:])
def test_two_that_only_work_together_are_both_kept(tmp_path: Path, landed: Sequence[int], waiting: Sequence[int]) -> None:
    stack = planted(tmp_path, TOGETHER, landed, waiting)
    report = stack.report()
    assert interaction(stack, report) == {(A, B): pytest.approx(GOOD, abs=0.004)}
    assert not any(each.advice.removes for each in report.effects)
    if len(landed) == 1:
        assert advice(stack, report) == {landed[0]: Advice.KEEP_FOR_OTHERS, waiting[0]: ADD}
    else:
        assert set(advice(stack, report).values()) <= ({KEEP} if landed else {ADD, Advice.ADD_WITH_OTHERS})
    assert report.bundle is not None and report.bundle.verdict == "more than the sum"


@pytest.mark.parametrize(("landed", "waiting"), ORDERS[:3])
def test_of_a_redundant_pair_one_is_enough_and_both_are_never_taken_out(
    tmp_path: Path, landed: Sequence[int], waiting: Sequence[int]
) -> None:
    stack = planted(tmp_path, REDUNDANT, landed, waiting)
    check = stack.check()
    report = report_of(check)
    assert interaction(stack, report) == {(A, B): pytest.approx(-GOOD, abs=0.004)}
    assert_never_advises_a_loss(stack, report)
    found = advice(stack, report)
    if len(landed) == 1:
        assert found[landed[0]] is KEEP and found[waiting[0]] in NOTHING
    if len(landed) < 2:
        return
    removable = [number for number, each in found.items() if each.removes]
    assert removable, "one of them brings nothing beside the other"
    propose_removal(check, fresh(stack.candidates[removable[0]]), approver())
    other = B if removable[0] == A else A
    with pytest.raises(RevertRefused, match=r"taking both out was not|not shown that"):
        propose_removal(check, fresh(stack.candidates[other]), approver())


@pytest.mark.parametrize(("landed", "waiting"), ORDERS[1:3])
def test_a_harmless_useless_one_is_told_from_a_good_one(tmp_path: Path, landed: Sequence[int], waiting: Sequence[int]) -> None:
    stack = planted(tmp_path, USELESS, landed, waiting)
    report = stack.report()
    found = advice(stack, report)
    assert found[A] is (KEEP if A in landed else ADD)
    assert found[B] in ({Advice.REMOVE_NOTHING, UNCLEAR} if B in landed else NOTHING)
    assert interaction(stack, report) == {}
    assert report.bundle is not None and report.bundle.verdict == "adds up"


@pytest.mark.parametrize(("landed", "waiting"), ORDERS[1:3])
def test_a_harmful_one_goes_or_stays_out(tmp_path: Path, landed: Sequence[int], waiting: Sequence[int]) -> None:
    stack = planted(tmp_path, HARMFUL, landed, waiting)
    found = advice(stack, stack.report())
    assert found[A] is (KEEP if A in landed else ADD)
    assert found[B] is (Advice.REMOVE_HARM if B in landed else Advice.ADD_HARM)


@pytest.mark.parametrize("landed", [(A, B, C), (C, A, B)])
def test_three_of_which_two_clash_in_every_order_of_landing(tmp_path: Path, landed: Sequence[int]) -> None:
    stack = planted(tmp_path, Truth({A: GOOD, B: GOOD, C: GOOD}, {(A, C): -0.035}), landed, ())
    report = stack.report()
    assert interaction(stack, report) == {(A, C): pytest.approx(-0.035, abs=0.005)}
    assert advice(stack, report) == {A: Advice.REMOVE_HARM, B: KEEP, C: Advice.REMOVE_HARM}
    assert_never_advises_a_loss(stack, report)


def test_what_takes_three_to_happen_is_in_the_sum_and_in_no_pair(tmp_path: Path) -> None:
    stack = planted(tmp_path, Truth({A: GOOD, B: GOOD, C: GOOD}, triples={(A, B, C): -0.02}), (A, B, C), ())
    report = stack.report()
    assert interaction(stack, report) == {}
    assert report.bundle is not None and report.bundle.verdict == "less than the sum"
    assert_never_advises_a_loss(stack, report)


@pytest.mark.slow
def test_among_six_the_pair_that_depends_on_each_other_is_found_in_a_second_round(tmp_path: Path) -> None:
    truth = Truth(dict.fromkeys(range(6), GOOD), {(1, 4): -0.03})
    stack = planted(tmp_path, truth, (0, 1, 2), (3, 4, 5))
    check = stack.check()
    report = report_of(check)
    assert check.rounds == 2
    assert interaction(stack, report) == {(1, 4): pytest.approx(-0.03, abs=0.006)}
    found = advice(stack, report)
    assert all(found[number] is KEEP for number in (0, 1, 2))
    assert found[3] is ADD and found[4] is Advice.ADD_HARM and found[5] is ADD


@pytest.mark.slow
def test_following_the_advice_leaves_the_baseline_as_good_as_it_was(tmp_path: Path) -> None:
    """The useless one and, once that is settled, one of the redundant: what remains is as good as all four were."""
    truth = Truth({A: GOOD, B: GOOD, C: 0.0, 3: 0.0}, {(A, B): -GOOD})
    stack = planted(tmp_path, truth, (A, B, C, 3), ())
    project, before = stack.project, truth.gain((A, B, C, 3))
    landed, taken = [A, B, C, 3], []
    for _ in range(4):
        stack = Planted(project, truth, {number: stack.candidates[number] for number in landed}, landed)
        if len(landed) < 2:
            break
        check = stack.check()
        report = report_of(check)
        removable = [stack.knob_of(each.change) for each in report.effects if each.advice.removes]
        if not removable:
            break
        removal = propose_removal(check, fresh(stack.candidates[removable[0]]), approver())
        drain(limit=1000)
        removal = fresh(removal)
        assert removal.stage == Stage.READY, removal.why
        approve(removal, approver(), Seen.of(removal), "Nobody misses it.")
        drain(limit=1000)
        assert fresh(removal).stage == Stage.LANDED
        landed.remove(removable[0])
        taken.append(removable[0])
    assert taken, "the useless one goes"
    assert truth.gain(landed) >= before - SIGMA * 0.9
    assert A in landed or B in landed


def test_a_single_effect_that_was_measured_beside_its_partner_is_no_effect_alone(tmp_path: Path) -> None:
    """B was approved on a baseline that had A: its 0.010 there is not what it brings alone, and the sum is the true one."""
    stack = planted(tmp_path, TOGETHER, (A, B), ())
    report = stack.report()
    alone = {stack.knob_of(each.change): each.alone.effect for each in report.effects if each.alone}
    assert abs(alone[B]) < 0.003
    assert report.bundle is not None and report.bundle.verdict == "more than the sum"
    assert report.bundle.total == pytest.approx(0.0, abs=0.004) and report.bundle.bundle == pytest.approx(GOOD, abs=0.003)


def test_a_check_whose_seeds_make_no_difference_ends_and_says_why(tmp_path: Path) -> None:
    stack = planted(tmp_path, Truth({A: GOOD, B: GOOD}, noise=0.0), (), (A, B))
    check = stack.check()
    assert check.state == AblationState.FAILED and "the seed does not reach the training" in check.reason


def test_a_tree_of_which_no_run_ended_well_leaves_the_rest_to_be_read(tmp_path: Path) -> None:
    stack = planted(tmp_path, LESS, (A,), (B,))
    check = begin_ablation(stack.project, [fresh(c) for c in stack.candidates.values()], True, "grace")
    check_stack(check.pk, "test")
    lost = Run.objects.filter(cell__check_of=check, cell__on=[stack.candidates[B].number])
    lost.update(state="finished", outcome="crashed", reason="CUDA error")
    drain(limit=1000)
    check.refresh_from_db()
    report = report_of(check)
    assert check.state == AblationState.FINISHED and report.bundle is None and report.interactions == ()
    found = {stack.knob_of(each.change): each for each in report.effects}
    assert found[B].alone is None and found[B].beside is not None
    assert found[A].advice is KEEP


def test_runs_that_are_processes_of_its_own_find_the_same(tmp_path: Path) -> None:
    stack = planted(tmp_path, CANCEL, (A,), (B,))
    check = stack.check()
    report = report_of(check)
    assert advice(stack, report) == {A: KEEP, B: Advice.ADD_HARM}
    assert interaction(stack, report) == {(A, B): pytest.approx(-0.035, abs=0.004)}
    assert Run.objects.filter(cell__check_of=check, outcome="completed").count() == check.result["asked"]


def test_a_run_that_diverged_enters_no_mean(tmp_path: Path) -> None:
    stack = planted(tmp_path, LESS, (A,), (B,))
    check = begin_ablation(stack.project, [fresh(c) for c in stack.candidates.values()], True, "grace")
    check_stack(check.pk, "test")
    far = Run.objects.filter(cell__check_of=check).order_by("pk").first()
    assert far is not None
    Run.objects.filter(pk=far.pk).update(state="finished", outcome="completed", score=1e150, progress=1.0)
    drain(limit=1000)
    check.refresh_from_db()
    report = report_of(check)
    assert Run.objects.get(pk=far.pk).outcome == "diverged"
    assert interaction(stack, report) == {(A, B): pytest.approx(-0.015, abs=0.004)}
    assert report.sigma < 2 * SIGMA
