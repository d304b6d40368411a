"""A baseline branch that somebody moves outside Signoff waits for a person; nothing lands over it, no agent proposes on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from research_app.audit.report import Kind
from research_app.audit.verify import verify
from research_app.loop.land.external_moves import AdoptionRefused, adopt, notice, notice_moved_branches
from research_app.loop.land.land import land
from research_app.loop.propose import propose
from research_app.models import Event, ExternalMove, Landing, Message, MoveState, Project, Round, Stage
from tests.factories import make_user
from tests.landing_samples import approved, fresh, knob, knobs_project, landed, take_over, training_at_once
from tests.small_project import approver, drain, git

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.both_databases,
    pytest.mark.usefixtures("no_earlier_repositories"),
]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with training_at_once():
        made = knobs_project(tmp_path)
        drain()
        yield made


def push_by_hand(project: Project, message: str = "Tidy up", *edits: tuple[str, str, str]) -> str:
    """Somebody's own commit at the tip of the branch."""
    repository = project.repository
    made = repository.change_from_edits(repository.tip(), edits or (("README.md", "# Small", "# Mine"),), "x", "mallory")
    commit = git(repository.path, "commit-tree", made.tree, "-p", made.base, "-m", message)
    set_branch(project, commit)
    return commit


def set_branch(project: Project, commit: str) -> None:
    git(project.repository.path, "update-ref", "refs/heads/baseline", commit)


def waiting(project: Project) -> ExternalMove:
    return project.external_moves.waiting().get()


def test_nothing_lands_over_it_until_a_person_takes_it_over(project: Project) -> None:
    commit = push_by_hand(project)
    candidate = approved(project, knob(3))
    drain(limit=500)
    entry = Landing.objects.get(candidate=candidate)
    assert fresh(candidate).stage == Stage.LANDING and landed(project) == []
    assert "moved outside Signoff" in entry.trouble and "approve at gate 2" in entry.trouble
    assert project.repository.tip() == commit and project.tip().number == 0
    version = take_over(project)
    drain(limit=500)
    assert (version.number, version.commit, version.moved_outside) == (1, commit, True)
    assert fresh(candidate).stage == Stage.LANDED
    assert project.repository.contains(project.repository.tip(), commit)


def test_no_proposer_is_asked_while_it_waits(project: Project) -> None:
    asked = propose.open_round(project, ["knobs"], 5, "test")
    push_by_hand(project)
    notice_moved_branches()
    assert list(Round.objects.open()) == []
    take_over(project)
    assert list(Round.objects.open()) == [asked]


def test_a_branch_that_is_put_back_waits_no_longer(project: Project) -> None:
    before = project.repository.tip()
    push_by_hand(project)
    notice_moved_branches()
    move = waiting(project)
    set_branch(project, before)
    notice_moved_branches()
    move.refresh_from_db()
    assert (move.state, move.reason) == (MoveState.GONE, "The branch was put back.")
    candidate = approved(project, knob(3))
    drain(limit=500)
    assert fresh(candidate).stage == Stage.LANDED
    assert Event.objects.filter(kind="move outside Signoff is over").count() == 1


def test_a_branch_that_moves_on_is_another_move_and_the_first_cannot_be_taken_over(project: Project) -> None:
    push_by_hand(project)
    notice_moved_branches()
    first = waiting(project)
    push_by_hand(project, "And more", ("README.md", "# Mine", "# Still mine"))
    with pytest.raises(AdoptionRefused, match="moved on"):
        adopt(first, approver(), "Fine.")
    notice_moved_branches()
    second = waiting(project)
    first.refresh_from_db()
    assert (first.state, second.added, len(second.commits)) == (MoveState.GONE, 2, 2)  # type: ignore[arg-type]
    with pytest.raises(AdoptionRefused):
        adopt(first, approver(), "Fine.")
    assert project.tip().number == 0


@pytest.mark.parametrize("role", ["viewer", "operator", "reviewer"])
def test_only_who_may_approve_at_gate_2_takes_it_over_and_only_with_a_reason(project: Project, role: str) -> None:
    push_by_hand(project)
    notice_moved_branches()
    with pytest.raises(AdoptionRefused, match="may not approve at gate 2"):
        adopt(waiting(project), make_user("vera", role=role), "Fine.")
    with pytest.raises(AdoptionRefused, match="Say why"):
        adopt(waiting(project), approver(), "  ")
    take_over(project)
    with pytest.raises(AdoptionRefused, match="already"):
        adopt(ExternalMove.objects.get(), approver(), "Again.")
    assert project.baseline_versions.count() == 2


