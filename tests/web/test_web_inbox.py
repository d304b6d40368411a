"""The inbox: whose turn it is and why, what came back, what needs attention, and what may be expected when nothing waits."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from research_app.loop.review.review import Seen
from research_app.models import (
    Candidate,
    Decision,
    Gate,
    LandingState,
    Project,
    Purpose,
    Review,
    Round,
    Run,
    Stage,
    State,
    Verdict,
)
from tests.factories import make_candidate, make_device, make_landing, make_project, make_run, make_user

pytestmark = pytest.mark.django_db
LAYERS = [("train.py", "LAYERS = 3", "LAYERS = 4")]
PAYLOAD = "<img src=x onerror=alert(1)>"


def inbox(user: User, tab: str = "") -> str:
    client = Client()
    client.force_login(user)
    response = client.get("/", {"tab": tab})
    assert response.status_code == 200
    return response.content.decode()


def part(page: str, begin: str, end: str = "</section>") -> str:
    """What stands between two words of a page."""
    return page.split(begin, 1)[1].split(end, 1)[0]


def vote(candidate: Candidate, reviewer: User, **fields: Any) -> Review:
    seen = Seen.of(candidate)
    return Review.objects.create(
        candidate=candidate, patch_set=candidate.revision, gate=Gate.BASELINE, reviewer=reviewer, decision=Decision.APPROVE,
        diff_hash=seen.diff_hash, base_commit=seen.base_commit, evidence_hash=seen.evidence_hash,
        policy_version=seen.policy_version, **fields,
    )  # fmt: skip


def test_a_decision_is_told_with_gate_evidence_wait_and_cost() -> None:
    project = make_project()
    make_candidate(project, effect=0.05, runs=3, verdict=Verdict.SOLID, age=timedelta(hours=3))
    mine = part(inbox(make_user()), 'id="waiting"')
    for words in (
        "1 decision waits for you",
        "gate 2: into the baseline?",
        "+0.0",
        "n = 5 / 5",
        "min of device time",
        "3 h</time>",
    ):
        assert words in mine


def test_a_gate_1_decision_names_the_price_of_the_next_rung() -> None:
    rungs = [{"name": "S", "price": 2.0}, {"name": "M", "budget": 8, "price": 2.0}]
    project = make_project(ladder=rungs, scale_up={"currency": "EUR"})
    make_candidate(project, effect=0.05, runs=3, verdict=Verdict.SOLID, stage=Stage.SHORTLISTED)
    page = inbox(make_user())
    assert "gate 1: scale it up?" in page
    assert "M: 4 runs, 8 min, 0.27 EUR" in page


def test_a_base_that_moved_is_said_because_it_is_judged_again_first() -> None:
    project = make_project()
    landed = make_candidate(project, edits=LAYERS, stage=Stage.LANDED, effect=0.03)
    make_candidate(project, effect=0.05)
    make_landing(landed, LandingState.LANDED)
    assert "judged again first: the baseline is 1 now" in inbox(make_user())


def test_only_people_who_may_decide_are_asked_and_others_see_whom_it_waits_for() -> None:
    make_candidate(make_project())
    page = inbox(make_user("eve", role="viewer"))
    assert "Nothing waits for a decision of yours." in page
    assert "Wait for others" in page
    assert "It waits for somebody else with the role approver." in page
    assert '<span class="count">' not in part(page, 'aria-label="Main"', "</nav>")


def test_who_approved_is_asked_no_more_while_a_second_approval_is_missing() -> None:
    project = make_project(gate={"baseline": {"approvals": 2}})
    candidate = make_candidate(project, effect=0.05, runs=3, verdict=Verdict.SOLID)
    ada, grace = make_user("ada"), make_user("grace")
    vote(candidate, ada)
    page = inbox(ada)
    assert "You approved; it waits for somebody else." in page
    assert "1 of 2 approvals: ada." in page
    assert "1 decision waits for you" in inbox(grace)


def test_a_vote_that_became_void_returns_with_the_reason() -> None:
    candidate = make_candidate(make_project())
    ada, grace = make_user("ada"), make_user("grace")
    vote(candidate, ada, voided_at=timezone.now(), void_reason="Its evidence changed.")
    assert "Your approval is void: Its evidence changed." in inbox(ada)
    assert "ada’s approval is void: Its evidence changed." in inbox(grace)


def test_a_vote_that_somebody_took_back_or_gave_again_is_no_news() -> None:
    project = make_project()
    candidate, ada = make_candidate(project), make_user("ada")
    vote(candidate, ada, voided_at=timezone.now(), void_reason="Withdrawn by ada.")
    assert "is void" not in inbox(ada)
    vote(candidate, ada, voided_at=timezone.now(), void_reason="Its evidence changed.")
    vote(candidate, ada)
    assert "is void" not in inbox(ada)


def test_changes_are_asked_of_the_person_who_submitted_and_never_of_an_agent() -> None:
    project, ada = make_project(), make_user("ada")
    make_candidate(project, stage=Stage.CHANGES, submitted_by=ada, why="Say what happens at M.")
    make_candidate(project, edits=LAYERS, stage=Stage.CHANGES, author="claude", hypothesis="Of an agent")
    page = inbox(ada)
    assert "Changes requested" in page
    assert "Say what happens at M." in page
    assert "Of an agent" not in page
    assert "Changes requested" not in inbox(make_user("grace"))


def test_a_conflict_goes_back_to_the_person_who_submitted_until_it_is_archived() -> None:
    project, ada = make_project(), make_user("ada")
    candidate = make_candidate(project, stage=Stage.CONFLICT, submitted_by=ada, why="It conflicts with baseline 3: train.py")
    assert "It conflicts with baseline 3: train.py" in inbox(ada)
    assert "It conflicts" not in inbox(make_user("grace"))
    candidate.archived_at = timezone.now()
    candidate.save()
    assert "It conflicts" not in inbox(ada)


def test_what_a_worker_failed_on_is_listed_and_tried_again() -> None:
    project, ada = make_project(), make_user("ada")
    make_candidate(project, edits=(), effect=None, stage=Stage.CHECKING, needs_attention="The repository is gone.")
    Run.objects.filter(pk=project.runs.earliest("pk").pk).update(state=State.STUCK, reason="The disk is full.")
    queued = make_candidate(project, edits=LAYERS, stage=Stage.LANDING)
    landing = make_landing(queued)
    landing.trouble = "The remote refuses the push."
    landing.save()
    page = part(inbox(ada), 'id="troubles"')
    for words in (
        "C-1: checking",
        "The repository is gone.",
        "1 run of baseline 0 cannot be trained",
        "The disk is full.",
        "landing of C-2",
        "refuses",
    ):
        assert words in page
    client = Client()
    client.force_login(ada)
    client.post("/projects/demo/candidates/bulk/", {"action": "retry", "pick": "1", "back": "inbox"})
    client.post("/projects/demo/try-again/")
    page = inbox(ada)
    assert "C-1: checking" not in page
    assert "cannot be trained" not in page
    assert not Run.objects.filter(state=State.STUCK).exists()


def test_a_viewer_sees_trouble_but_gets_no_button() -> None:
    make_candidate(make_project(), edits=(), effect=None, stage=Stage.CHECKING, needs_attention="The repository is gone.")
    page = part(inbox(make_user("eve", role="viewer")), 'id="troubles"')
    assert "The repository is gone." in page
    assert "<button" not in page


def expects(project: Project) -> str:
    return part(inbox(User.objects.first() or make_user()), 'class="expectation"', "</dl>")


def test_an_empty_inbox_says_what_the_loop_does_and_when_something_is_expected() -> None:
    project = make_project()
    assert "No cpu worker is online" in expects(project)
    device = make_device()
    assert "Nothing is expected before somebody asks for candidates." in expects(project)
    Round.objects.create(project=project, proposers=["knobs"], wanted=12, opened_by="ada")
    assert "The first candidates are being proposed." in expects(project)
    candidate = make_candidate(project, stage=Stage.CONFIRMING)
    make_run(project.tip(), patch_set=candidate.patch_set, seed=7, state=State.RUNNING, progress=0.5, device=device)
    make_run(project.tip(), patch_set=candidate.patch_set, seed=8, state=State.QUEUED)
    page = expects(project)
    assert "1 candidate under way, 1 run training, 1 queued; the next result in about 20 s." in page
    assert "C-1 is being confirmed: expected in about 20 s, if its seeds hold." in page
    make_run(project.tip(), seed=90, scale="M", train_seconds=36_000.0, finished_at=timezone.now())
    assert "expected in about 20 s" in expects(project), "a run at M says nothing of how long one at S takes"
    make_run(project.tip(), patch_set=candidate.patch_set, seed=9, state=State.FINISHED, purpose=Purpose.CONFIRM)
    make_run(project.tip(), seed=9, state=State.QUEUED, purpose=Purpose.CONFIRM)
    make_run(project.tip(), seed=1, budget_share=1.3, state=State.QUEUED, purpose=Purpose.CURVE)
    assert "expected in about 60 s" in expects(project)
    Project.objects.update(paused=True)
    assert "Paused: nothing new is proposed." in expects(project)


def test_without_a_confirmation_the_pace_so_far_is_told() -> None:
    project = make_project()
    make_device()
    make_candidate(project, stage=Stage.SCREENING, effect=None, age=timedelta(hours=4))
    assert "None of 1 came to a gate so far." in expects(project)
    make_candidate(project, edits=LAYERS, effect=0.05, runs=3, verdict=Verdict.SOLID, stage=Stage.LANDED)
    assert "1 of 2 came to a gate so far, about one every 4 h." in expects(project)


def test_script_in_everything_that_the_inbox_shows_stays_text() -> None:
    project, ada = make_project(), make_user("ada")
    candidate = make_candidate(project, hypothesis=PAYLOAD, author=PAYLOAD)
    vote(candidate, ada, voided_at=timezone.now(), void_reason=PAYLOAD)
    make_candidate(project, edits=LAYERS, stage=Stage.CHANGES, submitted_by=ada, why=PAYLOAD, hypothesis=PAYLOAD)
    make_candidate(project, edits=(), effect=None, stage=Stage.CHECKING, needs_attention=PAYLOAD)
    page = inbox(ada) + inbox(ada, "asked")
    assert "<img" not in page
    assert page.count("&lt;img") >= 7
