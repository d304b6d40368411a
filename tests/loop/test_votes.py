"""Votes: what they bind to, taking one back, asking for changes, patch set 2, and what must not happen twice."""

import ast
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from agent.proposal import Edit
from research_app.access import Role, set_role
from research_app.home import CODE
from research_app.loop.check.check import CheckFailed
from research_app.loop.land import land
from research_app.loop.propose.revise import RevisionRefused, revise
from research_app.loop.review.review import (
    ReviewRefused,
    Seen,
    StalePage,
    approve,
    reject,
    reopen,
    request_changes,
    withdraw,
)
from research_app.models import Candidate, Event, Landing, LandingState, Project, Review, Stage, Thread
from research_app.repository import PatchError
from tests.landing_samples import training_at_once
from tests.small_project import BETTER, WIDER, approver, drain, patch, small_project, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]
NEARER = ("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.019")


@pytest.fixture(autouse=True)
def _runs_end_as_soon_as_they_begin() -> Iterator[None]:
    with training_at_once():
        yield


@pytest.fixture
def project() -> Project:
    return small_project()


@pytest.fixture
def candidate(project: Project) -> Candidate:
    return submit(project, BETTER)


def now(candidate: Candidate) -> Candidate:
    return Candidate.objects.with_evidence().get(pk=candidate.pk)


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Do these at the same moment, each in a thread of its own; what each returned, or the error it raised."""
    barrier, answers = threading.Barrier(len(acts)), {}

    def run(number: int, act: Callable[[], object]) -> None:
        try:
            barrier.wait()
            answers[number] = act()
        except Exception as error:
            answers[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[number] for number in range(len(acts))]


def test_a_vote_records_all_that_it_binds_to(candidate: Candidate) -> None:
    approve(candidate, approver(), Seen.of(candidate))
    vote = Review.objects.get()
    assert candidate.patch_set and candidate.evidence
    assert (vote.diff_hash, vote.base_commit) == (candidate.patch_set.diff_hash, candidate.patch_set.base_commit)
    assert (vote.evidence_hash, vote.policy_version) == (candidate.evidence.content_hash, 1)
    told = Event.objects.get(kind="vote").data
    assert told["policy_version"] == 1 and told["gate"] == 2 and told["evidence"] == vote.evidence_hash


@pytest.mark.parametrize(
    ("field", "word"),
    [
        ("diff_hash", "its diff"),
        ("base_commit", "its base"),
        ("evidence_hash", "its evidence"),
        ("policy_version", "the policy"),
    ],
)
def test_what_was_not_seen_is_not_voted_on(candidate: Candidate, field: str, word: str) -> None:
    changed: dict[str, Any] = {field: 9 if field == "policy_version" else "0" * 40}
    other = replace(Seen.of(candidate), **changed)
    with pytest.raises(StalePage, match=word):
        approve(candidate, approver(), other)
    assert not Review.objects.exists() and not Landing.objects.exists()


def test_a_page_that_did_not_show_what_a_larger_rung_said_is_not_voted_on(candidate: Candidate) -> None:
    before, evidence = Seen.of(candidate), candidate.evidence
    assert evidence
    evidence.pk, evidence.scale = None, "M"
    evidence.content_hash = evidence.compute_hash()
    evidence.save()
    with pytest.raises(StalePage, match="its evidence changed"):
        approve(candidate, approver(), before)
    assert approve(candidate, approver(), Seen.of(now(candidate)))
    assert Review.objects.get().evidence_hash not in ("", before.evidence_hash, evidence.content_hash)


def test_an_approval_is_taken_back_while_its_landing_waits_unclaimed(candidate: Candidate) -> None:
    ada = approver("ada")
    landing = approve(candidate, ada, Seen.of(candidate))
    assert landing
    withdraw(candidate, ada)
    candidate = now(candidate)
    assert candidate.stage == Stage.READY
    landing.refresh_from_db()
    assert (landing.state, landing.reason) == (LandingState.RETURNED, "ada withdrew the approval.")
    assert Review.objects.get().void_reason == "Withdrawn by ada."
    drain()
    assert now(candidate).stage == Stage.READY and len(candidate.project.repository.log(5)) == 1
    assert approve(candidate, ada, Seen.of(candidate))
    drain()
    assert now(candidate).stage == Stage.LANDED


def test_an_approval_cannot_be_taken_back_once_a_worker_lands_it(candidate: Candidate) -> None:
    ada = approver("ada")
    landing = approve(candidate, ada, Seen.of(candidate))
    assert landing and Landing.claim(landing.pk, "somebody")
    with pytest.raises(StalePage, match="nothing of yours to take back"):
        withdraw(candidate, ada)
    assert now(candidate).stage == Stage.LANDING and Review.objects.standing().count() == 1


def test_only_ones_own_decision_can_be_taken_back(candidate: Candidate) -> None:
    approve(candidate, approver("ada"), Seen.of(candidate))
    with pytest.raises(StalePage, match="nothing of yours"):
        withdraw(candidate, approver("grace"))


def test_a_rejection_blocks_until_it_is_withdrawn(candidate: Candidate) -> None:
    ada, grace = approver("ada"), approver("grace")
    reject(candidate, ada, Seen.of(candidate), "Noise")
    for act in (lambda: reopen(candidate, grace, "No!"), lambda: withdraw(candidate, grace)):
        with pytest.raises(ReviewRefused):
            act()
    with pytest.raises(StalePage, match="rejected now"):
        approve(candidate, grace, Seen.of(candidate))
    withdraw(candidate, ada)
    assert approve(now(candidate), grace, Seen.of(now(candidate)))


def test_a_rejection_by_somebody_who_left_blocks_nobody(candidate: Candidate) -> None:
    ada = approver("ada")
    reject(candidate, ada, Seen.of(candidate), "Noise")
    User.objects.filter(pk=ada.pk).update(is_active=False)
    reopen(now(candidate), approver("grace"), "She left; the seeds say otherwise")
    assert now(candidate).stage == Stage.READY


def test_a_rejection_against_the_verdict_is_marked(candidate: Candidate) -> None:
    reject(candidate, approver(), Seen.of(candidate), "Too much code for it")
    assert Review.objects.get().against_verdict


def test_a_person_who_decides_anew_has_one_standing_vote(candidate: Candidate) -> None:
    ada = approver("ada")
    Project.objects.update(config=candidate.project.config | {"gate": {"baseline": {"approvals": 2}}})
    assert approve(now(candidate), ada, Seen.of(now(candidate))) is None
    reject(now(candidate), ada, Seen.of(now(candidate)), "On second thought: noise")
    assert [vote.decision for vote in Review.objects.standing()] == ["reject"]
    assert Review.objects.get(decision="approve").void_reason == "ada decided anew."


def test_changes_are_asked_for_in_words_or_by_comments_at_the_lines(candidate: Candidate) -> None:
    grace = approver()
    with pytest.raises(ReviewRefused, match="Say what should change"):
        request_changes(candidate, grace, Seen.of(candidate), " ")
    assert candidate.patch_set
    Thread.objects.begin(candidate.patch_set, "train.py", 6, "Why this far?", grace)
    request_changes(candidate, grace, Seen.of(candidate), " ")
    assert now(candidate).stage == Stage.CHANGES and now(candidate).why == "See the 1 open comment at the lines."


def test_a_request_for_changes_is_undone_while_nobody_answered(candidate: Candidate) -> None:
    grace = approver()
    request_changes(candidate, grace, Seen.of(candidate), "Nearer to 0.019")
    withdraw(candidate, grace)
    assert now(candidate).stage == Stage.READY and not Review.objects.standing().exists()
    request_changes(candidate, grace, Seen.of(candidate), "Nearer to 0.019")
    assert Candidate.claim(candidate.pk, "an agent at work")
    with pytest.raises(StalePage):
        withdraw(candidate, grace)


def test_patch_set_2_is_checked_and_judged_again_and_the_votes_before_it_are_void(candidate: Candidate) -> None:
    ada, grace = approver("ada"), approver("grace")
    first, evidence = candidate.patch_set, candidate.evidence
    assert first and evidence
    request_changes(candidate, grace, Seen.of(candidate), "Nearer to 0.019")
    seen = Seen.of(candidate)
    revise(now(candidate), author="ada", patch=patch(NEARER), message="As asked", submitted_by=ada)
    assert now(candidate).stage == Stage.PROPOSED and now(candidate).evidence is None
    assert Review.objects.get().void_reason == "Patch set 2 came."
    drain()
    candidate = now(candidate)
    second = candidate.revision
    assert (second.number, second.author, second.submitted_by, second.message) == (2, "ada", ada, "As asked")
    assert second.diff_hash != first.diff_hash and "+LEARNING_RATE = 0.019" in second.diff
    assert candidate.stage == Stage.READY and candidate.evidence and candidate.evidence.pk != evidence.pk
    assert candidate.evidence.patch_set == second and second.runs.count() >= 4
    confirmed = [set(one.runs.filter(purpose="confirm").values_list("seed", flat=True)) for one in (first, second)]
    assert confirmed[0] and confirmed[1] and not confirmed[0] & confirmed[1]  # fresh seeds are fresh each time
    with pytest.raises(StalePage, match="its diff and its evidence changed"):
        approve(candidate, grace, seen)
    approve(candidate, grace, Seen.of(candidate))
    drain()
    assert now(candidate).stage == Stage.LANDED
    assert (
        "LEARNING_RATE = 0.019" in candidate.project.repository.texts(candidate.project.tip().commit, ["train.py"])["train.py"]
    )


def test_an_agent_answers_with_edits_under_its_lease(candidate: Candidate) -> None:
    request_changes(candidate, approver(), Seen.of(candidate), "Nearer")
    lease = Candidate.claim(candidate.pk, "agent")
    revise(now(candidate), author="claude", edits=[Edit("train.py", *NEARER)], details={"knob": 1}, lease=lease)
    candidate = now(candidate)
    assert (candidate.stage, candidate.lease_until, candidate.details) == (Stage.PROPOSED, None, {"knob": 1})
    drain()
    assert now(candidate).revision.author == "claude"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (BETTER, "patch set 1 again, line for line"),
        (("LEARNING_RATE = 0.01", "LEARNING_RATE = ="), "does not parse"),
        (("# How wide it is.", "# How wide it may be."), "Nothing but comments"),
    ],
)
def test_a_patch_set_that_cannot_be_tried_is_refused_at_once(candidate: Candidate, change: tuple[str, str], error: str) -> None:
    request_changes(candidate, approver(), Seen.of(candidate), "Nearer")
    with pytest.raises(CheckFailed, match=error):
        revise(now(candidate), author="ada", patch=patch(change))
    assert now(candidate).stage == Stage.CHANGES and Review.objects.standing().count() == 1


def test_what_is_under_way_landing_or_landed_is_not_revised(candidate: Candidate, project: Project) -> None:
    with pytest.raises(PatchError):
        revise(candidate, author="ada", patch="nonsense")
    approve(candidate, approver(), Seen.of(candidate))
    with pytest.raises(RevisionRefused, match="Withdraw the approval first"):
        revise(now(candidate), author="ada", patch=patch(NEARER))
    drain()
    with pytest.raises(RevisionRefused, match="landed already"):
        revise(now(candidate), author="ada", patch=patch(NEARER))
    Candidate.objects.update(stage=Stage.SCREENING)
    with pytest.raises(RevisionRefused, match="wait for its evidence"):
        revise(now(candidate), author="ada", patch=patch(NEARER))
    with pytest.raises(RevisionRefused, match="operator"):
        revise(now(candidate), author="ada", patch=patch(NEARER), submitted_by=User.objects.create_user("viewer"))


def test_approved_twice_by_one_person_in_two_windows_counts_once(candidate: Candidate) -> None:
    Project.objects.update(config=candidate.project.config | {"gate": {"baseline": {"approvals": 2}}})
    ada, seen = approver("ada"), Seen.of(candidate)
    answers = at_once(*[lambda: approve(candidate, ada, seen)] * 2)
    assert sorted(map(type, answers), key=str) == sorted([type(None), StalePage], key=str)
    assert Review.objects.count() == 1 and not Landing.objects.exists()


def test_two_people_complete_a_policy_of_two_at_the_same_moment_and_it_lands_once(candidate: Candidate) -> None:
    Project.objects.update(config=candidate.project.config | {"gate": {"baseline": {"approvals": 2}}})
    seen, people = Seen.of(candidate), [approver("ada"), approver("grace")]
    answers = at_once(*[lambda person=person: approve(candidate, person, seen) for person in people])
    assert [isinstance(answer, Landing) for answer in answers].count(True) == 1 and None in answers
    drain()
    assert now(candidate).stage == Stage.LANDED and Landing.objects.count() == 1


def test_one_approves_while_another_rejects_and_exactly_one_of_them_decides(candidate: Candidate) -> None:
    seen, ada, grace = Seen.of(candidate), approver("ada"), approver("grace")
    answers = at_once(lambda: approve(candidate, ada, seen), lambda: reject(candidate, grace, seen, "Noise"))
    assert [isinstance(answer, StalePage) for answer in answers].count(True) == 1
    drain()
    assert now(candidate).stage == (Stage.REJECTED if isinstance(answers[0], StalePage) else Stage.LANDED)


@pytest.mark.parametrize("order", [0, 1])
def test_an_approval_and_a_new_patch_set_at_the_same_moment_never_land_what_was_not_judged(
    candidate: Candidate, order: int
) -> None:
    seen, ada = Seen.of(candidate), approver("ada")

    def vote() -> object:
        return approve(now(candidate), ada, seen)

    def answer() -> None:
        revise(now(candidate), author="lin", patch=patch(NEARER))

    at_once(*((vote, answer) if order else (answer, vote)))
    drain()
    candidate = now(candidate)
    if candidate.stage == Stage.LANDED:  # the vote was first: the patch set was refused
        assert candidate.revision.number == 1 and candidate.reviews.standing().count() == 1
    else:  # the patch set was first: the vote was refused or is void, and a person must look again
        assert (candidate.stage, candidate.revision.number) == (Stage.READY, 2)
        assert not candidate.reviews.standing().exists() and len(candidate.project.repository.log(5)) == 1


def test_an_approver_who_is_demoted_before_the_click_does_not_vote(candidate: Candidate) -> None:
    ada = approver("ada")
    set_role(User.objects.get(pk=ada.pk), Role.VIEWER)
    with pytest.raises(ReviewRefused, match="role “approver”"):
        approve(candidate, ada, Seen.of(candidate))
    with pytest.raises(ReviewRefused, match="role “reviewer”"):
        reject(candidate, ada, Seen.of(candidate), "Noise")


def test_an_approver_who_is_demoted_while_it_waits_in_the_queue_does_not_count(candidate: Candidate) -> None:
    Project.objects.update(config=candidate.project.config | {"gate": {"baseline": {"approvals": 2}}})
    ada, grace = approver("ada"), approver("grace")
    for person in (ada, grace):
        approve(now(candidate), person, Seen.of(candidate))
    set_role(grace, Role.REVIEWER)
    drain()
    candidate = now(candidate)
    assert candidate.stage == Stage.READY and "approv" in candidate.why
    assert len(candidate.project.repository.log(5)) == 1


def test_undoing_and_landing_at_the_same_moment_end_in_one_of_the_two(candidate: Candidate) -> None:
    ada = approver("ada")
    approve(candidate, ada, Seen.of(candidate))
    at_once(lambda: withdraw(candidate, ada), lambda: land.land(candidate.project_id, "worker"))
    drain()
    landed = len(candidate.project.repository.log(5)) == 2
    candidate = now(candidate)
    assert candidate.stage == (Stage.LANDED if landed else Stage.READY)
    assert candidate.reviews.standing().exists() is landed


def test_the_others_approval_stands_when_one_of_two_takes_theirs_back(candidate: Candidate, project: Project) -> None:
    Project.objects.update(config=project.config | {"gate": {"baseline": {"approvals": 2}}})
    ada, grace = approver("ada"), approver("grace")
    for person in (ada, grace):
        approve(now(candidate), person, Seen.of(candidate))
    withdraw(now(candidate), grace)
    assert [vote.reviewer for vote in Review.objects.standing()] == [ada]
    assert approve(now(candidate), grace, Seen.of(candidate))


def test_a_candidate_with_a_standing_vote_of_another_diff_is_not_landed_on_it(candidate: Candidate, project: Project) -> None:
    other = submit(project, WIDER)
    approve(candidate, approver(), Seen.of(candidate))
    Review.objects.update(diff_hash=other.revision.diff_hash)
    drain()
    assert now(candidate).stage == Stage.READY and len(project.repository.log(5)) == 1


def test_nothing_but_the_pages_of_signed_in_people_can_vote() -> None:
    """No command, task, endpoint of the API or agent so much as imports what writes a vote."""
    voting = {"approve", "reject", "request_changes", "withdraw", "cast", "approve_scale_ups", "skip_scale_up"}
    found = set()
    for path in [*(CODE / "research_app").rglob("*.py"), *(CODE / "agent").rglob("*.py"), *(CODE / "training").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom):
                continue
            names = {alias.name for alias in node.names}
            steps = ("research_app.loop.review", "research_app.loop.scale_up")
            whole = node.module in steps and names & {"review", "shortlist"}
            rooms = ("research_app.loop.review.review", "research_app.loop.scale_up.shortlist")
            if whole or (node.module in rooms and names & voting):
                found.add(str(path.relative_to(CODE)))
    assert found
    assert [path for path in found if not path.startswith("research_app/web/")] == ["research_app/loop/scale_up/shortlist.py"]
