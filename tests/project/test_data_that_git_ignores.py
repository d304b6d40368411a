"""Data beside the code that git ignores: `project inspect` sees it, runs see it where it stands, and nobody can write there."""

import stat
from pathlib import Path

import pytest

from research_app.loop.project.projects import ProjectRefused, create_project
from research_app.loop.project.try_project import try_out
from research_app.loop.project.try_report import TryReport
from research_app.project_file.project_file import ProjectFile, ProjectFileError, read_project_file
from research_app.survey.look import inspect
from tests.small_project import git
from training.launch import CannotLaunch, Launch, prepare, read_folders

TRAIN = """
import os, random
dataset = "chars"
out_dir = "out"
max_iters = 600000
exec(open("configurator.py").read())
random.seed(1337)
words = open(os.path.join("data", dataset, "train.bin")).read().split()
for step in range(3):
    print(f"step {step}: train loss {4 - step:.4f}, val loss {len(words) - step + random.random():.4f}")
    print(f"iter {step}: loss {4 - step:.4f}, time 12.34ms, mfu 1.20%")
loss.backward() if False else None
"""
CONFIGURATOR = """import sys
for word in sys.argv[1:]:
    if "=" in word:
        name, value = word[2:].split("=")
        globals()[name] = type(globals()[name])(value)
    else:
        exec(open(word).read())
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository of nanoGPT's shape: its data was made by a script, and git ignores it."""
    folder = tmp_path / "nanoGPT"
    (folder / "data" / "chars").mkdir(parents=True)
    (folder / "config").mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "configurator.py").write_text(CONFIGURATOR)
    (folder / "config" / "train_chars.py").write_text("max_iters = 5000\n")
    (folder / "data" / "chars" / "prepare.py").write_text("print('writes train.bin')\n")
    (folder / ".gitignore").write_text("*.bin\nout*\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Begin")
    (folder / "data" / "chars" / "train.bin").write_text("a b c")
    (folder / "out-chars").mkdir()
    (folder / "out-chars" / "ckpt.bin").write_text("no data")
    folder.chmod(0o755)
    return folder


def seen(source: Path, *words: str) -> tuple[ProjectFile, str]:
    text = inspect(str(source), words=words)
    return read_project_file(text), text


def tried(source: Path, writable: bool) -> TryReport:
    file, _ = seen(source)
    train = file.train.model_copy(update={"writable_tree": writable, "processes": 0})
    return try_out(str(source), file.model_copy(update={"train": train}))


def test_it_is_seen_and_protected(source: Path) -> None:
    file, text = seen(source, "--max_iters=20")
    assert file.train.links == {"data/chars": str(source / "data" / "chars")}
    assert "data/chars" in file.edit.protected and "data there is not committed" in text
    assert file.train.command[-1] == "--max_iters=20" and "max_iters = 20" in text
    assert "config/train_chars.py line 1: it counts steps itself (max_iters = 5000)" in seen(source)[1]


@pytest.mark.slow
@pytest.mark.parametrize("writable", [False, True])
def test_runs_read_it_where_it_stands_and_leave_it_as_it_is(source: Path, writable: bool) -> None:
    (source / "data" / "chars" / "train.bin").chmod(0o644)
    report = tried(source, writable)
    assert report.good, report
    assert report.runs[0].score and 1 < report.runs[0].score < 2
    assert stat.S_IMODE((source / "data" / "chars" / "train.bin").stat().st_mode) == 0o644


@pytest.mark.slow
@pytest.mark.parametrize("writable", [False, True])
def test_code_cannot_write_there(source: Path, writable: bool) -> None:
    (source / "train.py").write_text(TRAIN + "open('data/chars/train.bin', 'w').write('mine')\n")
    git(source, "commit", "-qam", "Writes")
    report = tried(source, writable)
    assert not report.good and (source / "data" / "chars" / "train.bin").read_text() == "a b c"


def test_a_candidate_may_not_stand_in_its_place(source: Path) -> None:
    _, text = seen(source)
    with pytest.raises(ProjectFileError, match=r'line .*could put a file of its own there: add "data/chars" to protected'):
        read_project_file(text.replace(', "data/chars"]', "]"), "p.toml")


@pytest.mark.django_db
def test_a_committed_file_is_not_hidden(source: Path) -> None:
    _, text = seen(source)
    place = '"data/chars/prepare.py" = '
    hiding = text.replace('"data/chars" = ', place).replace(', "data/chars"]', ', "data/chars/prepare.py"]')
    with pytest.raises(ProjectRefused, match=r"links names data/chars/prepare\.py, and a file of the repository stands there"):
        create_project("hiding", source=str(source), file=read_project_file(hiding))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{ "/etc" = "/srv/x" }', "'/etc' is no place in the repository"),
        ('{ "../x" = "/srv/x" }', "'../x' is no place in the repository"),
        ('{ ".git/hooks" = "/srv/x" }', "'.git/hooks' is no place in the repository"),
        ('{ "" = "/srv/x" }', "'' is no place in the repository"),
        ('{ "data" = "srv/x" }', "'srv/x' is no path that every worker finds"),
        ('{ "data" = "/" }', "'/' is all that there is to hide"),
        ('{ "data" = "~/x", "data/y" = "~/y" }', "data/y lies in data: name one of them"),
    ],
)
def test_a_wrong_link_is_refused_with_its_line(line: str, said: str) -> None:
    with pytest.raises(ProjectFileError) as caught:
        read_project_file(f'[train]\nlinks = {line}\n[edit]\nprotected = ["data"]\n', "p.toml")
    assert said in str(caught.value) and "p.toml, line 2" in str(caught.value)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotLaunch, match=r"\[train\] links names /nowhere/data, and there is no /nowhere/data"):
        read_folders(Launch(links={"data": "/nowhere/data"}))


def test_what_is_committed_there_stays_and_the_rest_is_shown(tmp_path: Path) -> None:
    tree, data = tmp_path / "tree", tmp_path / "data"
    (tree / "data").mkdir(parents=True)
    (tree / "data" / "a.txt").write_text("committed")
    data.mkdir()
    (data / "a.txt").write_text("outside")
    (data / "b.txt").write_text("outside")
    (tmp_path / "scratch").mkdir()
    place = prepare(
        Launch(links={"data": str(data), "more/here": str(data)}, writable_tree=True), tree, tmp_path / "scratch", 1
    )
    assert (place / "data" / "a.txt").read_text() == "committed" and (place / "data" / "b.txt").read_text() == "outside"
    assert (place / "more" / "here").is_symlink() and (place / "more" / "here" / "b.txt").exists()
