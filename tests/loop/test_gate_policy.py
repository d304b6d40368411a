"""The policies of the two gates: what the project file may say, who is kept from voting, and what a change does."""

import pytest
from django.contrib.auth.models import User

from research_app.loop.project.projects import ProjectRefused, configure
from research_app.loop.review.review import ReviewRefused, Seen, StalePage, approve, reopen, request_changes, withdraw
from research_app.loop.review.votes import tally, turns_of, unsatisfiable
from research_app.models import Candidate, Event, Gate, Landing, Note, Project, Stage, Thread, Verdict
from research_app.project_file.gates_section import Gates
from research_app.project_file.project_file import ProjectFile, ProjectFileError, read_project_file
from tests.factories import make_candidate, make_project, make_user

pytestmark = pytest.mark.django_db


def ready(stage: Stage = Stage.READY, verdict: Verdict = Verdict.SOLID, **policy: object) -> Candidate:
    """A candidate of a project whose gate 2 has this policy."""
    return make_candidate(make_project(gate={"baseline": policy}), verdict=verdict, stage=stage)


def now(candidate: Candidate) -> Candidate:
    return Candidate.objects.with_evidence().get(pk=candidate.pk)


def vote(candidate: Candidate, user: User, reason: str = "") -> Landing | None:
    shown = now(candidate)
    return approve(shown, user, Seen.of(shown), reason)


def with_gates(project: Project, **baseline: object) -> ProjectFile:
    return ProjectFile.model_validate(project.file.model_dump() | {"gate": {"baseline": baseline}})


def test_a_project_file_without_policies_asks_for_one_approver() -> None:
    policy = read_project_file("").gate.baseline
    assert (policy.approvals, policy.roles, policy.second_person_against_verdict) == (1, ("approver",), False)


def test_a_project_file_says_the_policy_of_each_gate() -> None:
    gates = read_project_file(
        '[gate.shortlist]\nroles = ["reviewer"]\n[gate.baseline]\napprovals = 2\nauthor_may_vote = false\n'
    ).gate
    assert gates.of(Gate.SHORTLIST).roles == ("reviewer",) and gates.of(Gate.BASELINE).approvals == 2
    assert not gates.of(Gate.BASELINE).author_may_vote and gates.of(Gate.SHORTLIST).author_may_vote


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[gate.baseline]\napprovals = 0\n", "line 2: gate.baseline.approvals: Input should be greater than or equal to 1"),
        ("\n[gate.baseline]\nroles = []\n", "line 3: gate.baseline.roles: .*at least 1 item"),
        ('[gate.baseline]\nroles = ["viewer"]\n', "'reviewer' or 'approver' .given: 'viewer'"),
        ("[gate.baseline]\nvotes = 2\n", "line 2: gate.baseline.votes is not a known key; known here: approvals, roles"),
        ("[gate.first]\n", "gate.first is not a known key; known here: shortlist, baseline"),
    ],
)
def test_a_mistake_in_a_policy_is_named_with_its_line(text: str, error: str) -> None:
    with pytest.raises(ProjectFileError, match=error):
        read_project_file(text)


def test_with_two_approvals_asked_for_the_first_one_lands_nothing() -> None:
    candidate = ready(approvals=2)
    ada, grace = make_user("ada"), make_user("grace")
    assert vote(candidate, ada) is None
    where = tally(now(candidate), Gate.BASELINE)
    assert [v.reviewer for v in where.approvals] == [ada] and where.open == 1 and list(where.missing) == [grace]
    assert now(candidate).stage == Stage.READY
    with pytest.raises(StalePage, match="You approved C-1 already"):
        vote(candidate, ada)
    assert vote(candidate, grace) is not None
    assert now(candidate).why.startswith("Approved by ada and grace")


def test_the_role_that_a_policy_names_is_enough_and_a_lower_one_is_not() -> None:
    candidate = ready(roles=["reviewer"])
    with pytest.raises(ReviewRefused, match="role “reviewer” approve at gate 2"):
        vote(candidate, make_user("oscar", role="operator"))
    assert vote(candidate, make_user("rita", role="reviewer"))


@pytest.mark.parametrize("allowed", [True, False])
def test_whether_an_author_votes_on_their_own_candidate_is_for_the_policy_to_say(allowed: bool) -> None:
    candidate, ada = ready(author_may_vote=allowed), make_user("ada")
    Candidate.objects.filter(pk=candidate.pk).update(submitted_by=ada)
    if allowed:
        assert vote(candidate, ada)
    else:
        with pytest.raises(ReviewRefused, match="authors do not vote"):
            vote(candidate, ada)
        assert tally(now(candidate), Gate.BASELINE).stuck
        assert vote(candidate, make_user("grace"))


def test_whoever_revised_a_candidate_is_its_author_too() -> None:
    candidate, ada = ready(author_may_vote=False), make_user("ada")
    candidate.patch_sets.update(submitted_by=ada)
    with pytest.raises(ReviewRefused, match="authors do not vote"):
        vote(candidate, ada)


