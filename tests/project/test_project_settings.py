"""The page Settings: a project's file while nothing is scored, archived and brought back, deleted; broken on purpose."""

import html
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import Model, QuerySet
from django.test import Client
from django.urls import reverse

from research_app.loop.check import check
from research_app.loop.check.check import CheckFailed
from research_app.loop.project import delete_project as deletion
from research_app.loop.project.archive_project import archive_project, bring_back
from research_app.loop.project.delete_project import DeletionRefused, delete_project
from research_app.loop.project.projects import ProjectRefused, configure, create_project
from research_app.loop.propose.propose import pause, resume
from research_app.loop.review.review import ReviewRefused, Seen, approve
from research_app.models import Candidate, Event, Project, Run, Stage, State, Trial
from research_app.project_file.project_file import ProjectFile, read_project_file
from research_app.survey.written import text_of
from tests.factories import make_candidate, make_project, make_user
from tests.small_project import BETTER, FILE, drain, patch, small_project, source_repository

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_earlier_repositories")]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that no run has begun in."""
    return create_project("small", source=str(source_repository(tmp_path / "source")), file=FILE)


def address(name: str = "project-settings") -> str:
    return reverse(name, args=["small"])


def shown(client: Client) -> tuple[str, str]:
    """The file and the mark of the form, as the page has them."""
    page = html.unescape(client.get(address()).content.decode())
    return page.partition("<textarea")[2].partition(">\n")[2].partition("</textarea>")[0], page.partition(
        'name="seen" value="'
    )[2].partition('"')[0]


def send(client: Client, text: str, seen: str) -> tuple[int, str]:
    response = client.post(address(), {"file": text, "seen": seen})
    return response.status_code, html.unescape(response.content.decode())


def test_the_file_is_shown_and_what_is_written_is_in_force(client: Client, project: Project) -> None:
    text, seen = shown(client)
    assert read_project_file(text) == project.file
    policy = project.file.policy.model_copy(update={"confirm_runs": 6})
    assert send(client, text_of(project.file.model_copy(update={"policy": policy})), seen)[0] == 302
    project.refresh_from_db()
    assert project.file.policy.confirm_runs == 6
    assert Event.objects.get(kind="project configured").actor == "ada"


def test_while_nothing_is_scored_how_it_is_trained_may_change_and_runs_begin_again(client: Client, project: Project) -> None:
    text, seen = shown(client)
    assert "No run has a score yet" in client.get(address()).content.decode()
    assert send(client, text.replace("[train]", "[train]\nprocesses = 3", 1), seen)[0] == 302
    project.refresh_from_db()
    assert project.file.train.processes == 3 and project.runs.filter(state=State.QUEUED).count() == 4
    drain()
    text, seen = shown(client)
    status, page = send(client, text.replace("processes = 3", "processes = 4"), seen)
    assert status == 422 and "[train] cannot change once runs were scored" in page and "processes = 4" in page
    assert "Runs were scored" in client.get(address()).content.decode()


def test_mistakes_are_named_with_their_line_and_what_was_typed_stays(client: Client, project: Project) -> None:
    text, seen = shown(client)
    status, page = send(client, f"{text}\n[trian]\n", seen)
    assert status == 422 and "trian is not a known key" in page and "[trian]" in page
    assert send(client, "x" * 60_001, seen)[0] == 422
    assert send(client, "[train\n", seen)[0] == 422


def test_of_two_people_the_second_is_told_and_a_double_click_is_no_second_change(client: Client, project: Project) -> None:
    text, seen = shown(client)
    first, second = text.replace("[train]", "[train]\nprocesses = 3", 1), text.replace("[train]", "[train]\nprocesses = 4", 1)
    assert send(client, first, seen)[0] == 302
    for again in (second, first):
        status, page = send(client, again, seen)
        assert status == 409 and "Somebody changed the file while you wrote" in page
    project.refresh_from_db()
    assert project.file.train.processes == 3 and Event.objects.filter(kind="project configured").count() == 1


def test_a_run_that_is_scored_at_this_moment_keeps_the_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = FILE.model_copy(update={"train": FILE.train.model_copy(update={"processes": 3})})

    def scored(*given: object) -> str:
        Run.objects.filter(pk=project.runs.first().pk).update(score=1.0, state=State.FINISHED)  # type: ignore[union-attr]
        return ""

    monkeypatch.setattr("research_app.loop.project.projects.unsatisfiable", scored)
    gates = changed.gate.model_copy(update={"baseline": changed.gate.baseline.model_copy(update={"approvals": 2})})
    with pytest.raises(ProjectRefused, match="A run was scored in the meantime"):
        configure(project, changed.model_copy(update={"gate": gates}), "ada")
    project.refresh_from_db()
    assert project.file == FILE


def test_a_project_that_is_archived_leaves_the_inbox_and_nothing_begins_in_it(client: Client, project: Project) -> None:
    assert client.post(address("archive-project"), {"act": "archive"}).status_code == 302
    inbox = client.get(reverse("inbox")).content.decode()
    assert "Archived: " in inbox and '<h3><a href="/projects/small/">' not in inbox
    drain()
    assert set(project.runs.values_list("state", flat=True)) == {State.QUEUED}, "no worker takes one"
    with pytest.raises(CheckFailed, match="small is archived"):
        check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
    page = client.post(reverse("resume", args=["small"]), follow=True).content.decode()
    assert "small is archived: bring it back first" in page and "Restore" in page
    assert "archived already" in client.post(address("archive-project"), follow=True).content.decode(), "a double click"
    assert client.post(address("archive-project"), {"act": "back"}).status_code == 302
    drain()
    project.refresh_from_db()
    assert project.runs.completed().count() == 4 and not project.archived_at and not project.paused
    assert "is not archived" in client.post(address("archive-project"), {"act": "back"}, follow=True).content.decode()
    kinds = Event.objects.filter(kind__in=("project archived", "project brought back")).values_list("kind", "actor")
    assert list(kinds) == [("project archived", "ada"), ("project brought back", "ada")]


