"""A project whose file is wrong can be mended or deleted as long as nothing was measured in it."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from research_app.loop.check import check
from research_app.loop.project.delete_project import DeletionRefused, delete_project
from research_app.loop.project.projects import ProjectRefused, configure, create_project
from research_app.loop.runs import cancel
from research_app.models import Event, Message, Project, Run, State
from research_app.project_file.project_file import ProjectFile
from tests.small_project import BETTER, FILE, drain, patch, small_project, source_repository
from training.spec import Outcome

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.both_databases,
    pytest.mark.usefixtures("no_earlier_repositories"),
]


def file_with(**tables: dict[str, Any]) -> ProjectFile:
    known = FILE.model_dump(mode="json")
    return ProjectFile.model_validate(known | {name: known[name] | values for name, values in tables.items()})


def wrong_project(tmp_path: Path) -> Project:
    """A project whose command is not there: every run of its baseline crashed."""
    wrong = file_with(train={"command": ["no-such-command"]})
    project = create_project("small", source=str(source_repository(tmp_path / "source")), file=wrong)
    drain()
    assert set(project.runs.values_list("outcome", flat=True)) == {Outcome.crashed}
    return project


def test_a_file_can_be_mended_while_nothing_is_scored_and_the_runs_begin_again(tmp_path: Path) -> None:
    project = wrong_project(tmp_path)
    configure(project, FILE, "grace")
    assert project.runs.filter(state=State.QUEUED).count() == 4
    drain()
    assert project.runs.completed().count() == 4
    assert Event.objects.filter(kind="project configured").count() == 1
    call_command("audit", "verify", stdout=StringIO())


def test_a_metric_can_be_mended_too_and_runs_that_wait_are_asked_for_anew(tmp_path: Path) -> None:
    wrong = file_with(train={"device": "cuda"})
    project = create_project("small", source=str(source_repository(tmp_path / "source")), file=wrong)
    Message.objects.all().delete()
    configure(project, FILE, "grace")
    assert set(project.runs.values_list("queue", "state")) == {("train.cpu", State.QUEUED)}
    drain()
    assert project.runs.completed().count() == 4


def test_a_file_under_which_runs_were_scored_stays() -> None:
    project = small_project()
    with pytest.raises(ProjectRefused, match=r"\[train\] cannot change once runs were scored"):
        configure(project, file_with(train={"wall_limit_seconds": 5}), "grace")


def test_a_project_in_which_nothing_was_measured_is_deleted_whole(tmp_path: Path) -> None:
    project, folder = wrong_project(tmp_path), None
    candidate = check.submit(project, patch(BETTER), "Faster", category="optimiser", author="ada")
    drain()
    folder = project.folder
    assert folder.exists() and candidate.patch_sets.exists()
    said = StringIO()
    call_command("project", "delete", "small", stdout=said)
    assert "Project small is deleted." in said.getvalue()
    assert not Project.objects.exists() and not Run.objects.exists() and not folder.exists()
    assert Event.objects.filter(kind="project deleted").count() == 1
    call_command("audit", "verify", stdout=StringIO())
    again = small_project()
    assert again.runs.completed().count() == 4, "its name is free"


def test_a_project_with_scores_is_not_deleted() -> None:
    project = small_project()
    with pytest.raises(DeletionRefused, match=r"small has runs with a score: .* Archive it instead"):
        delete_project(project, "grace")
    with pytest.raises(CommandError, match="small has runs with a score"):
        call_command("project", "delete", "small")
    assert Project.objects.filter(slug="small").exists() and project.folder.exists()


def test_a_score_that_comes_while_a_project_is_deleted_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = wrong_project(tmp_path)

    def and_one_ends(runs: Any, why: str) -> Any:
        found = cancel(runs, why)
        Run.objects.filter(pk=project.runs.values("pk")[:1]).update(score=1.0)
        return found

    monkeypatch.setattr("research_app.loop.project.delete_project.cancel", and_one_ends)
    with pytest.raises(DeletionRefused, match="has runs with a score"):
        delete_project(project, "grace")
    assert Run.objects.filter(project=project, score=1.0).count() == 1
    assert Project.objects.filter(slug="small", deleted_at=None).exists() and project.folder.exists()
