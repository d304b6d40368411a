"""The pages of an imported history say what was claimed, what that is worth, and let a change be judged again."""

import re
from html import unescape
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client

from research_app.histories.bring_in import import_history
from research_app.histories.moved_lines import NotFound, edits_of
from research_app.histories.rejudge import RejudgeRefused, rejudge
from research_app.loop.check.check import CheckFailed
from research_app.loop.project.delete_project import delete_project
from research_app.models import Author, Candidate, Event, ImportedHistory, ImportedResult, Message, Project
from research_app.repository import RepositoryError
from tests.factories import TRAIN_PY, make_project, make_user
from tests.histories_samples import commit, git, make_history, make_repository, table


@pytest.fixture
def history(project: Project, tmp_path: Path) -> ImportedHistory:
    folder, results = make_history(tmp_path / "theirs")
    return import_history(project, results, actor="ada", repository=str(folder), branch="exp").history


def signed_in(role: str = "operator") -> Client:
    client = Client()
    client.force_login(make_user(f"a-{role}", role=role))
    return client


def page(client: Client, address: str) -> str:
    """What a person reads there."""
    answer = client.get(address)
    assert answer.status_code == 200
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.content.decode())).split())


def test_the_list_names_every_history_with_its_counts(history: ImportedHistory) -> None:
    said = page(signed_in(), "/projects/demo/imported/")
    assert "1 history" in said and "exp" in said and "results.tsv beside" in said


def test_an_empty_list_says_how_to_import(project: Project) -> None:
    assert "manage.py project import demo --repo" in page(signed_in(), "/projects/demo/imported/")


def test_the_page_says_that_nothing_was_measured_and_what_the_claims_are_worth(history: ImportedHistory) -> None:
    said = page(signed_in(), history.get_absolute_url())
    assert "Nothing was measured by Signoff" in said and "as reported" in said
    assert "1 of 2 gain less than the noise floor" in said  # 0.0005 beside a seed change of 0.0009
    assert "repeated runs used here" in said and "Rests on 1 difference, rows 2, 4" in said
    assert "1 whose words the code contradicts" in said
    assert "of 2 h is in pauses" in said and "after row 3" in said
    assert "+0.0124" in said  # from 0.9979 to 0.9855


def test_the_project_s_own_noise_stands_beside_it_where_it_is_of_the_same_metric(project: Project, tmp_path: Path) -> None:
    results = tmp_path / "results.tsv"
    results.write_text(table("|0.99|1|keep|baseline", "|0.98|1|keep|wider"))
    assert "measured here" in page(signed_in(), import_history(project, results, actor="ada").history.get_absolute_url())
    results.write_text(table("|0.99|1|keep|baseline", header="commit\tloss\tmemory\tstatus\tdescription"))
    other = import_history(project, results, actor="ada", metric="loss", name="other").history
    assert "It cannot be told from this table" in page(signed_in("viewer"), other.get_absolute_url())


def test_the_chart_has_every_row_once(history: ImportedHistory) -> None:
    body = signed_in().get(f"{history.get_absolute_url()}progress.json").json()
    assert {kind: [point["x"] for point in points] for kind, points in body["points"].items()} == {
        "baseline": [1], "keep": [2], "discard": [3, 4], "unscored": [5], "small": [6],
    }  # fmt: skip
    assert body["steps"] == {"x": [1, 2, 6], "y": [0.9979, 0.986, 0.9855]} and body["floor"] == pytest.approx(0.0009)


def test_a_row_has_its_words_its_commit_and_its_diff(history: ImportedHistory) -> None:
    said = page(signed_in(), f"{history.get_absolute_url()}6/")
    assert "LEARNING_RATE = 4e-3" in said and "Éva & Söhne" in said and "memory_gb" in said
    assert "Words and code disagree" in said and "not measured here" in said
    assert "has no commit 0000000" in page(signed_in("viewer"), f"{history.get_absolute_url()}5/")


def test_hostile_words_stay_text(project: Project, tmp_path: Path) -> None:
    results = tmp_path / "results.tsv"
    results.write_text(table("<b>x|0.99|<i>|keep|<script>alert(1)</script>\u202e", "|0.98|1|discard|<img src=x onerror=y>"))
    history = import_history(project, results, actor="ada", name="<u>name</u>").history
    client = signed_in()
    for address in (history.get_absolute_url(), f"{history.get_absolute_url()}1/", "/projects/demo/imported/"):
        body = client.get(address).content.decode()
        assert "<script>alert" not in body and "<img src=x" not in body and "<u>name" not in body and "\u202e" not in body


def test_a_change_is_judged_again_as_an_ordinary_candidate(history: ImportedHistory) -> None:
    client = signed_in()
    answer = client.post(f"{history.get_absolute_url()}2/rejudge/", {"category": "architecture"})
    candidate = Candidate.objects.get()
    assert answer.headers["Location"] == candidate.get_absolute_url()
    assert (candidate.author, candidate.author_kind, candidate.title) == ("a-operator", Author.PERSON, "WIDTH 96 to 128")
    assert "Nothing of it was measured here" in candidate.hypothesis and "0.9860" in candidate.expected_effect
    assert Message.objects.filter(task="check", object_id=candidate.pk).exists()
    assert Event.objects.get(kind="imported change submitted").data["row"] == 2
    assert "C-1" in page(client, history.get_absolute_url())
    client.post(f"{history.get_absolute_url()}2/rejudge/", {"category": "architecture"})  # a second click
    assert Candidate.objects.count() == 1


