"""A duplicate never reaches a device: it ends as invalid and names the earlier try, however it was written."""

import json
import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from agent.proposal import Edit, Proposal
from research_app.loop.check.check import CheckFailed, Duplicate, check
from research_app.loop.check.check import submit as submit_patch
from research_app.loop.propose.conversation.workspace import record_of
from research_app.loop.propose.propose import enter, tried
from research_app.loop.propose.revise import revise
from research_app.models import Author, Candidate, Project, Run, Stage, Token
from research_app.web.project.progress import points_of
from tests.factories import make_project, make_user
from tests.small_project import BETTER, CRASHING, drain, small_project, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def project() -> Project:
    return small_project()


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


WORDS = "duplicate of C-1"


@pytest.fixture
def refused(project: Project) -> Candidate:
    """C-2, which is C-1 again."""
    submit(project, BETTER)
    return proposed(project, "LEARNING_RATE = 0.01", "LEARNING_RATE = 0.0201")


def badges(page: str) -> list[str]:
    return [re.sub(r"<[^>]*>", "", chip).strip() for chip in re.findall(r'<span class="chip.*?</span>[^<]*</span>', page)]


def test_every_page_calls_a_refused_duplicate_that_and_not_invalid(refused: Candidate) -> None:
    client = Client()
    client.force_login(make_user("ada"))
    home = refused.project.get_absolute_url()
    for address in ("candidates/", "candidates/2/", "history/", "history/?view=tree", "compare/?c=1,2"):
        page = client.get(home + address).content.decode()
        assert any(WORDS in badge for badge in badges(page)), (address, badges(page))
        assert not any(badge.endswith("invalid") for badge in badges(page)), address
        assert "to: invalid" not in page
    found = client.get(f"{home}candidates/?stage=duplicate").content.decode()
    assert WORDS in found
    assert WORDS not in client.get(f"{home}candidates/?stage=invalid").content.decode()
    counts = re.sub(r"<[^>]*>", "", re.findall(r'<ul class="off".*?</ul>', client.get(home).content.decode(), re.DOTALL)[0])
    assert "1 duplicate" in counts and "invalid" not in counts
    (point,) = [point for point in points_of(refused.project) if point.number == 2]
    assert point.plain()["about"] == WORDS


def test_the_api_the_command_and_the_agents_are_told_the_same(refused: Candidate) -> None:
    _, token = Token.make(make_user("ada"), "x", ["read"], 1)
    client = Client(headers={"authorization": f"Bearer {token}"})
    assert client.get("/api/v1/projects/small/candidates/2").json()["stage"] == WORDS
    assert client.get("/api/v1/projects/small/history").json()["items"][0]["outcome"] == "duplicate"
    said, plain = StringIO(), StringIO()
    call_command("candidate", "show", "small", "2", stdout=said)
    call_command("candidate", "show", "small", "2", "--json", stdout=plain)
    assert WORDS in said.getvalue() and "invalid" not in said.getvalue()
    assert json.loads(plain.getvalue())["state"] == WORDS
    assert [row.stage for row in tried(refused.project)][1] == WORDS
    assert record_of(refused)["state"].startswith(WORDS)


def test_a_refused_duplicate_that_is_revised_is_no_duplicate_any_more(refused: Candidate, project: Project) -> None:
    revise(refused, author="claude", edits=[Edit("train.py", "LEARNING_RATE = 0.01", "LEARNING_RATE = 0.05")])
    refused.refresh_from_db()
    assert refused.duplicate_of is None
    check(refused.pk, "worker")
    assert Candidate.objects.get(pk=refused.pk).get_stage_display() == "screening"


SETTINGS = "lr: 0.1\nwidth: 64\nmodel:\n  depth: 2\n"


@pytest.fixture
def with_settings() -> Project:
    files = {"train.py": "X = 1\n", "conf/base.yaml": SETTINGS}
    return make_project("settings", files=files, reference_runs=0, edit={"editable": ["train.py", "conf/**"], "protected": []})


def settings_patch(after: str) -> str:
    """A patch of the whole file."""
    lines = "".join(f"-{line}\n" for line in SETTINGS.splitlines()) + "".join(f"+{line}\n" for line in after.splitlines())
    counts = f"@@ -1,{SETTINGS.count(chr(10))} +1,{after.count(chr(10))} @@\n"
    return f"--- a/conf/base.yaml\n+++ b/conf/base.yaml\n{counts}{lines}"


def tried_settings(project: Project, after: str) -> Candidate:
    row = submit_patch(project, settings_patch(after), "Nest it otherwise", category="schedule", author="ada")
    check(row.pk, "worker")
    return Candidate.objects.get(pk=row.pk)


def test_indentation_alone_is_a_change_where_it_gives_a_key_another_parent(with_settings: Project) -> None:
    first = tried_settings(with_settings, SETTINGS.replace("lr: 0.1\nwidth", "lr:\n  width"))
    second = tried_settings(with_settings, SETTINGS.replace("  depth", "depth"))
    assert first.stage == second.stage == Stage.SCREENING
    with pytest.raises(Duplicate, match="The same code was tried before as C-1"):
        tried_settings(with_settings, SETTINGS.replace("lr: 0.1\nwidth", "lr: # nested\n     width"))


@pytest.mark.parametrize("after", [SETTINGS.replace("64", "64  # wider?"), SETTINGS.replace("  depth", "      depth")])
def test_a_comment_and_formatting_of_settings_are_nothing_to_measure(with_settings: Project, after: str) -> None:
    with pytest.raises(CheckFailed, match="Nothing but comments or formatting differs"):
        tried_settings(with_settings, after)
