"""NUL and other control characters are refused in every text that comes in, by name and line, and never stored."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import URLPattern, get_resolver

from agent.proposal import Edit, Proposal
from research_app.loop.check.check import CheckFailed, vet
from research_app.loop.propose.propose import enter
from research_app.loop.propose.revise import RevisionRefused, revise
from research_app.models import Author, Candidate, Comment, Note, ProgramVersion, Project, Stage, Token
from research_app.plain_text import problem_in, storable, without_refused
from research_app.project_file.project_file import ProjectFileError, read_project_file
from tests.factories import make_candidate, make_user
from tests.outside import token_for

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
REFUSED = ["\x00", "\x01", "\x08", "\x0b", "\x0c", "\x1b", "\x7f", "\x85", "\x9b", "\ufffe", "\uffff"]
TAKEN = ["a\tb", "a\nb", "a\r\nb", "naïve", "日本語", "👩‍🔬", "a\u200fb", "\ufeffa", ""]
EDITS = [{"path": "train.py", "old": "WARMUP = 0.05", "new": "WARMUP = 0.01"}]


@pytest.mark.parametrize("character", [*REFUSED, "\ud800"])
def test_each_of_them_is_named_with_its_line(character: str) -> None:
    said = problem_in(f"one\ntwo {character} three")
    assert f"U+{ord(character):04X}" in said and "line 2" in said
    assert problem_in(without_refused(f"a{character}b")) == ""


@pytest.mark.parametrize("text", TAKEN)
def test_what_people_write_is_taken_as_it_is(text: str) -> None:
    assert problem_in(text) == ""
    assert without_refused(text) == text


def test_code_may_hold_a_form_feed_and_no_nul() -> None:
    assert problem_in("a\x0cb", code=True) == ""
    assert "U+0000" in problem_in("a\x00b", code=True)


# The API.


def api(project: Project, role: str = "operator") -> tuple[Client, str]:
    token = token_for(make_user("ada", role=role))
    return Client(headers={"authorization": f"Bearer {token}"}), f"/api/v1/projects/{project.slug}"


@pytest.mark.parametrize("character", [*REFUSED, "\ud800"])
@pytest.mark.parametrize("field", ["hypothesis", "title", "expected_effect", "edits"])
def test_the_api_refuses_it_in_every_field(project: Project, field: str, character: str) -> None:
    client, address = api(project)
    body: dict[str, Any] = {"hypothesis": "Less", "category": "schedule", "edits": EDITS, "title": "t", "expected_effect": "e"}
    body[field] = [{**EDITS[0], "path": f"a{character}.py"}] if field == "edits" else f"x{character}y"
    answer = client.post(f"{address}/candidates", json.dumps(body), content_type="application/json")
    assert answer.status_code in (400, 422), answer.content
    if answer.status_code == 422 and character != "\ud800":
        assert f"U+{ord(character):04X}" in answer.content.decode()
    assert not Candidate.objects.exists()


@pytest.mark.parametrize("field", ["old", "new"])
def test_the_api_refuses_nul_in_code_and_says_the_field(project: Project, field: str) -> None:
    client, address = api(project)
    body = {"hypothesis": "Less", "category": "schedule", "edits": [{**EDITS[0], field: "a\x00b"}]}
    answer = client.post(f"{address}/candidates", json.dumps(body), content_type="application/json")
    assert answer.status_code == 422 and f"edits.0.{field}" in answer.content.decode()


@pytest.mark.parametrize(
    "path", ["/projects/a%00b", "/projects/demo/candidates/1/diff?x=%00", "/projects/demo/runs/1/series?name=%1b"]
)
def test_the_api_refuses_it_in_addresses_and_queries(project: Project, path: str) -> None:
    client, _ = api(project)
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == 422 and "U+00" in answer.json()["detail"]


def test_a_revision_refuses_it_in_its_message(project: Project) -> None:
    candidate = make_candidate(project, stage=Stage.DROPPED)
    with pytest.raises(RevisionRefused, match="The message holds"):
        revise(candidate, author="ada", edits=[Edit("train.py", "WIDTH = 96", "WIDTH = 64")], message="a\x1b[31m")


# Pages: every form of every page.


def forms() -> list[str]:
    """Every address that a form is sent to, with numbers and names that exist."""
    found = []
    for pattern in get_resolver().url_patterns:
        if isinstance(pattern, URLPattern):
            route = str(pattern.pattern).replace("<slug:slug>", "demo").replace("<int:number>", "1").replace("<int:pk>", "1")
            if "<" not in route and "^" not in route and not route.startswith(("git/", "api/")):
                found.append(f"/{route}")
    return found


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x9b"])
def test_every_form_of_every_page_refuses_it_in_any_field(project: Project, character: str) -> None:
    make_candidate(project, stage=Stage.READY)
    client = Client()
    client.force_login(make_user("ada", role="approver", is_superuser=True))
    sent = [(address, field) for address in forms() for field in ("reason", "text", "name", "note", "anything")]
    taken = [each for each in sent if client.post(each[0], {each[1]: f"a{character}b"}).status_code not in (400, 405)]
    assert len(forms()) > 40 and not taken
    assert not any(model.objects.exists() for model in (Comment, Note, ProgramVersion, Token))


def test_the_page_says_which_field_and_that_nothing_is_lost(project: Project) -> None:
    client = Client()
    client.force_login(make_user("ada", role="approver"))
    page = client.post("/projects/demo/notes/", {"text": "one\ntwo\x00"}).content.decode()
    assert "The field “text” holds a character that no text may hold (U+0000, control character, in line 2)" in page
    assert "what you typed is kept" in page


@pytest.mark.parametrize("address", ["/audit/?q=%00", "/projects/demo/candidates/?q=a%1bb", "/sign-in/%00/", "/?%00=1"])
def test_pages_refuse_it_in_addresses_and_queries(project: Project, address: str) -> None:
    client = Client()
    client.force_login(make_user("ada", role="approver"))
    assert client.get(address).status_code == 400


# The command line, a push, files.


@pytest.mark.parametrize("option", ["--hypothesis", "--title", "--author"])
def test_commands_refuse_it(project: Project, tmp_path: Path, option: str) -> None:
    (tmp_path / "p.patch").write_text("--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-a\n+b\n")
    words = {"--hypothesis": "Less", "--title": "t", "--author": "me"} | {option: "x\x1by"}
    patch = f"--patch={tmp_path / 'p.patch'}"
    with pytest.raises(CommandError, match="U\\+001B"):
        call_command("candidate", "submit", "--project=demo", patch, *[f"{name}={text}" for name, text in words.items()])


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("create", ["x\x07y"]),
        ("create", ["eve", "--email=a\x0b@example.org"]),
        ("off", ["a\x00"]),
        ("role", ["a\x1b", "viewer"]),
    ],
)
def test_names_of_people_hold_none(verb: str, words: list[str]) -> None:
    with pytest.raises(CommandError, match="U\\+00"):
        call_command("person", verb, *words, stdout=io.StringIO())


def test_a_project_file_refuses_it_with_its_line() -> None:
    with pytest.raises(ProjectFileError, match=r"line 3: metric.name holds .*U\+0007"):
        read_project_file('[metric]\n# a comment\nname = "a\\u0007b"\n')


@pytest.mark.parametrize("name", ["hypothesis", "title", "expected_effect"])
def test_what_is_submitted_by_any_way_is_vetted(project: Project, name: str) -> None:
    fields = {"hypothesis": "Less", "title": "t", "expected_effect": "e"} | {name: "a\x02b"}
    edits = (Edit("train.py", "WARMUP = 0.05", "WARMUP = 0.01"),)
    proposal = Proposal(fields["hypothesis"], "schedule", edits, fields["expected_effect"], title=fields["title"])
    with pytest.raises(CheckFailed, match="U\\+0002"):
        vet(project, proposal, "ada")


def test_what_an_agent_says_is_kept_with_a_mark_in_its_place(project: Project) -> None:
    edits = (Edit("train.py", "WARMUP = 0.05", "WARMUP = 0.01\x00"),)
    proposal = Proposal("Less \x00 warm-up", "schedule", edits, "\x1bsmall", details={"key\x00": ["\x00"]}, title="Less\x00")
    row = enter(project, project.tip(), proposal, author="knobs", kind=Author.SEARCH)
    row.refresh_from_db()
    assert row.hypothesis == "Less \ufffd warm-up" and row.title == "Less\ufffd" and row.details == {"key\ufffd": ["\ufffd"]}
    assert storable({"a": ["\x00", 1, None, {"b": "\x00"}]}) == {"a": ["\ufffd", 1, None, {"b": "\ufffd"}]}
