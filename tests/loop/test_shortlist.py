"""Gate 1: what may be approved, what it costs, and that nothing larger is trained before a person approved its price."""

import pytest
from django.contrib.auth.models import User

from research_app.access import Role, set_role
from research_app.loop.review.review import ReviewRefused, Seen, StalePage
from research_app.loop.scale_up.price import account_of, pace_of
from research_app.loop.scale_up.scale_up import stop
from research_app.loop.scale_up.shortlist import (
    Plan,
    approve_scale_ups,
    back_to_shortlist,
    conflicts,
    old_lines,
    quote,
    skip_scale_up,
)
from research_app.loop.stacks.stack import form_stack
from research_app.models import BaselineVersion, Candidate, Decision, Event, Gate, Project, Review, Run, ScaleUp, Stage
from tests.factories import make_candidate, make_project, make_run, make_user
from tests.ladder_project import CONFIG, DOES_NOT_HOLD, HOLDS, approve, fresh, ladder_project, pick, submit
from tests.small_project import drain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

LADDER = {key: CONFIG[key] for key in ("ladder", "scale_up")}
SECONDS = 15.2  # of every made-up run


def demo(**config: object) -> Project:
    """Rows on a repository, no training: four reference runs at S."""
    return make_project("gates", **(LADDER | config))


def listed(project: Project, constant: str = "WARMUP", to: str = "0.02", **fields: object) -> Candidate:
    """A solid candidate on the shortlist that changes one constant."""
    now = {"WARMUP": "0.05", "LAYERS": "3", "WIDTH": "96", "LEARNING_RATE": "3e-3"}[constant]
    edit = ("train.py", f"{constant} = {now}", f"{constant} = {to}")
    return make_candidate(project, edits=[edit], stage=Stage.SHORTLISTED, verdict="solid", **fields)  # type: ignore[arg-type]


def approving(name: str = "grace") -> User:
    return make_user(name)


def test_an_approval_is_a_vote_at_gate_one_and_queues_both_arms() -> None:
    project = demo()
    candidate, grace = listed(project), approving()
    step = approve(candidate, grace)
    vote = Review.objects.get()
    assert (vote.gate, vote.decision, vote.reviewer) == (Gate.SHORTLIST, Decision.APPROVE, grace)
    assert vote.evidence_hash == candidate.evidence.content_hash  # type: ignore[union-attr]
    assert fresh(candidate).stage == Stage.SCALING_UP
    larger = project.runs.exclude(scale="S")
    assert larger.filter(patch_set=candidate.patch_set).count() == 4
    assert larger.filter(patch_set=None).count() == 8
    assert step.approved_by == grace and step.step.runs == 4
    assert Event.objects.about(candidate).filter(kind="scale-up approved", actor="grace").exists()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.REVIEWER])
def test_only_the_roles_of_the_policy_approve_a_spend(role: Role) -> None:
    candidate, person = listed(demo()), User.objects.create_user("rob")
    set_role(person, role)
    with pytest.raises(ReviewRefused, match="approver"):
        approve(candidate, person)
    assert not ScaleUp.objects.exists() and not Run.objects.exclude(scale="S").exists()


def test_a_policy_of_two_people_waits_for_the_second_one() -> None:
    project = demo(gate={"shortlist": {"approvals": 2}})
    candidate = listed(project)
    assert approve_scale_ups(project, [pick(candidate)], approving()) == []
    assert fresh(candidate).stage == Stage.SHORTLISTED and not Run.objects.exclude(scale="S").exists()
    [step] = approve_scale_ups(project, [pick(candidate)], approving("hedy"))
    assert step.candidate == candidate and fresh(candidate).stage == Stage.SCALING_UP


def test_a_stale_page_approves_nothing_and_says_what_changed() -> None:
    candidate = listed(demo())
    seen = pick(candidate)
    assert candidate.evidence
    candidate.evidence.content_hash = "0" * 64
    candidate.evidence.save()
    with pytest.raises(StalePage, match="its evidence"):
        approve_scale_ups(candidate.project, [seen], approving())
    assert not ScaleUp.objects.exists()


def test_the_second_of_two_clicks_at_once_is_told_that_it_moved_on() -> None:
    candidate = listed(demo())
    first, second = pick(candidate), pick(candidate)
    approve_scale_ups(candidate.project, [first], approving())
    with pytest.raises(StalePage, match="scaling up"):
        approve_scale_ups(candidate.project, [second], approving("hedy"))
    assert ScaleUp.objects.count() == 1


def test_picks_are_approved_together_or_not_at_all() -> None:
    project = demo()
    good, moved = listed(project), listed(project, "WIDTH", "128")
    picks = [pick(good), pick(moved)]
    Candidate.objects.filter(pk=moved.pk).update(stage=Stage.REJECTED)
    with pytest.raises(StalePage):
        approve_scale_ups(project, picks, approving())
    assert fresh(good).stage == Stage.SHORTLISTED and not ScaleUp.objects.exists() and not Review.objects.exists()


