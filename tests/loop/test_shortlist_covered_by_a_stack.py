"""A stack and its members on the shortlist: no conflict with itself, and nothing is paid for twice."""

import re
from typing import Any

import pytest
from django.test import Client

from research_app.loop.review.review import ReviewRefused
from research_app.loop.scale_up.shortlist import approve_scale_ups, conflicts
from research_app.loop.stacks.stack import NoStack, form_stack, open_stacks_of
from research_app.models import Candidate, Kind, Project, Run, ScaleUp, Stage
from tests.factories import make_candidate, make_project, make_user
from tests.ladder_project import CONFIG, approve, fresh, pick

pytestmark = pytest.mark.django_db(transaction=True)

EDITS = {
    "warm-up": ("train.py", "WARMUP = 0.05", "WARMUP = 0.02"),
    "width": ("train.py", "WIDTH = 96", "WIDTH = 128"),
    "shorter warm-up": ("train.py", "WARMUP = 0.05", "WARMUP = 0.01"),
}


@pytest.fixture
def project() -> Project:
    return make_project("gates", ladder=CONFIG["ladder"], scale_up={"budget_hours": 30, "currency": "EUR"})


def listed(project: Project, what: str, **fields: Any) -> Candidate:
    return make_candidate(project, edits=[EDITS[what]], stage=Stage.SHORTLISTED, verdict="solid", **fields)  # type: ignore[arg-type]


def stack_of(project: Project, *members: Candidate, stage: Stage = Stage.SHORTLISTED) -> Candidate:
    """Members as one, with solid evidence of its own where it waits on the shortlist."""
    stack = make_candidate(project, edits=[EDITS["warm-up"], EDITS["width"]], kind=Kind.STACK, stage=stage, verdict="solid")  # type: ignore[arg-type]
    stack.members.set(members)
    return stack


def shown(project: Project) -> str:
    client = Client()
    client.force_login(make_user("hedy"))
    html = client.get(f"/projects/{project.slug}/shortlist/").content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_a_stack_is_no_conflict_of_its_members_and_each_says_what_covers_it(project: Project) -> None:
    members = [listed(project, "warm-up"), listed(project, "width")]
    stack = stack_of(project, *members)
    assert all(clashes == [] for clashes in conflicts([*members, stack]).values())
    page = shown(project)
    assert "conflicts with" not in page
    assert page.count(f"covered by the stack {stack}") == 2
    assert f"covers {members[0]} , {members[1]}" in page


def test_a_member_cannot_be_picked_beside_its_stack_or_while_that_is_open(project: Project) -> None:
    members = [listed(project, "warm-up"), listed(project, "width")]
    stack, grace = stack_of(project, *members), make_user("grace")
    with pytest.raises(ReviewRefused, match=f"{members[0]} is covered by the stack {stack}"):
        approve_scale_ups(project, [pick(members[0]), pick(stack)], grace)
    assert not ScaleUp.objects.exists()
    approve(stack, grace)
    runs = Run.objects.exclude(scale="S").count()
    with pytest.raises(ReviewRefused, match="paid for twice"):
        approve(members[1], grace)
    assert Run.objects.exclude(scale="S").count() == runs


@pytest.mark.parametrize("stage", [Stage.SCREENING, Stage.CONFIRMING, Stage.SCALING_UP, Stage.READY, Stage.LANDING])
def test_a_stack_covers_its_members_from_its_first_run_to_its_landing(project: Project, stage: Stage) -> None:
    member = listed(project, "warm-up")
    stack = stack_of(project, member, listed(project, "width"), stage=stage)
    assert open_stacks_of([member]) == {member.pk: [stack]}
    with pytest.raises(ReviewRefused, match="covered by the stack"):
        approve(member, make_user("grace"))


@pytest.mark.parametrize("stage", [Stage.DROPPED, Stage.REJECTED, Stage.NO_TRANSFER, Stage.INCONCLUSIVE, Stage.LANDED])
def test_the_members_of_a_stack_that_came_to_nothing_are_free_again(project: Project, stage: Stage) -> None:
    member = listed(project, "warm-up")
    stack_of(project, member, listed(project, "width"), stage=stage)
    assert open_stacks_of([member]) == {}
    assert approve(member, make_user("grace")).candidate == member
    assert "covered by" not in shown(project)


def test_a_stack_of_a_stack_covers_the_members_of_both(project: Project) -> None:
    inner_members = [listed(project, "warm-up"), listed(project, "width")]
    inner = stack_of(project, *inner_members, stage=Stage.REJECTED)
    outer = make_candidate(project, edits=[EDITS["width"]], kind=Kind.STACK, stage=Stage.SHORTLISTED, verdict="solid")  # type: ignore[arg-type]
    outer.members.set([inner])
    assert open_stacks_of(inner_members) == {member.pk: [outer] for member in inner_members}
    assert conflicts([*inner_members, outer])[outer.pk] == []


def test_a_stack_waits_while_one_of_its_members_is_scaled_up(project: Project) -> None:
    members = [listed(project, "warm-up"), listed(project, "width")]
    grace = make_user("grace")
    approve(members[0], grace)
    stack = stack_of(project, *members)
    with pytest.raises(ReviewRefused, match=f"{members[0]}, which is part of the stack, is scaling up now"):
        approve(stack, grace)


def test_what_is_in_no_stack_still_conflicts_with_the_stack_and_with_a_member(project: Project) -> None:
    members = [listed(project, "warm-up"), listed(project, "width")]
    stack, other = stack_of(project, *members), listed(project, "shorter warm-up")
    found = conflicts([fresh(c) for c in (*members, stack, other)])
    assert {clash.other for clash in found[other.pk]} == {members[0], stack}


def test_a_stack_that_was_formed_by_a_click_covers_its_members_at_once(project: Project) -> None:
    members = [listed(project, "warm-up"), listed(project, "width")]
    stack = form_stack(project, members, "grace")
    with pytest.raises(ReviewRefused, match=f"covered by the stack {stack}, which is screening"):
        approve(members[0], make_user("grace"))


def test_what_is_in_an_open_stack_is_no_member_of_another(project: Project) -> None:
    members = [listed(project, "warm-up"), listed(project, "width")]
    stack, third = stack_of(project, *members), listed(project, "shorter warm-up")
    with pytest.raises(NoStack, match=f"{members[1]} is part of the stack {stack} already, which is shortlisted"):
        form_stack(project, [members[1], third], "grace")
    Candidate.objects.filter(pk=stack.pk).update(stage=Stage.REJECTED)
    assert form_stack(project, [members[1], third], "grace").stage == Stage.SCREENING


def test_the_inbox_says_what_covers_a_candidate_and_names_no_price_for_it(project: Project) -> None:
    members = [listed(project, "warm-up"), listed(project, "width")]
    client = Client()
    client.force_login(make_user("hedy"))

    def inbox() -> str:
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", client.get("/").content.decode()))

    assert inbox().count("M: 4 runs") == 2
    stack = stack_of(project, *members)
    shown = inbox()
    assert shown.count(f"Covered by the stack {stack} (shortlisted).") == 2
    assert shown.count("M: 4 runs") == 1, "the stack's own"
