"""What may not be tried is refused before any device time, with a reason that says what to do."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from agent.proposal import Edit, Proposal
from research_app.loop.propose.propose import enter
from research_app.models import Author, Candidate, Project, Run, Stage
from tests.small_project import BETTER, TRAIN, drain, patch, small_project, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def project() -> Project:
    return small_project()


def by_command(tmp_path: Path, text: str, *words: str) -> str:
    """Submit a patch as a person does at the command line; what it prints."""
    file, out = tmp_path / "change.patch", StringIO()
    file.write_text(text)
    words = ("--project", "small", "--patch", str(file), "--hypothesis", "Better", *words)
    call_command("candidate", "submit", *words, stdout=out)
    return out.getvalue().strip()


def new_file(path: str, content: str = "x = 1\n", mode: str = "100644") -> str:
    lines = "".join(f"+{line}\n" for line in content.splitlines())
    count = len(content.splitlines())
    return f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{count} @@\n{lines}"


BAD_PATCHES = {
    "does not apply": (patch(BETTER).replace("LEARNING_RATE = 0.01", "LEARNING_RATE = 0.05"), "apply"),
    "is no patch": ("hello\n", "patch"),
    "touches a protected path": (
        "--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# Small\n+# Cheat\n",
        "README.md",
    ),
    "touches a path that is not editable": (new_file("other.py"), "other.py"),
    "escapes the tree": (new_file("../evil.py"), r"\.\."),
    "adds a symlink": (new_file("train2.py", "/etc/passwd\n", "120000"), "symlink|symbolic link|mode|regular"),
    "is over the size limit": (patch((TRAIN.splitlines()[0], "\n".join(f"A{i} = {i}" for i in range(3000)))), "2000|2,000"),
    "does not compile": (patch(("LEARNING_RATE = 0.01", "return 0.01")), "does not parse: 'return' outside function"),
    "does not parse": (patch(("LEARNING_RATE = 0.01", "LEARNING_RATE = = 0.01")), "does not parse"),
    "changes only comments": (patch(("# How wide it is.", "# How broad it is.")), "comments"),
}


@pytest.mark.parametrize("what", BAD_PATCHES)
def test_a_patch_by_hand_that_cannot_be_tried_is_refused_and_leaves_nothing(
    project: Project, tmp_path: Path, what: str
) -> None:
    text, said = BAD_PATCHES[what]
    with pytest.raises(CommandError, match=said):
        by_command(tmp_path, text)
    assert Candidate.objects.count() == 0
    project.refresh_from_db()
    assert project.last_number == 0


def test_the_same_code_is_not_tried_twice_and_the_refusal_names_the_earlier_try(project: Project, tmp_path: Path) -> None:
    submit(project, BETTER)
    with pytest.raises(CommandError, match="C-1"):
        by_command(tmp_path, patch(BETTER, ("# How wide it is.", "# Said differently.")))


def test_a_good_patch_prints_the_number_of_its_candidate(project: Project, tmp_path: Path) -> None:
    assert by_command(tmp_path, patch(BETTER)) == "1"
    drain()
    out = StringIO()
    call_command("candidate", "show", "small", "1", "--json", stdout=out)
    shown = json.loads(out.getvalue())
    assert shown["stage"] == "ready" and shown["evidence"]["verdict"] == "solid"
    assert [run["purpose"] for run in shown["runs"]] == ["screen", "confirm", "confirm", "confirm"]
    assert [event["kind"] for event in shown["events"]] == [
        "candidate proposed", "patch set made", "stage changed", *["evidence frozen", "stage changed"] * 2,
    ]  # fmt: skip
    assert "LEARNING_RATE = 0.02" in shown["patch_sets"][0]["diff"]


def test_a_proposal_that_cannot_be_tried_becomes_invalid_with_the_reason(project: Project) -> None:
    edits = (Edit("README.md", "# Small", "# Cheat"),)
    proposal = Proposal("Touch what is protected", "data", edits, expected_effect="")
    candidate = enter(project, project.tip(), proposal, author="knobs", kind=Author.SEARCH)
    drain()
    candidate.refresh_from_db()
    assert candidate.stage == Stage.INVALID and "README.md" in candidate.why
    assert not Run.objects.filter(patch_set__candidate=candidate).exists()


def test_unknown_projects_candidates_and_unreadable_patches_are_named(project: Project, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="there are: small"):
        call_command("candidate", "show", "nope", "1")
    with pytest.raises(CommandError, match="no candidate 7"):
        call_command("candidate", "show", "small", "7")
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("candidate", "submit", "--project", "small", "--patch", str(tmp_path / "no"), "--hypothesis", "x")
    with pytest.raises(CommandError, match="--hypothesis"):
        call_command("candidate", "submit", "--project", "small", "--patch", "x", "--hypothesis", " ")
