"""What landed and was taken back says so wherever it is named, and is not counted as part of the baseline any more."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from research_app.api import representations
from research_app.loop.judge.contradictions import landings_of
from research_app.loop.propose import revert as revert_step
from research_app.loop.propose.propose import tried
from research_app.loop.propose.revert import RevertRefused, propose_removal, revert
from research_app.loop.review.review import Seen, approve, reopen
from research_app.loop.stacks.ablate import AblationRefused, ablation_price
from research_app.models import Ablation, BaselineVersion, Candidate, Event, Project, Stage
from research_app.web.inbox.inbox import cards
from research_app.web.scoreboard.scoreboard import landed_changes, parts_of
from research_app.web.stacks.stacks import offer
from tests.landing_samples import approved, check_agreement, fresh, knob, knobs_project, landed, take_over, training_at_once
from tests.small_project import approver, drain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture(autouse=True)
def _training_at_once() -> Iterator[None]:
    with training_at_once():
        yield


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return knobs_project(tmp_path)


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(approver())
    return client


def land_one(project: Project, number: int = 2) -> Candidate:
    candidate = approved(project, knob(number))
    drain(limit=500)
    return fresh(candidate)


def take_back(version: BaselineVersion) -> Candidate:
    """Revert a version, as people do it."""
    proposed = revert(version, approver())
    drain(limit=500)
    approve(fresh(proposed), approver(), Seen.of(fresh(proposed)), "It must go.")
    drain(limit=500)
    proposed = fresh(proposed)
    assert proposed.stage == Stage.LANDED, proposed.why
    return proposed


def text(client: Client, address: str) -> str:
    return client.get(address).content.decode()


def test_its_own_page_says_by_whom_and_since_when(project: Project, client: Client) -> None:
    first = land_one(project)
    take_back(project.tip())
    shown = fresh(first)
    assert shown.undone and shown.stage == Stage.LANDED
    assert shown.why == "Landed as baseline 1. Taken back by C-2, as baseline 2."
    page = text(client, first.get_absolute_url())
    assert "landed, taken back" in page and "Taken back by C-2, as baseline 2." in page
    assert "not part of the baseline any more since" in page
    [event] = Event.objects.about(shown).filter(kind="taken off the baseline")
    assert event.data == {"baseline": 2, "how": "by C-2, as baseline 2"}
    check_agreement(project)


def test_versions_that_were_taken_back_have_no_revert_button(project: Project, client: Client) -> None:
    land_one(project)
    land_one(project, 10)
    take_back(project.baseline_versions.get(number=1))
    for address in ("/projects/knobs/baseline/", "/projects/knobs/history/?show=landings"):
        page = text(client, address)
        assert "/baseline/1/revert/" not in page and "/baseline/2/revert/" in page and "/baseline/3/revert/" in page, address
        assert "taken back" in page, address
    assert "landed, taken back" in text(client, "/projects/knobs/landings/")
    assert "landed, taken back" in text(client, "/projects/knobs/candidates/")
    with pytest.raises(RevertRefused, match=r"Baseline 1 was taken back already: Landed as baseline 1\. Taken back by C-3"):
        revert(project.baseline_versions.get(number=1), approver())


def test_it_is_counted_nowhere_as_part_of_the_baseline(project: Project) -> None:
    first, second = land_one(project), land_one(project, 10)
    take_back(project.baseline_versions.get(number=1))
    assert [row.number for row in offer(project)] == [second.number]
    assert [landing.candidate for landing in landings_of(project.pk, first.number)] == []
    with pytest.raises(AblationRefused, match=r"C-1: Landed as baseline 1\. Taken back by C-3, as baseline 3\."):
        ablation_price(project, [fresh(first), fresh(second)], folded=False)
    assert second.pk in parts_of(project) and first.pk not in parts_of(project)
    assert len(landed_changes(project)) == 1
    [card] = cards([project], {})
    assert (card.landed, card.candidates) == (2, 3), "the second change and the revert"
    assert set(Candidate.objects.on_the_baseline().values_list("number", flat=True)) == {2, 3}


def test_agents_are_told_that_it_was_taken_back_and_not_by_whom(project: Project) -> None:
    first = land_one(project)
    take_back(project.tip())
    [row] = tried(project, first)
    assert row.stage == "taken_back" and "grace" not in str(row)
    assert representations.candidate(fresh(first)).stage == "taken_back"


def test_a_revert_that_is_taken_back_puts_the_change_back(project: Project, client: Client) -> None:
    first = land_one(project)
    back = take_back(project.tip())
    again = take_back(project.tip())
    assert not fresh(first).undone and fresh(back).undone and not fresh(again).undone
    assert fresh(first).why == "Landed as baseline 1. Put back by C-3, as baseline 3."
    page = text(client, "/projects/knobs/baseline/")
    assert "/baseline/1/revert/" in page and "/baseline/2/revert/" not in page and "/baseline/3/revert/" in page
    assert b"KNOB_02 = 1" in project.repository.read(project.repository.tip(), "train.py")
    third = take_back(project.tip())
    assert fresh(first).undone and fresh(again).undone and not fresh(back).undone and not fresh(third).undone
    assert b"KNOB_02 = 0" in project.repository.read(project.repository.tip(), "train.py")


def test_all_of_a_batch_is_taken_back_with_its_version(tmp_path: Path) -> None:
    project = knobs_project(tmp_path, slug="batched", batch=3)
    entries = [approved(project, knob(number)) for number in (2, 10, 20)]
    drain(limit=1000)
    assert project.tip().number == 2
    take_back(project.tip())
    assert [fresh(entry).undone for entry in entries] == [False, True, True]


def test_a_removal_takes_one_change_out_of_what_a_version_brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revert_step, "removable", lambda *_: "Nobody would miss it.")  # what the check measured
    project = knobs_project(tmp_path, slug="batched", batch=3)
    first, second, third = [approved(project, knob(number)) for number in (2, 10, 20)]
    drain(limit=1000)
    check = Ablation.objects.create(project=project, version=project.tip(), asked_by="grace")
    removal = propose_removal(check, fresh(third), approver())
    drain(limit=500)
    reopen(fresh(removal), approver(), "The check says that nobody misses it.")
    approve(fresh(removal), approver(), Seen.of(fresh(removal)), "Nobody misses it.")
    drain(limit=500)
    assert fresh(removal).stage == Stage.LANDED, fresh(removal).why
    assert [fresh(entry).undone for entry in (first, second, third)] == [False, False, True]
    with pytest.raises(RevertRefused, match="is not on the baseline"):
        propose_removal(check, fresh(third), approver())


def test_landings_that_a_move_by_hand_dropped_say_so_until_they_are_back(project: Project, client: Client) -> None:
    first, second = land_one(project), land_one(project, 10)
    before, tip = project.baseline_versions.get(number=1).commit, project.repository.tip()
    set_branch(project, before, tip)
    take_over(project)
    assert not fresh(first).undone and fresh(second).undone
    assert "Taken back by moving the branch by hand, which is baseline 3" in fresh(second).why
    assert "/baseline/2/revert/" not in text(client, "/projects/knobs/baseline/")
    set_branch(project, tip, before)
    take_over(project)
    assert not fresh(second).undone and "Put back by moving the branch by hand" in fresh(second).why
    assert landed(project) == ["knobs/2", "knobs/1"]


def set_branch(project: Project, to: str, expected: str) -> None:
    """As somebody does it with git in the bare repository."""
    subprocess.run(
        ["git", "update-ref", f"refs/heads/{project.file.baseline.branch}", to, expected],
        cwd=project.repository.path, check=True,
    )  # fmt: skip


def test_it_may_be_worked_out_again(project: Project, client: Client) -> None:
    first = land_one(project)
    User.objects.filter(username="grace").update(is_superuser=False)
    assert "/rework/" not in text(client, first.get_absolute_url())
    take_back(project.tip())
    assert "/rework/" in text(client, first.get_absolute_url())
