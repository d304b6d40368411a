"""A duplicate never reaches a device: it ends as invalid and names the earlier try, however it was written."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from agent.proposal import Edit, Proposal
from research_app.loop.propose import enter
from research_app.models import Author, Candidate, Project, Run, Stage
from tests.factories import make_user
from tests.small_project import BETTER, CRASHING, drain, small_project, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return small_project(tmp_path)


def proposed(project: Project, old: str, new: str, **more: Any) -> Candidate:
    """Enter an edit as an agent's proposal and take it as far as it goes."""
    proposal = Proposal("It may help.", "optimiser", (Edit("train.py", old, new),), "")
    candidate = enter(project, project.tip(), proposal, author="claude", kind=Author.AGENT, **more)
    drain()
    candidate.refresh_from_db()
    return candidate


@pytest.mark.parametrize(
    ("new", "why"),
    [
        ("LEARNING_RATE = 0.02  # twice", "The same code was tried before as C-1"),
        ("LEARNING_RATE = 0.01 * 2", "It comes to the same code, written differently, as C-1"),
        ("RATE = 0.02\nLEARNING_RATE = RATE", "It comes to the same code, written differently, as C-1"),
        ("LEARNING_RATE = 0.0201", r"Within noise of what was tried before \(LEARNING_RATE 0.0201 beside 0.02\) as C-1"),
    ],
)
def test_a_repetition_is_refused_before_a_device_is_used_and_links_the_earlier_try(
    project: Project, new: str, why: str
) -> None:
    first = submit(project, BETTER)
    runs = Run.objects.count()
    second = proposed(project, "LEARNING_RATE = 0.01", new)
    assert second.stage == Stage.INVALID
    assert second.duplicate_of == first
    assert re.search(why, second.why), second.why
    assert "Reopen that one" in second.why
    assert Run.objects.count() == runs


def test_another_value_and_another_structure_are_no_repetitions(project: Project) -> None:
    submit(project, BETTER)
    assert proposed(project, "LEARNING_RATE = 0.01", "LEARNING_RATE = 0.05").duplicate_of is None
    assert proposed(project, "PENALTY = 0  # not a knob", "PENALTY = 0 if WIDTH > 1 else 1").duplicate_of is None


def test_constants_that_moved_are_kept_with_the_patch_set_and_structure_is_kept_as_none(project: Project) -> None:
    assert submit(project, BETTER).revision.moved == {"train.py:LEARNING_RATE": [0.01, 0.02]}
    structural = proposed(project, "PENALTY = 0  # not a knob", "PENALTY = 0 if WIDTH > 1 else 1")
    assert structural.revision.moved == {}
    assert structural.revision.resolved_hash


def test_what_comes_to_the_same_as_the_baseline_is_no_repetition_of_another_rewriting(project: Project) -> None:
    first = proposed(project, "WIDTH = 64", "WIDTH = 32 * 2")
    second = proposed(project, "STEPS = range(1, 21)", "STEPS = range(1, 20 + 1)")
    assert first.revision.resolved_hash == second.revision.resolved_hash == ""
    assert second.duplicate_of is None


def test_a_crashed_try_counts_as_tried(project: Project) -> None:
    first = submit(project, CRASHING)
    assert first.stage == Stage.CRASHED
    again = proposed(project, "LEARNING_RATE = 0.01", "LEARNING_RATE = 1 / 0  # again")
    assert again.duplicate_of == first


def test_aa_candidates_may_repeat_and_are_nobodys_earlier_try(project: Project) -> None:
    nothing = ("# How wide it is.\nWIDTH = 64", "# How wide it is.\nREVISION = 1\nWIDTH = 64")
    first, second = proposed(project, *nothing, aa=True), proposed(project, *nothing, aa=True)
    assert first.stage != Stage.INVALID and second.stage != Stage.INVALID
    assert proposed(project, *nothing).duplicate_of is None


def test_the_page_of_a_duplicate_leads_to_the_earlier_try(project: Project) -> None:
    submit(project, BETTER)
    second = proposed(project, "LEARNING_RATE = 0.01", "LEARNING_RATE = 0.0201")
    make_user("ada")
    client = Client()
    client.login(username="ada", password="correct horse battery")
    page = client.get(second.get_absolute_url()).content.decode()
    assert 'tried before as <a href="/projects/small/candidates/1/">C-1</a>' in page
