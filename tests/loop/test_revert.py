"""Revert: what landed is taken back by an ordinary candidate with the inverse diff."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from research_app.loop.propose.revert import RevertRefused, revert
from research_app.loop.review.review import ReviewRefused, Seen, approve
from research_app.models import Candidate, Kind, Project, Stage
from tests.landing_samples import approved, check_agreement, fresh, knob, knobs_project, landed, training_at_once
from tests.small_project import approver, drain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _training_at_once() -> Iterator[None]:
    with training_at_once():
        yield


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return knobs_project(tmp_path)


def test_a_landing_is_reverted_by_a_candidate_with_the_inverse_diff_that_a_person_approves(project: Project) -> None:
    first, second = approved(project, knob(2)), approved(project, knob(3))
    drain(limit=500)
    proposed = revert(project.baseline_versions.get(number=1), approver())
    drain(limit=500)
    proposed = fresh(proposed)
    assert (proposed.kind, proposed.stage) == (Kind.REVERT, Stage.READY), proposed.why
    assert "-KNOB_02 = 1" in proposed.revision.diff and "+KNOB_02 = 0" in proposed.revision.diff
    assert proposed.evidence and proposed.evidence.effect and proposed.evidence.effect < 0, "it says what the revert costs"
    with pytest.raises(ReviewRefused, match="reason"):
        approve(proposed, approver(), Seen.of(proposed))
    approve(proposed, approver(), Seen.of(proposed), "It broke the loader on the cluster.")
    drain(limit=500)
    assert landed(project) == ["knobs/3", "knobs/2", "knobs/1"]
    tip = project.repository.tip()
    text = project.repository.read(tip, "train.py")
    assert b"KNOB_02 = 0" in text and b"KNOB_03 = 1" in text
    (newest, *_) = project.repository.log(1)
    assert ("Reverts", project.baseline_versions.get(number=1).commit) in newest.trailers
    assert [fresh(candidate).stage for candidate in (first, second)] == [Stage.LANDED, Stage.LANDED]
    check_agreement(project)


def test_a_revert_waits_and_is_judged_again_like_any_other_and_holds_while_it_is_no_worse(project: Project) -> None:
    approved(project, knob(2))
    drain(limit=500)
    proposed = revert(project.tip(), approver())
    drain(limit=500)
    other = approved(project, knob(5))
    approve(fresh(proposed), approver(), Seen.of(fresh(proposed)), "It must go.")
    drain(limit=500)
    assert fresh(other).stage == fresh(proposed).stage == Stage.LANDED, fresh(proposed).why
    check_agreement(project)


def test_a_second_click_is_told_of_the_first(project: Project) -> None:
    approved(project, knob(2))
    drain(limit=500)
    revert(project.tip(), approver())
    with pytest.raises(RevertRefused, match="C-2 proposes just that already"):
        revert(project.tip(), approver())
    assert Candidate.objects.filter(kind=Kind.REVERT).count() == 1


def test_only_the_landing_that_altered_the_same_lines_is_named(project: Project) -> None:
    approved(project, knob(2))
    drain(limit=500)
    for number in (10, 20, 30):
        approved(project, knob(number))
        drain(limit=500)
    approved(project, ("train.py", "KNOB_02 = 1\n", "KNOB_02 = 2\n"))
    drain(limit=500)
    for number in (40, 50, 4):
        approved(project, knob(number))
        drain(limit=500)
    assert len(landed(project)) == 8
    with pytest.raises(RevertRefused) as refused:
        revert(project.baseline_versions.get(number=1), approver())
    assert str(refused.value) == (
        "C-5 (baseline 5) altered the same lines of train.py as C-1. "
        "Revert that first, or make the inverse by hand and submit it."
    )
    assert revert(project.baseline_versions.get(number=5), approver()).kind == Kind.REVERT, "and that can be done"


def test_of_several_in_the_way_all_are_named_and_nobody_else(project: Project) -> None:
    approved(project, knob(2))
    drain(limit=500)
    for new in ("2", "10", "3"):
        edit = knob(10) if new == "10" else ("train.py", f"KNOB_02 = {1 if new == '2' else 2}\n", f"KNOB_02 = {new}\n")
        approved(project, edit)
        drain(limit=500)
    with pytest.raises(RevertRefused, match=r"^C-2 \(baseline 2\) and C-4 \(baseline 4\) altered .* Revert those first"):
        revert(project.baseline_versions.get(number=1), approver())


def test_what_the_project_began_with_cannot_be_reverted_and_not_everybody_may(project: Project) -> None:
    with pytest.raises(RevertRefused, match="only a landing"):
        revert(project.tip(), approver())
    approved(project, knob(2))
    drain(limit=500)
    with pytest.raises(RevertRefused, match="operator"):
        revert(project.tip(), User.objects.create_user("viewer"))


def test_a_batch_is_reverted_as_the_whole_that_it_landed_as(tmp_path: Path) -> None:
    project = knobs_project(tmp_path, slug="batched", batch=3)
    for number in (2, 4, 6):
        approved(project, knob(number))
    drain(limit=1000)
    assert project.tip().number == 2
    proposed = revert(project.tip(), approver())
    drain(limit=500)
    diff = fresh(proposed).revision.diff
    assert "-KNOB_04 = 1" in diff and "-KNOB_06 = 1" in diff and "KNOB_02" not in [line[:8] for line in diff.splitlines()]
