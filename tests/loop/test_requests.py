"""What a model is told first, printed by `manage.py request`: all that it needs, nothing twice, nothing contradictory."""

import io
import re

import pytest
from django.core.management import call_command

from research_app.loop.propose import propose, steer
from research_app.loop.review.review import Seen, request_changes
from research_app.models import Candidate, Conversation, Event, Project, Stage, Thread
from tests.factories import SIGMA, make_candidate, make_project, make_user

pytestmark = pytest.mark.django_db


def printed(project: Project, *more: str) -> str:
    out = io.StringIO()
    call_command("request", "--project", project.slug, *more, stdout=out)
    return out.getvalue()


def without_tools(request: str) -> str:
    before, _, rest = request.partition("===== TOOLS")
    return before + rest.partition("===== FIRST MESSAGE")[2]


def repeated(request: str) -> list[str]:
    """Sentences of more than a few words that stand there twice."""
    lines = [line.strip("|> -") for line in without_tools(request).splitlines()]
    long = [line for line in lines if len(line.split()) > 5]
    return sorted({line for line in long if long.count(line) > 1})


def at(project: Project, stage: Stage, effect: float | None, width: int, **more: object) -> Candidate:
    edits = (("train.py", "WIDTH = 96", f"WIDTH = {width}"),)
    return make_candidate(project, stage=stage, effect=effect, edits=edits, hypothesis=f"width {width}", **more)  # type: ignore[arg-type]


@pytest.fixture
def ten() -> Project:
    """A project with ten results, one of every kind."""
    project = make_project()
    at(project, Stage.LANDED, 10 * SIGMA, 97)
    at(project, Stage.READY, 8 * SIGMA, 98, runs=5)
    at(project, Stage.REPLICATING, 0.4, 99)  # a gain of more than 10%
    at(project, Stage.DROPPED, 1 * SIGMA, 100)
    at(project, Stage.INCONCLUSIVE, 1.5 * SIGMA, 101)
    at(project, Stage.DROPPED, -6 * SIGMA, 102)
    at(project, Stage.REJECTED, 6 * SIGMA, 103, why="Too ugly.")
    at(project, Stage.CRASHED, None, 104, why="It ran out of memory.")
    at(project, Stage.NO_TRANSFER, 6 * SIGMA, 105, runs=4)
    at(project, Stage.SCREENING, None, 106)
    propose.open_round(project, ["playbook", "knobs"], None, "ada")
    return project


def test_an_empty_project_is_told_what_a_run_is_and_how_a_change_is_judged() -> None:
    request = printed(make_project())
    for words in (
        "score 2.18",
        "sigma",
        "parameters",
        "FLOPs per token",
        "steps",
        "tokens trained on",
        "training loss by step",
    ):
        assert words in request, words
    for words in ("dropped below 0.8 sigma", "5 fresh seeds", "above 10%", "quarantine", "peak memory 10%", "no verdict"):
        assert words in request, words
    assert "Nothing was tried" in request and not repeated(request)
    assert not Conversation.objects.exists() and not Event.objects.filter(kind="conversation begun").exists()


def test_ten_results_stand_in_one_table_each_with_their_reasons(ten: Project) -> None:
    steer.add_note(ten, "Leave the warm-up alone.", make_user())
    request = printed(ten)
    assert not repeated(request)
    rows = re.findall(r"^\| (C-\d+) \w+ by .*gain", request, re.M)
    assert len(rows) == len(set(rows)) == 9, "what is measured for the first time stands with what others work on"
    tables = dict(re.findall(r"^\[\d+ quoted lines?: ([^\]]+)\]\n((?:\| .*\n)+)", request, re.M))
    assert "C-3" in tables["better so far and still being judged, best first"]
    assert "C-3" not in tables["near misses: better, and within the noise"], "a large gain is not introduced as noise"
    assert "In quarantine" in request and "(implausible)" in request
    assert "Too ugly." in tables["rejected by a researcher, newest first"]
    assert "rotary positions" in request and "pairs of near misses" in request
    assert "> Leave the warm-up alone." in request


def test_a_combination_is_told_of_its_parts_as_material_and_nothing_twice(ten: Project) -> None:
    request = printed(ten, "--combine", "4", "5")
    assert request.count("+WIDTH = 100") == request.count("+WIDTH = 101") == 1
    assert "| +WIDTH = 100" in request and "Combine C-4, C-5" in request


def test_a_request_for_changes_names_threads_and_marks_who_is_to_be_followed(ten: Project) -> None:
    ada, candidate = make_user(), Candidate.objects.with_evidence().get(number=2)
    thread = Thread.objects.begin(candidate.revision, "train.py", 6, "Is it not much?", ada, quoted="WIDTH = 98")
    request_changes(candidate, ada, Seen.of(candidate), "Try 97.")
    told = printed(ten, "--changes", "2")
    assert f"Thread {thread.pk}, at train.py:6" in told and "| WIDTH = 98" in told and "> Is it not much?" in told
    assert "> Try 97." in told and "`keep_as_is`" in told and "ada" not in told
