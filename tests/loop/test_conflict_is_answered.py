"""A conflict names the landing that stands in the way, and its author answers it with a patch set on the new baseline."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from research_app.loop.notify.announce import whose_turn
from research_app.loop.notify.compose import item_of
from research_app.loop.propose.combine import CombinationRefused, combine
from research_app.loop.review.archive import ArchiveRefused, archive
from research_app.loop.review.review import Seen, approve
from research_app.loop.stacks.stack import NoStack, form_stack
from research_app.models import Candidate, Event, Project, Stage
from tests.factories import make_user
from tests.landing_samples import (
    approved,
    check_agreement,
    fresh,
    knob,
    knobs_project,
    landed,
    ready,
    take_over,
    training_at_once,
)
from tests.small_project import approver, drain, patch

pytestmark = pytest.mark.django_db(transaction=True)
OLD, NEW = "KNOB_06 = 0\n", "KNOB_06 = {}\n"


@pytest.fixture(autouse=True)
def _training_at_once() -> Iterator[None]:
    with training_at_once():
        yield


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return knobs_project(tmp_path)


@pytest.fixture
def lin() -> User:
    return make_user("lin", role="operator")


def collision(project: Project, author: User | None) -> Candidate:
    """Two changes of one line, and five that stand elsewhere in the file; what lands second conflicts with the first."""
    loser = ready(project, ("train.py", OLD, NEW.format(2)))
    Candidate.objects.filter(pk=loser.pk).update(submitted_by=author)
    approved(project, knob(2)), approved(project, knob(10)), approved(project, knob(6)), approved(project, knob(14))
    drain(limit=1000)
    approve(fresh(loser), approver(), Seen.of(fresh(loser)))
    approved(project, knob(20))
    drain(limit=1000)
    return fresh(loser)


def page(person: str, candidate: Candidate) -> str:
    client = Client()
    client.force_login(User.objects.get(username=person))
    return client.get(candidate.get_absolute_url()).content.decode()


def test_it_names_the_one_landing_that_stands_in_the_way_and_no_commit(project: Project, lin: User) -> None:
    loser = collision(project, lin)
    assert loser.stage == Stage.CONFLICT
    clash = Candidate.objects.get(landings__patch_set__diff__contains="KNOB_06 = 1", stage=Stage.LANDED)
    number = clash.landings.get().version
    assert number is not None
    assert loser.why == (
        f"It clashes with {clash} (baseline {number.number}): both alter the same lines of train.py. "
        "Answer with a patch set made on the current baseline."
    )
    assert [*loser.landings.get().clashes_with.all()] == [clash]
    assert loser.landings.get().reason == loser.why
    check_agreement(project)


def test_its_author_is_led_to_answer_on_the_new_baseline_and_then_it_is_judged_again(project: Project, lin: User) -> None:
    loser = collision(project, lin)
    assert whose_turn(loser) == [lin] and "It clashes with C-4" in "".join(item_of(loser).lines)
    shown = page("lin", loser)
    assert "Closed." not in shown and "It waits for your answer." in shown
    assert f"Answer with patch set 2 on baseline {project.tip().number}" in shown
    assert "In the way:" in shown and "/candidates/4/" in shown
    client = Client()
    client.force_login(lin)
    text = project.repository.read(project.repository.tip(), "train.py").decode()
    answer = patch(("KNOB_06 = 1\n", NEW.format(2)), text=text)
    response = client.post(f"{loser.get_absolute_url()}revise/", {"patch": answer, "reason": "On top of C-4."})
    assert response.status_code == 302
    drain(limit=1000)
    answered = fresh(loser)
    assert answered.revision.number == 2 and answered.revision.base == project.tip()
    assert answered.stage not in (Stage.CONFLICT, Stage.INVALID, Stage.CRASHED), answered.why


def test_others_are_told_for_whom_it_waits(project: Project, lin: User) -> None:
    loser = collision(project, lin)
    make_user("vera", role="viewer")
    shown = page("vera", loser)
    assert "Closed." not in shown and "It waits for lin to answer it." in shown and "Send patch set" not in shown


def test_one_that_no_person_submitted_can_be_taken_on(project: Project, lin: User) -> None:
    loser = collision(project, None)
    assert "No person submitted it: whoever takes it on may answer" in page("lin", loser)


def test_it_is_not_put_away_with_the_discarded_while_its_author_may_answer(project: Project, lin: User) -> None:
    loser = collision(project, lin)
    with pytest.raises(ArchiveRefused, match="waits for lin to answer it"):
        archive(loser, "grace")
    client = Client()
    client.force_login(make_user("oscar", role="operator"))
    other = ready(project, knob(30))
    Candidate.objects.filter(pk=other.pk).update(stage=Stage.DROPPED)
    picked = {"pick": [loser.number, other.number], "action": "archive"}
    told = client.post("/projects/knobs/candidates/bulk/", picked, follow=True).content.decode()
    assert "1 candidate archived." in told and "waits for lin to answer it" in told
    assert fresh(loser).archived_at is None and fresh(other).archived_at is not None
    archive(fresh(loser), "lin")
    assert fresh(loser).archived_at is not None, "its author may"


@pytest.mark.one_in(2)
@pytest.mark.parametrize("author", ["nobody", "somebody who left"])
def test_one_that_nobody_will_answer_can_be_put_away(project: Project, lin: User, author: str) -> None:
    loser = collision(project, lin if author == "somebody who left" else None)
    User.objects.filter(pk=lin.pk).update(is_active=False)
    archive(fresh(loser), "grace")
    assert fresh(loser).archived_at is not None


def test_a_change_that_was_moved_in_by_hand_is_named_as_that(project: Project, lin: User) -> None:
    loser = ready(project, ("train.py", OLD, NEW.format(2)))
    repository = project.repository
    by_hand = repository.change_from_edits(repository.tip(), [("train.py", OLD, NEW.format(5))], "by hand", "somebody")
    repository.advance(repository.tip(), by_hand.commit)
    take_over(project)
    approve(fresh(loser), approver(), Seen.of(fresh(loser)))
    drain(limit=500)
    assert "It clashes with what somebody changed by hand (baseline 1)" in fresh(loser).why


def test_what_the_baseline_has_already_says_so_and_what_to_do(project: Project) -> None:
    twin = ready(project, knob(6))
    approved(project, knob(6))
    drain(limit=500)
    approve(fresh(twin), approver(), Seen.of(fresh(twin)))
    drain(limit=500)
    assert fresh(twin).stage == Stage.CONFLICT and "does not go onto baseline 1" in fresh(twin).why
    assert "Answer with a patch set made on the current baseline." in fresh(twin).why


def test_a_batch_names_the_entry_that_altered_the_file(tmp_path: Path) -> None:
    project = knobs_project(tmp_path, slug="batched", batch=3)
    loser = ready(project, ("train.py", OLD, NEW.format(2)))
    for number in (2, 6, 10):
        approved(project, knob(number))
    drain(limit=1000)
    approve(fresh(loser), approver(), Seen.of(fresh(loser)))
    drain(limit=1000)
    assert fresh(loser).stage == Stage.CONFLICT
    assert "(baseline " in fresh(loser).why and "C-3" in fresh(loser).why
    assert landed(project)


def test_a_stack_and_a_combination_name_only_those_that_do_not_go_together(project: Project) -> None:
    many = [ready(project, knob(number)) for number in (2, 10, 14)]
    one, two = ready(project, ("train.py", OLD, NEW.format(2))), ready(project, ("train.py", OLD, NEW.format(3)))
    with pytest.raises(NoStack, match=r"^C-5 alters the same lines of train\.py as C-4\. Leave one out\.$"):
        form_stack(project, [*many, one, two], "ada")
    with pytest.raises(
        CombinationRefused, match=r"^C-5 changes the same lines of train\.py as C-4: they do not go together\.$"
    ):
        combine(project, [each.number for each in (*many, one, two)], approver())
    approved(project, knob(6))
    drain(limit=500)
    with pytest.raises(NoStack, match=r"C-4 alters the same lines of train\.py as C-6 \(baseline 1\)"):
        form_stack(project, [fresh(many[0]), fresh(one)], "ada")


def test_nothing_of_a_conflict_is_lost_from_the_events(project: Project, lin: User) -> None:
    loser = collision(project, lin)
    told = Event.objects.about(loser).filter(kind="stage changed").last()
    assert told is not None and told.data["why"] == loser.why
