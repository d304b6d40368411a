"""Repositories of the shapes that people bring, as they are: created with a project file alone, trained, a change judged."""

import subprocess
from pathlib import Path

import pytest

from research_app.loop.attention.baseline_trouble import troubles_of_newest
from research_app.loop.check import check
from research_app.loop.check.check import CheckFailed
from research_app.loop.project.projects import ProjectRefused, create_project
from research_app.models import Candidate, Project, Run
from research_app.project_file.project_file import ProjectFileError, read_project_file
from tests.real_shapes import AUTORESEARCH, NANOGPT, NANOGPT_TRAIN, REST, SHAPES
from tests.small_project import drain, git, patch
from training.uv_environment import uv

pytestmark = [pytest.mark.django_db, pytest.mark.one_in(2)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's home with data below ~/.cache."""
    folder = tmp_path / "person"
    (folder / ".cache" / "autoresearch").mkdir(parents=True)
    (folder / ".cache" / "autoresearch" / "tokenizer.txt").write_text("a b c")
    folder.chmod(0o700)
    monkeypatch.setenv("HOME", str(folder))
    return folder


def bring(folder: Path, shape: str, file: str = "") -> Project:
    """The project of a repository of this shape, its baseline trained."""
    files, described, _ = SHAPES[shape]
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if shape == "autoresearch":
        (folder / "pyproject.toml").write_text('[project]\nname = "a"\nversion = "0"\nrequires-python = ">=3.11"\n')
        subprocess.run([*uv(), "lock", "--offline", "--quiet"], cwd=folder, check=True)
    git(folder, "init", "-q", "-b", "baseline")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Begin")
    project = create_project(shape, source=str(folder), file=read_project_file(file or described + REST))
    drain()
    return project


def submit(project: Project, shape: str) -> Candidate:
    path, old, new = SHAPES[shape][2]
    diff = patch((old, new), text=SHAPES[shape][0][path]).replace("train.py", path)
    return check.submit(project, diff, "It learns faster", category="optimiser", author="ada")


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_trained_as_it_is_and_a_first_change_is_judged(tmp_path: Path, home: Path, shape: str) -> None:
    project = bring(tmp_path / "source", shape)
    runs = list(Run.objects.filter(project=project))
    assert [run.outcome for run in runs] == ["completed"] * len(runs) and len(runs) >= 2, [run.reason for run in runs]
    assert len({run.score for run in runs}) == len(runs), "the seed reaches the training"
    assert all(run.sandbox_level == "strong" for run in runs)
    assert not troubles_of_newest([project])
    candidate = submit(project, shape)
    drain()
    candidate.refresh_from_db()
    measured = Run.objects.filter(patch_set__candidate=candidate)
    assert measured.exists() and all(run.outcome == "completed" for run in measured), [run.reason for run in measured]
    assert candidate.evidence is not None


@pytest.mark.slow
def test_what_the_sandbox_hides_is_said_with_the_key_in_the_inbox_and_can_be_mended(tmp_path: Path, home: Path) -> None:
    file = (AUTORESEARCH + REST).replace('read = ["~/.cache/autoresearch"]', "")
    project = bring(tmp_path / "source", "autoresearch", file)
    trouble = troubles_of_newest([project])[project.pk]
    assert (
        "the sandbox hides it" in trouble.sentence
        and '[train] read = ["~/.cache/autoresearch/tokenizer.txt"]' in trouble.sentence
    )
    assert "project configure" in trouble.mend


# The seed.


def refused(seed: str, command: str = "") -> str:
    with pytest.raises(ProjectFileError) as caught:
        read_project_file(f"[seed]\n{seed}\n[train]\n{command}\n", "project.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("seed", "said"),
    [
        ('how = "always"', "line 2: seed.how"),
        ('how = "argument"', 'no word of [train] command or env holds {seed}: write for example "--seed={seed}"'),
        ('how = "patch"', 'needs file, text and put, for example file = "train.py"'),
        ('how = "patch"\nfile = "a.py"\ntext = "x"\nput = "y"', "put must hold {seed}"),
        ('how = "patch"\nfile = "a.py"\ntext = "x"\nput = "{sede}"', "nothing is known to put into {sede}"),
        ('file = "a.py"', 'file belongs to how = "patch", not to how = "environment"'),
    ],
)
def test_a_seed_that_cannot_arrive_is_refused_with_its_line_and_an_example(seed: str, said: str) -> None:
    found = refused(seed)
    assert said in found and "project.toml, line " in found, found


def test_a_place_that_the_source_does_not_have_is_said_at_creation_and_of_a_change(tmp_path: Path, home: Path) -> None:
    file = (NANOGPT + REST).replace('text = "1337 + seed_offset"', 'text = "1338 + seed_offset"')
    with pytest.raises(ProjectRefused, match=r"'1338 \+ seed_offset' does not stand in train.py; it must stand there once"):
        bring(tmp_path / "wrong", "nanogpt", file)
    project = bring(tmp_path / "source", "nanogpt")
    diff = patch(("1337 + seed_offset", "7"), text=NANOGPT_TRAIN)
    with pytest.raises(CheckFailed, match=r"does not stand in train.py; it must stand there once"):
        check.submit(project, diff, "A lucky seed", category="optimiser", author="ada")


def test_a_seed_that_does_not_arrive_is_said_with_what_to_do(tmp_path: Path, home: Path) -> None:
    file = (NANOGPT + REST).partition("[seed]")[0] + "[edit]" + (NANOGPT + REST).partition("[edit]")[2]
    project = bring(tmp_path / "source", "nanogpt", file)
    trouble = troubles_of_newest([project])[project.pk]
    assert trouble.kind == "seed" and '[seed] how = "argument" or "patch"' in trouble.advice


@pytest.mark.parametrize("source", ["nanogpt", "modded-nanogpt"])
def test_a_metric_that_the_format_does_not_print_is_refused(source: str) -> None:
    with pytest.raises(ProjectFileError, match=f'{source} prints val_loss and train_loss, not val_bpb: write key = "val_loss"'):
        read_project_file(f'[metric]\nsource = "{source}"\n')