def test_who_steered_a_candidate_does_not_vote_where_the_policy_keeps_them_from_it() -> None:
    candidate = ready(steering_may_vote=False)
    ada, grace, lin, bystander = (make_user(name) for name in ("ada", "grace", "lin", "mia"))
    assert candidate.patch_set
    Thread.objects.begin(candidate.patch_set, "train.py", 1, "Why so low?", grace)
    request_changes(now(candidate), ada, Seen.of(now(candidate)), "Try 3% too")
    withdraw(now(candidate), ada)
    Thread.objects.begin(candidate.patch_set, "train.py", 2, "Nice.", bystander)
    Note.objects.create(project=candidate.project, candidate=candidate, text="Keep it small", written_by=lin)
    for person in (ada, grace, lin):
        with pytest.raises(ReviewRefused, match="steered"):
            vote(candidate, person)
        assert not turns_of(person).exists()
    assert [user.username for user in tally(now(candidate), Gate.BASELINE).missing] == ["mia"]
    assert vote(candidate, bystander)


def test_against_the_verdict_a_second_person_must_agree_where_the_policy_says_so() -> None:
    candidate = ready(second_person_against_verdict=True, verdict=Verdict.INCONCLUSIVE)
    assert vote(candidate, make_user("ada"), "Simpler code") is None
    assert tally(now(candidate), Gate.BASELINE).needed == 2
    assert vote(candidate, make_user("grace"), "I agree")
    solid = make_candidate(candidate.project, edits=[("train.py", "LAYERS = 3", "LAYERS = 4")], verdict=Verdict.SOLID)
    assert vote(solid, User.objects.get(username="ada"))


def test_a_policy_that_nobody_can_satisfy_is_refused_with_the_reason() -> None:
    make_user("ada")
    make_user("rita", role="reviewer")
    project = make_project()
    for gates, reason in (
        ({"approvals": 2}, r"\[gate.baseline\] wants 2 approvals by people with the role approver, but only ada has it"),
        ({"second_person_against_verdict": True}, "wants 2 approvals for a decision against the verdict"),
        ({"approvals": 3, "roles": ["reviewer"]}, "only ada, rita have it"),
    ):
        with pytest.raises(ProjectRefused, match=reason):
            configure(project, with_gates(project, **gates), "ada")
    assert Project.objects.get().policy_version == 1
    configure(project, with_gates(project, approvals=2, roles=["reviewer"]), "ada")
    assert unsatisfiable(Gates()) == []


def test_a_changed_policy_is_an_event_with_a_version_of_its_own() -> None:
    make_user("ada")
    project = make_project()
    configure(project, with_gates(project, author_may_vote=False), "ada")
    project.refresh_from_db()
    assert project.policy_version == 2
    event = Event.objects.get(kind="project configured")
    assert event.data["policy_version"] == 2 and event.data["gates"]["baseline"]["author_may_vote"] is False
    assert project.gate_policy(Gate.BASELINE, 1).author_may_vote and not project.gate_policy(Gate.BASELINE).author_may_vote


def test_the_same_policy_again_changes_no_version_and_voids_nothing() -> None:
    make_user("ada")
    make_user("grace")
    candidate = ready(approvals=2)
    vote(candidate, User.objects.get(username="ada"))
    configure(candidate.project, candidate.project.file, "ada")
    assert now(candidate).project.policy_version == 1 and now(candidate).reviews.standing().count() == 1


def test_a_looser_policy_does_not_approve_what_was_voted_on_under_the_stricter_one() -> None:
    ada, _ = make_user("ada"), make_user("grace")
    candidate = ready(approvals=2)
    vote(candidate, ada)
    seen = Seen.of(now(candidate))
    configure(candidate.project, with_gates(candidate.project, approvals=1), "ada")
    shown = now(candidate)
    assert shown.stage == Stage.READY and not shown.reviews.standing().exists()
    assert "The policy changed to version 2" in shown.reviews.get().void_reason
    with pytest.raises(StalePage, match="the policy of this gate changed"):
        approve(shown, ada, seen)
    assert vote(candidate, ada)


def test_a_stricter_policy_does_not_stop_what_was_approved_before() -> None:
    ada, _ = make_user("ada"), make_user("grace")
    candidate = ready()
    assert vote(candidate, ada)
    configure(candidate.project, with_gates(candidate.project, approvals=2, author_may_vote=False), "ada")
    where = tally(now(candidate), Gate.BASELINE)
    assert where.complete and where.version == 1 and where.needed == 1


def test_a_vote_under_a_former_policy_does_not_count_even_where_nobody_voided_it() -> None:
    ada = make_user("ada")
    candidate = ready(approvals=2)
    vote(candidate, ada)
    Project.objects.update(policy_version=2)
    where = tally(now(candidate), Gate.BASELINE)
    assert not where.approvals and [v.reviewer for v in where.lapsed] == [ada]


def test_an_operator_reopens_what_was_dropped_but_votes_nowhere() -> None:
    oscar = make_user("oscar", role="operator")
    candidate = ready(stage=Stage.INCONCLUSIVE, verdict=Verdict.INCONCLUSIVE)
    reopen(now(candidate), oscar, "A newer idea builds on it")
    with pytest.raises(ReviewRefused, match="approve at gate 2"):
        vote(candidate, oscar, "please")