def test_landings_that_it_drops_are_named_before_anybody_decides(project: Project) -> None:
    begun = project.repository.tip()
    candidate = approved(project, knob(3))
    drain(limit=500)
    set_branch(project, begun)
    notice_moved_branches()
    move = waiting(project)
    assert (move.added, move.left, move.dropped) == (0, 1, [str(candidate)])


def test_forged_trailers_are_named_and_are_no_landing(project: Project) -> None:
    """Somebody commits just the tree that was judged and approved, with the trailers of its landing."""
    candidate = approved(project, knob(3))
    Message.objects.all().delete()
    repository, patch_set = project.repository, candidate.revision
    words = f"It helps\n\nCandidate: knobs/{candidate.number}\nReviewed-by: mallory\nAudit-Head: {Event.objects.head()}"
    forged = git(repository.path, "commit-tree", patch_set.tree, "-p", patch_set.base_commit, "-m", words)
    set_branch(project, forged)
    land(project.pk, "a worker")
    assert fresh(candidate).stage == Stage.LANDING
    move = waiting(project)
    assert (move.commit, move.forged) == (forged, [f"knobs/{candidate.number}"])
    assert Event.objects.get(kind="baseline moved outside Signoff").data["claims_to_be"] == [f"knobs/{candidate.number}"]


def test_the_audit_names_the_commit_until_a_person_has_taken_it_over(project: Project) -> None:
    commit = push_by_hand(project)
    notice_moved_branches()
    assert [(fault.kind, fault.where) for fault in verify().faults] == [(Kind.COMMIT_BY_HAND, f"knobs commit {commit[:12]}")]
    take_over(project)
    assert [str(fault) for fault in verify().faults] == []


def test_its_page_shows_who_did_what_and_the_click_takes_it_over(project: Project) -> None:
    push_by_hand(project, "Tidy <b>up</b>\n\nCandidate: knobs/9")
    notice_moved_branches()
    move = waiting(project)
    client = Client()
    client.force_login(approver())
    shown = client.get(move.get_absolute_url()).content.decode()
    assert "Tidy &lt;b&gt;up&lt;/b&gt;" in shown and "knobs/9" in shown and "Mine" in shown
    for address in ("/", "/projects/knobs/", "/projects/knobs/landings/", "/projects/knobs/baseline/"):
        assert move.get_absolute_url() in client.get(address).content.decode(), address
    refused = client.post(f"{move.get_absolute_url()}adopt/", {"reason": " "})
    assert refused.status_code == 422 and "Say why" in refused.content.decode()
    assert client.post(f"{move.get_absolute_url()}adopt/", {"reason": "Agreed."}).status_code == 302
    move.refresh_from_db()
    assert (move.state, move.reason, move.ended_by) == (MoveState.ADOPTED, "Agreed.", approver())
    after = client.get(move.get_absolute_url()).content.decode()
    assert "Taken over as" in after and "Take over as the baseline" not in after
    assert move.get_absolute_url() not in client.get("/").content.decode()


def test_who_may_not_take_it_over_sees_it_and_no_form(project: Project) -> None:
    push_by_hand(project)
    notice_moved_branches()
    move, client = waiting(project), Client()
    client.force_login(make_user("vera", role="operator"))
    shown = client.get(move.get_absolute_url()).content.decode()
    assert "Who has the role approver can take it over" in shown and "adopt/" not in shown
    assert client.post(f"{move.get_absolute_url()}adopt/", {"reason": "Mine."}).status_code == 403
    assert waiting(project) == move


def test_the_command_line_shows_it_and_takes_over_what_was_shown(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("project", "moved", "knobs")
    assert "where Signoff left it" in capsys.readouterr().out
    with pytest.raises(CommandError, match="nothing waits"):
        call_command("project", "adopt", "knobs", "a" * 40, reason="Fine.")
    commit = push_by_hand(project)
    call_command("project", "moved", "knobs")
    assert commit in capsys.readouterr().out
    with pytest.raises(CommandError, match=f"there waits {commit}"):
        call_command("project", "adopt", "knobs", "a" * 40, reason="Fine.")
    call_command("project", "adopt", "knobs", commit[:12], reason="Agreed on the phone.")
    assert project.tip().commit == commit
    told = Event.objects.get(kind="move outside Signoff taken over")
    assert told.actor.startswith("command line (") and told.data["reason"] == "Agreed on the phone."


def test_noticing_twice_at_once_is_one_move(project: Project) -> None:
    push_by_hand(project)
    tip = project.repository.tip()
    assert notice(project, tip) == notice(project, tip)
    assert ExternalMove.objects.count() == 1
    assert notice(project, project.tip().commit) is None  # as if it was put back
