"""docs/how-to/histories.md, followed as it stands: every command of it, in its order."""

import re
import shlex
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from research_app.home import CODE
from research_app.management.commands.project import Command
from research_app.models import Candidate, ImportedHistory, Project
from tests.factories import make_project
from tests.histories_samples import git, make_history

PAGE = (CODE / "docs" / "how-to" / "histories.md").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    """What is to be typed, without the name of the program."""
    lines = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.strip().split("\n")]
    assert all(line.startswith(".venv/bin/signoff ") for line in lines)
    return [shlex.split(line)[1:] for line in lines]


@pytest.fixture
def project(db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project demo, in a folder that holds the repository of the page."""
    folder, results = make_history(tmp_path / "autoresearch")
    git(folder, "branch", "-m", "exp", "exp/march")
    results.rename(folder / "results.tsv")
    monkeypatch.chdir(tmp_path)
    return make_project()


def test_its_commands_work_one_after_the_other(project: Project) -> None:
    said = []
    for words in commands():
        out = StringIO()
        call_command(*words, stdout=out)
        said.append(out.getvalue())
    assert "3 with their diff" in said[0] and "no repository was named" in said[1]
    assert list(ImportedHistory.objects.values_list("name", flat=True)) == ["exp/march", "march, alone"]
    assert Candidate.objects.filter(imported_results__isnull=False).exists()


def test_the_table_that_it_shows_is_imported(project: Project, tmp_path: Path) -> None:
    shown = next(block for block in re.findall(r"```tsv\n(.*?)```", PAGE, re.DOTALL) if block.startswith("commit\t"))
    (tmp_path / "shown.tsv").write_text(shown)
    call_command("project", "import", "demo", "--results", "shown.tsv", stdout=StringIO())
    outcomes = ImportedHistory.objects.get().results.values_list("outcome", flat=True)
    assert list(outcomes) == ["baseline", "keep", "discard", "crash"]


def test_every_option_of_the_command_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Command().create_parser("manage.py", "project")
    with pytest.raises(SystemExit):
        parser.parse_args(["import", "--help"])
    options = set(re.findall(r"--[a-z]+", capsys.readouterr().out.partition("positional")[2]))
    assert {each for each in options - {"--help"} if f"`{each}" not in PAGE} == set()