@pytest.mark.parametrize(
    ("plans", "said"),
    [
        ((), "at least one candidate"),
        ((("XL", 4),), "no rung XL"),
        ((("L", 3), ("M", 4)), "ladder's order"),
        ((("M", 4), ("M", 4)), "ladder's order"),
        ((("M", 1),), "2 to 64 seeds"),
        ((("S", 4),), "no rung S"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_with_what_would(plans: tuple[tuple[str, int], ...], said: str) -> None:
    candidate = listed(demo())
    picks = [pick(candidate, *plans)] if plans else []
    with pytest.raises(ReviewRefused, match=said):
        approve_scale_ups(candidate.project, picks, approving())
    assert fresh(candidate).stage == Stage.SHORTLISTED


def test_without_any_run_there_a_price_is_scaled_up_from_the_smallest_rung_and_says_so() -> None:
    project = demo()
    pace = pace_of(project, project.file.rung("M"))
    assert pace.seconds == pytest.approx(8 * SECONDS) and pace.basis == "8 times the median of 4 runs at S"


def test_a_price_is_measured_as_soon_as_a_run_of_the_rung_has_ended() -> None:
    project = demo()
    make_run(project.tip(), seed=1, scale="M", train_seconds=100.0)
    make_run(project.tip(), seed=2, scale="M", train_seconds=140.0)
    pace = pace_of(project, project.file.rung("M"))
    assert (pace.seconds, pace.basis) == (120.0, "measured on 2 runs at M")


def test_a_rung_on_other_devices_has_no_figure_yet_and_is_held_against_its_wall_limit() -> None:
    ladder = [{"name": "S"}, {"name": "M", "budget": 8, "device": "cuda", "wall_limit_seconds": 3600, "price": 2.0}]
    project = demo(ladder=ladder, scale_up={"budget_hours": 11})
    candidate = listed(project)
    price = quote(project, [(candidate.base, [Plan("M", 4)])]).whole
    assert price.runs == 12 and price.hours is None and price.money is None
    assert price.at_most == 12 and price.money_at_most == 24
    with pytest.raises(ReviewRefused, match=r"at most 12\.00 device-hours, and 11\.00 of the project's 11 are left"):
        approve(candidate, approving())


def test_the_price_is_runs_times_devices_times_hours_and_money_at_the_rate_of_the_rung() -> None:
    ladder = [{"name": "S"}, {"name": "M", "budget": 8, "devices": 1, "price": 3.0, "curve": [0.5, 1.5]}]
    project = demo(ladder=ladder)
    candidate = listed(project)
    asked = quote(project, [(candidate.base, [Plan("M", 4)])])
    one = 8 * SECONDS / 3600
    assert asked.own[0][0][1].hours == pytest.approx(4 * one)
    assert asked.shared.runs == 6 and asked.shared.hours == pytest.approx((4 + 0.5 + 1.5) * one)
    assert asked.whole.money == pytest.approx(3 * 10 * one)


def test_several_devices_multiply_the_hours() -> None:
    ladder = [{"name": "S"}, {"name": "M", "budget": 8, "devices": 8, "price": 1.0, "curve": [0.5, 1.5]}]
    project = demo(ladder=ladder)
    make_run(project.tip(), seed=1, scale="M", train_seconds=3600.0, devices=8)
    price = quote(project, [(project.tip(), [Plan("M", 4)])]).own[0][0][1]
    assert price.hours == pytest.approx(4 * 8)
    assert account_of(project).spent.hours == pytest.approx(8)


def test_runs_of_the_baseline_are_paid_for_once_by_all_that_share_them() -> None:
    project = demo()
    one, two = listed(project), listed(project, "WIDTH", "128")
    alone = quote(project, [(one.base, [Plan("M", 4)])])
    together = quote(project, [(one.base, [Plan("M", 4)]), (two.base, [Plan("M", 4)])])
    assert together.shared == alone.shared and together.whole.runs == alone.whole.runs + 4
    approve(one, approving())
    assert quote(project, [(two.base, [Plan("M", 4)])]).shared.runs == 0


def test_a_spend_over_the_budget_is_refused_with_the_figure() -> None:
    project = demo(scale_up={"budget_hours": 0.1})
    candidate = listed(project)
    with pytest.raises(ReviewRefused, match=r"This needs 0\.41 device-hours, and 0\.10 of the project's 0\.1 are left"):
        approve(candidate, approving())
    assert fresh(candidate).stage == Stage.SHORTLISTED and not Review.objects.exists()


def test_a_budget_of_money_is_kept_too() -> None:
    project = demo(scale_up={"budget_money": 0.5, "currency": "EUR"})
    with pytest.raises(ReviewRefused, match=r"0\.82 EUR, and 0\.50 of the project's 0\.5 are left"):
        approve(listed(project), approving())


def test_what_was_approved_and_not_yet_run_counts_against_the_budget() -> None:
    project = demo(scale_up={"budget_hours": 0.5})
    approve(listed(project), approving())
    account = account_of(project)
    assert account.spent.runs == 0 and account.committed.hours == pytest.approx(0.411, abs=0.01)
    with pytest.raises(ReviewRefused, match=r"0\.09 of the project's 0\.5 are left"):
        approve(listed(project, "WIDTH", "128"), approving("hedy"))


def test_the_rungs_that_a_scale_up_has_not_come_to_yet_are_committed_as_well() -> None:
    project = demo()
    approve(listed(project), approving(), ("M", 4), ("L", 3))
    later = 3 * 64 * SECONDS / 3600
    assert account_of(project).committed.hours == pytest.approx(0.411 + later, abs=0.02)


def test_what_a_stopped_scale_up_spent_stays_spent_and_the_rest_is_free_again() -> None:
    project = demo()
    grace = approving()
    step = approve(listed(project), grace)
    run = Run.objects.filter(scale="M").first()
    assert run is not None
    Run.objects.filter(pk=run.pk).update(earlier_seconds=360.0)
    stop(step, grace, "Enough")
    account = account_of(project)
    assert account.committed.runs == 0 and account.spent.hours == pytest.approx(0.1)


def test_sending_a_candidate_on_without_scale_up_needs_a_written_reason() -> None:
    candidate, grace = listed(demo()), approving()
    with pytest.raises(ReviewRefused, match="Say why it needs no scale-up"):
        skip_scale_up(candidate, grace, Seen.of(fresh(candidate)), "  ")
    assert skip_scale_up(candidate, grace, Seen.of(fresh(candidate)), "It only removes code")
    candidate = fresh(candidate)
    assert candidate.stage == Stage.READY and "without a scale-up: It only removes code" in candidate.why
    assert not Run.objects.exclude(scale="S").exists()


def test_what_waits_at_gate_two_can_go_back_to_be_scaled_up_further_and_its_votes_are_void() -> None:
    candidate, grace = listed(demo()), approving()
    skip_scale_up(candidate, grace, Seen.of(fresh(candidate)), "Small")
    back_to_shortlist(fresh(candidate), grace)
    assert fresh(candidate).stage == Stage.SHORTLISTED
    assert not candidate.reviews.standing().exists()
    approve(candidate, grace)
    with pytest.raises(StalePage, match="scaling up"):
        back_to_shortlist(fresh(candidate), grace)


def test_candidates_that_change_the_same_constant_or_lines_are_named_as_conflicts() -> None:
    project = demo()
    one, two, other = listed(project), listed(project, to="0.1"), listed(project, "WIDTH", "128")
    found = conflicts([fresh(one), fresh(two), fresh(other)])
    [clash] = found[one.pk]
    assert clash.other == two and clash.constants == ("WARMUP",)
    assert [place.split(":")[0] for place in clash.lines] == ["train.py"]
    assert found[other.pk] == []
    [beside] = conflicts([fresh(other), fresh(listed(project, "LAYERS", "4"))])[other.pk]
    assert beside.constants == () and beside.lines, "lines next to each other cannot be merged"


def test_the_old_lines_of_a_diff_are_those_that_it_removes_or_adds_behind() -> None:
    diff = "--- a/t.py\n+++ b/t.py\n@@ -3,3 +3,4 @@\n a\n-b\n+B\n+C\n c\n"
    assert old_lines(diff) == {("t.py", 4)}


def test_a_project_without_a_ladder_skips_gate_one() -> None:
    project = ladder_project("flat", ladder=[])
    assert submit(project, HOLDS).stage == Stage.READY


@pytest.mark.one_in(2)
def test_a_stack_of_the_shortlist_is_judged_at_the_smallest_scale_and_listed_as_one() -> None:
    project = ladder_project()
    members = [submit(project, HOLDS), submit(project, DOES_NOT_HOLD)]
    made = form_stack(project, members, "grace")
    drain()
    made = fresh(made)
    assert made.stage == Stage.SHORTLISTED and made.kind == "stack", made.why
    approve(made, approving())
    drain()
    assert fresh(made).stage in (Stage.READY, Stage.NO_TRANSFER)


def test_every_base_of_the_picks_needs_runs_of_its_own() -> None:
    project = demo()
    older = listed(project)
    tip = project.tip()
    newer = BaselineVersion.objects.create(project=project, number=1, commit="1" * 40, tree=tip.tree)
    plans = [Plan("M", 4)]
    assert quote(project, [(older.base, plans), (newer, plans)]).shared.runs == 16
