"""A candidate has a title of one short line, given or cut from its hypothesis; the long words stand below it."""

import importlib
import io
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from agent.claude import proposal_of
from agent.ideas import IDEAS
from agent.knobs import KnobsProposer
from agent.playbook import PlaybookProposer
from agent.proposal import Context, Edit, Proposal
from agent.title import MOST, title_of
from agent.tools import Submission, Submit
from research_app.api import schemas
from research_app.home import CODE
from research_app.loop.land.land import message_of
from research_app.loop.notify.compose import item_of
from research_app.models import Candidate, LandingState, Project, Stage, Verdict
from tests.factories import make_candidate, make_landing, make_many, make_user

LONG = (
    "Rotate queries and keys by their position instead of adding learned positions: attention then sees distances. "
    "(J. Su et al., RoFormer: Enhanced transformer with rotary position embedding, 2021)"
)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Deeper", "Deeper"),
        ("Deeper.", "Deeper"),
        ("  Two\n\nlines  ", "Two lines"),
        ("Warm-up 5% → 2% of the budget: it needs less of it", "Warm-up 5% → 2% of the budget: it needs less of it"),
        (LONG, "Rotate queries and keys by their position instead of adding learned…"),
        ("Normalise queries and keys: the scale of attention logits stays bounded and more", "Normalise queries and keys"),
        ("Go. " + "word " * 40, "Go. word word word word word word word word word word word word word…"),
        ("Set 0.5 to 0.57 in every layer, as 3.14 is larger. " + "x" * 90, "Set 0.5 to 0.57 in every layer, as 3.14 is larger"),
        ("x" * 200, "x" * 71 + "…"),
        ("", ""),
    ],
)
def test_a_title_is_cut_at_a_sentence_a_clause_or_a_word(text: str, title: str) -> None:
    assert title_of(text) == title


@given(st.text(max_size=400))
def test_a_title_is_one_line_of_at_most_72_characters_whatever_the_text(text: str) -> None:
    title = title_of(text)
    assert len(title) <= MOST and len(title.splitlines()) <= 1
    assert bool(title) == bool(text.strip() and text.strip() != ".")


def test_a_given_title_that_is_too_long_or_has_lines_is_refused() -> None:
    edits = (Edit("train.py", "a", "b"),)
    for title in ("x" * 73, "two\nlines"):
        with pytest.raises(ValueError, match="one line of at most 72 characters"):
            Proposal("Why not", "schedule", edits, "", title=title)


def test_proposers_give_titles_that_fit(playground: Context) -> None:
    assert all(len(idea.name) <= 60 for idea in IDEAS), "an idea's name is its title, with its dial"
    knob = KnobsProposer().propose(playground)
    assert "→" in knob.title and len(knob.title) <= MOST
    idea = PlaybookProposer().propose(playground)
    assert 0 < len(idea.title) <= MOST and idea.title not in idea.hypothesis


@pytest.fixture
def playground() -> Context:
    train = (CODE / "training/targets/default/train.py").read_text(encoding="utf-8")
    return Context(files={"train.py": train}, program="", history=(), sigma=None, attempt=1)


def test_an_agent_may_give_a_title_with_its_change() -> None:
    words = {"hypothesis": LONG, "category": "architecture", "expected_effect": "+0.01", "how_it_could_be_wrong": "It may not."}
    assert Submit.model_validate(words).title == ""
    with pytest.raises(ValueError):
        Submit.model_validate(words | {"title": "x" * 73})
    handed = Submission(**Submit.model_validate(words | {"title": "Rotary\npositions "}).model_dump())
    assert proposal_of(handed, [Edit("train.py", "a", "b")]).title == "Rotary positions"


def test_a_row_without_a_title_gets_one_from_its_hypothesis(project: Project) -> None:
    candidate = make_candidate(project, hypothesis=LONG)
    assert candidate.title == "Rotate queries and keys by their position instead of adding learned…"
    assert make_candidate(project, hypothesis=LONG, title="Rotary positions").title == "Rotary positions"


def test_rows_from_before_titles_get_theirs_when_the_database_is_brought_up_to_date(project: Project) -> None:
    make_many(project, 3, hypothesis=LONG)
    Candidate.objects.update(title="")
    importlib.import_module("research_app.migrations.0010_candidate_title").cut_titles(apps, None)
    assert set(Candidate.objects.values_list("title", flat=True)) == {title_of(LONG)}