def test_what_waits_in_an_archived_project_is_nobodys_turn() -> None:
    make_user("eve", role="approver")
    client = Client()
    client.force_login(User.objects.get(username="eve"))
    candidate = make_candidate(make_project(), stage=Stage.READY)
    assert candidate.title in client.get(reverse("inbox")).content.decode()
    Project.objects.filter(pk=candidate.project_id).update(archived_at="2026-01-01T00:00:00Z")
    assert candidate.title not in client.get(reverse("inbox")).content.decode()
    assert candidate.title in client.get(reverse("project", args=[candidate.project.slug])).content.decode()


def test_nobody_approves_in_an_archived_project() -> None:
    ada, candidate = make_user("ada", role="approver"), make_candidate(make_project(), stage=Stage.READY, effect=0.05)
    seen = Seen.of(candidate)
    archive_project(candidate.project, "ada")
    client = Client()
    client.force_login(ada)
    page = client.get(candidate.get_absolute_url()).content.decode()
    assert "demo is archived: bring it back first, under Settings." in page and 'value="approve"' not in page
    with pytest.raises(ReviewRefused, match="demo is archived"):
        approve(Candidate.objects.get(pk=candidate.pk), ada, seen)
    bring_back(candidate.project, "ada")
    assert 'value="approve"' in client.get(candidate.get_absolute_url()).content.decode()


def test_a_project_that_was_paused_is_still_paused_when_it_is_brought_back() -> None:
    project = make_project()
    pause(project, "ada")
    for paused in (True, False):
        archive_project(project, "ada")
        bring_back(project, "ada")
        project.refresh_from_db()
        assert project.paused is paused
        resume(project, "ada")


def test_deleting_asks_for_the_name_and_keeps_what_was_measured(client: Client, project: Project) -> None:
    page = client.post(address("delete-project"), {"name": "smal"}, follow=True).content.decode()
    assert "Write small to delete it: nothing was deleted" in page and Project.objects.exists()
    drain()
    page = client.post(address("delete-project"), {"name": "small"}, follow=True).content.decode()
    assert "small has runs with a score" in page and "Archive it instead" in page and Project.objects.exists()


def test_a_run_that_trains_is_stopped_and_a_second_click_finds_nothing(client: Client, project: Project) -> None:
    run = project.runs.first()
    assert run
    Run.objects.filter(pk=run.pk).update(state=State.RUNNING)
    response = client.post(address("delete-project"), {"name": "small"}, follow=True)
    assert response.redirect_chain[-1][0] == reverse("inbox") and "small is deleted" in response.content.decode()
    assert not Run.objects.exists() and not project.folder.exists()
    assert client.post(address("delete-project"), {"name": "small"}).status_code == 404


def test_of_two_people_who_delete_it_at_once_one_is_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = deletion.rows_of

    def and_somebody_else(of: Project) -> list[QuerySet[Model]]:
        monkeypatch.setattr(deletion, "rows_of", before)
        delete_project(of, "grace")
        return before(of)

    monkeypatch.setattr(deletion, "rows_of", and_somebody_else)
    with pytest.raises(DeletionRefused, match="small was deleted in the meantime"):
        delete_project(project, "ada")
    with pytest.raises(ProjectRefused, match="small was deleted in the meantime"):
        configure(project, FILE.model_copy(update={"train": FILE.train.model_copy(update={"processes": 3})}), "ada")
    assert Event.objects.filter(kind="project deleted").count() == 1


@pytest.mark.parametrize("name", ["project-settings", "archive-project", "delete-project"])
def test_only_operators_change_anything(project: Project, name: str) -> None:
    client = Client()
    client.force_login(make_user("eve", role="viewer"))
    assert client.post(address(name), {"name": "small", "file": "", "seen": ""}).status_code == 403
    page = client.get(address()).content.decode()
    assert "readonly" in page and "Delete permanently" not in page and Project.objects.exists()


def test_commands_archive_and_bring_back() -> None:
    project = small_project()
    call_command("project", "archive", "small")
    project.refresh_from_db()
    assert project.archived_at and project.paused
    with pytest.raises(CommandError, match="archived already"):
        call_command("project", "archive", "small")
    call_command("project", "bring-back", "small")
    with pytest.raises(CommandError, match="is not archived"):
        call_command("project", "bring-back", "small")


FILES = [
    ProjectFile(),
    ProjectFile.default_target(),
    ProjectFile.default_target("cuda", 80 << 30),
    FILE,
    read_project_file(
        '[train]\nenv = { "A" = "\\"x\\"", B = "{out}" }\nlinks = { "data/a b" = "/srv/a" }\n[edit]\nprotected = ["data/a b"]\n'
        '[gate.baseline]\napprovals = 2\nroles = ["reviewer"]\n[limits]\nwall_seconds = 900.5\n'
    ),
]


@pytest.mark.parametrize("file", FILES)
def test_every_file_can_be_written_as_text_again(file: ProjectFile) -> None:
    assert read_project_file(text_of(file)) == file


def test_the_file_that_it_was_created_with_is_shown_with_its_comments(client: Client, project: Project) -> None:
    text = "# What was seen of train.py\n" + text_of(project.file)
    Trial.objects.create(source="/srv/x", file=text, project=project)
    assert shown(client)[0] == text