def test_the_command_line_judges_it_again_too(history: ImportedHistory) -> None:
    call_command("project", "rejudge", "demo", "exp", "2", "--category", "architecture")
    assert ImportedResult.objects.get(number=2).candidate == Candidate.objects.get()


def test_what_cannot_be_judged_again_says_why(history: ImportedHistory) -> None:
    client = signed_in()
    address = f"{history.get_absolute_url()}5/"
    client.post(f"{address}rejudge/", {"category": "architecture"})
    assert "There is no diff to judge. The repository has no commit 0000000" in page(client, address)
    client.post(f"{history.get_absolute_url()}2/rejudge/", {"category": "nonsense"})
    assert "Choose what kind of change it is" in page(client, address)
    assert not Candidate.objects.exists()


def test_a_diff_that_does_not_apply_leaves_nothing_behind(tmp_path: Path, db: None) -> None:
    project = make_project(files={"train.py": TRAIN_PY.replace("WIDTH = 96", "WIDTH = 64")})
    folder, results = make_history(tmp_path / "theirs")
    import_history(project, results, actor="ada", repository=str(folder), branch="exp")
    result = ImportedResult.objects.select_related("history__project").get(number=2)
    with pytest.raises((CheckFailed, RepositoryError), match=r"does not apply to train\.py"):
        rejudge(result, author="ada", category="architecture")
    with pytest.raises(RejudgeRefused, match="no diff"):
        rejudge(ImportedResult.objects.get(number=4), author="ada", category="architecture")
    assert not Candidate.objects.exists() and not Event.objects.filter(kind="imported change submitted").exists()


def test_a_change_whose_surroundings_differ_here_is_found_by_its_own_lines(history: ImportedHistory) -> None:
    faster = ImportedResult.objects.select_related("history__project").get(number=6)
    assert " WIDTH = 128" in faster.diff  # which the baseline of this project does not have
    candidate = rejudge(faster, author="ada", category="optimiser")
    assert candidate.proposed == {"edits": [["train.py", "LEARNING_RATE = 3e-3\n", "LEARNING_RATE = 4e-3\n"]]}


MOVED = {
    "an insertion": (" a\n+x\n b\n c\n", "z\na\nb\nd\n", "z\na\nx\nb\nd\n"),
    "a removal": (" q\n-b\n c\n", "a\nb\nd\n", "a\nd\n"),
    "a line that is there twice": (" a\n-x\n+y\n b\n", "x\na\nx\nb\n", "x\na\ny\nb\n"),
}


@pytest.mark.parametrize("case", MOVED)
def test_lines_are_found_with_as_little_around_them_as_makes_them_unique(case: str) -> None:
    body, here, wanted = MOVED[case]
    old, new = (sum(line[0] in kinds for line in body.splitlines()) for kinds in (" -", " +"))
    diff = f"diff --git a/f.py b/f.py\n--- a/f.py\n+++ b/f.py\n@@ -1,{old} +1,{new} @@\n{body}"
    text = here
    for edit in edits_of(diff, {"f.py": here}):
        assert text.count(edit.old) == 1
        text = text.replace(edit.old, edit.new)
    assert text == wanted


def test_lines_that_are_gone_or_ambiguous_are_not_guessed() -> None:
    diff = "diff --git a/f.py b/f.py\n--- a/f.py\n+++ b/f.py\n@@ -1,1 +1,1 @@\n-x\n+y\n"
    for here in ("a\n", "x\nx\n"):
        with pytest.raises(NotFound):
            edits_of(diff, {"f.py": here})
    with pytest.raises(NotFound):
        edits_of(diff, {})


def test_a_viewer_cannot_submit(history: ImportedHistory) -> None:
    client = signed_in("viewer")
    assert client.post(f"{history.get_absolute_url()}2/rejudge/", {"category": "architecture"}).status_code == 403
    assert "Somebody with the role “operator”" in page(client, f"{history.get_absolute_url()}2/")


def test_another_project_s_history_is_not_here(history: ImportedHistory) -> None:
    make_project("other")
    client = signed_in()
    for more in ("", "progress.json", "2/"):
        assert client.get(f"/projects/other/imported/{history.pk}/{more}").status_code == 404
    assert client.post(f"/projects/other/imported/{history.pk}/2/rejudge/").status_code == 404


def test_a_project_with_nothing_but_an_import_can_be_deleted(tmp_path: Path, db: None) -> None:
    project = make_project(reference_runs=0)
    folder, results = make_history(tmp_path / "theirs")
    import_history(project, results, actor="ada", repository=str(folder), branch="exp")
    delete_project(project, "ada")
    assert not ImportedHistory.objects.exists() and not ImportedResult.objects.exists()


def test_a_work_tree_beside_another_is_read_with_what_was_reset_away(project: Project, tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "theirs")
    lost = commit(folder, ("WIDTH = 96", "WIDTH = 128"), "Wider", "2026-03-08T09:06:00+00:00")
    git(folder, "reset", "-q", "--hard", "HEAD~1")
    git(folder, "worktree", "add", "-q", str(tmp_path / "beside"))
    results = tmp_path / "results.tsv"
    results.write_text(table(f"{lost}|0.99|1|discard|wider"))
    import_history(project, results, actor="ada", repository=str(tmp_path / "beside"), branch="exp")
    assert "+WIDTH = 128" in ImportedResult.objects.get().diff