def text(address: str) -> str:
    client = Client()
    client.force_login(make_user("ada"))
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


PLACES = ("", "projects/demo/", "projects/demo/candidates/", "projects/demo/history/", "projects/demo/history/?show=tree")


@pytest.mark.parametrize("place", PLACES)
def test_lists_show_the_title_and_not_the_long_words(project: Project, place: str) -> None:
    make_candidate(project, hypothesis=LONG, title="Rotary positions", effect=0.03, runs=3, verdict=Verdict.SOLID)
    shown = text(f"/{place}")
    assert "Rotary positions" in shown
    assert "learned positions" not in shown


def test_the_page_has_the_title_as_its_heading_and_the_hypothesis_below(project: Project) -> None:
    make_candidate(project, hypothesis=LONG, title="Rotary positions")
    shown = " ".join(text("/projects/demo/candidates/1/").split())
    assert '<span class="number">C-1</span> Rotary positions</h1>' in shown
    assert f">{LONG}</p>" in shown
    assert "<title>C-1 Rotary positions" in shown


def test_a_hypothesis_that_is_its_title_stands_there_once(project: Project) -> None:
    make_candidate(project, hypothesis="Deeper.")
    assert 'class="hypothesis"' not in text("/projects/demo/candidates/1/")


def test_the_legend_of_a_comparison_names_the_titles(project: Project) -> None:
    make_candidate(project, hypothesis=LONG, title="Rotary positions")
    client = Client()
    client.force_login(make_user("ada"))
    groups = client.get("/projects/demo/compare/curves.json?c=1").json()["groups"]
    assert [(group["name"], group["title"]) for group in groups] == [("baseline 0", ""), ("C-1", "Rotary positions")]


def test_the_title_is_the_subject_of_the_commit_and_the_hypothesis_its_body(project: Project) -> None:
    landed = make_candidate(
        project, hypothesis=LONG, title="Rotary positions", stage=Stage.LANDED, verdict=Verdict.SOLID, runs=3, effect=0.03
    )
    landing = make_landing(landed, LandingState.LANDED)
    message = message_of(landing, [landing], [])
    assert message.startswith(f"Rotary positions\n\n{LONG}\n\n")


def test_the_mail_names_the_title(project: Project) -> None:
    assert item_of(make_candidate(project, hypothesis=LONG, title="Rotary positions")).lines[0] == "Rotary positions"


def test_a_search_finds_titles(project: Project) -> None:
    make_candidate(project, hypothesis=LONG, title="Turning heads")
    assert "Turning heads" in text("/projects/demo/candidates/?q=turning")


def submit(tmp_path: Any, project: Project, **options: str) -> Candidate:
    patch = project.repository.diff(*two_commits(project))
    (tmp_path / "change.diff").write_text(patch)
    out, given = io.StringIO(), [f"--{name}={value}" for name, value in options.items()]
    words = ["--project", project.slug, "--patch", str(tmp_path / "change.diff"), "--hypothesis", LONG]
    call_command("candidate", "submit", *words, *given, stdout=out)
    return Candidate.objects.get(number=int(out.getvalue()))


def two_commits(project: Project) -> tuple[str, str]:
    edits = [("train.py", "WIDTH = 96", "WIDTH = 128")]
    return project.tip().commit, project.repository.change_from_edits(project.tip().commit, edits, "Wider", "ada").commit


def test_the_command_line_takes_a_title(project: Project, tmp_path: Any) -> None:
    assert submit(tmp_path, project, title="Wider layers").title == "Wider layers"


def test_the_command_line_refuses_a_title_that_is_too_long(project: Project, tmp_path: Any) -> None:
    with pytest.raises(CommandError, match="one line of at most 72 characters"):
        submit(tmp_path, project, title="x" * 73)


def test_the_api_takes_a_title_and_says_what_is_allowed() -> None:
    words = {"hypothesis": LONG, "category": "architecture", "patch": "diff"}
    assert schemas.ProposalIn.model_validate(words).title == ""
    assert schemas.ProposalIn.model_validate(words | {"title": "Rotary positions"}).title == "Rotary positions"
    for title in ("x" * 73, "two\nlines"):
        with pytest.raises(ValueError):
            schemas.ProposalIn.model_validate(words | {"title": title})
