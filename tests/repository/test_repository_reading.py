"""Reading a commit: files, texts, the diff that a reviewer sees, and the copy that a run gets."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import psutil
import pytest

from research_app.repository import Repository, RepositoryError

HOSTILE = "*.py -diff\n*.py binary\n*.py diff=hidden\n* filter=planted merge=planted export-ignore\n"


def git(folder: Path, *arguments: str) -> str:
    identity = {f"GIT_{who}_{what}": "ada@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    command = ["git", "-C", str(folder), "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(command, env=os.environ | identity, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A researcher's own repository, with things that a change may not touch but a base may hold."""
    folder = tmp_path_factory.mktemp("source")
    git(folder, "init", "-q")
    (folder / "model").mkdir()
    (folder / ".github").mkdir()
    files = {"train.py": "a = 1\n", "model/block.py": "b = 2\n", ".gitattributes": HOSTILE, ".github/ci.yml": "x\n"}
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "weights.bin").write_bytes(b"\x00\xff")
    (folder / os.fsdecode(b"latin-\xe9.txt")).write_text("x\n")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "folder_link").symlink_to("/tmp")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "All of it")
    return folder


@pytest.fixture(scope="module")
def repository(source: Path) -> Repository:
    return Repository.mirror(source.parent / "repository.git", str(source), "main")


def copied(repository: Repository, folder: Path) -> Repository:
    """One that a test may spoil."""
    shutil.copytree(repository.path, folder / "copy.git")
    return Repository(folder / "copy.git", repository.branch)


def test_files_and_texts_are_the_regular_ones_with_readable_names(repository: Repository) -> None:
    tip = repository.tip()
    expected = (".gitattributes", ".github/ci.yml", "model/block.py", "run.sh", "train.py", "weights.bin")
    assert repository.files(tip) == expected
    assert repository.texts(tip, ["train.py", "model", "*.bin", "missing.py"]) == {
        "model/block.py": "b = 2\n",
        "train.py": "a = 1\n",
    }
    assert repository.read(tip, "weights.bin") == b"\x00\xff"


@pytest.mark.parametrize("path", ["missing.py", "link", "folder_link/x", "model", "../x", ""])
def test_reading_what_is_no_regular_file_is_an_error(repository: Repository, path: str) -> None:
    with pytest.raises(RepositoryError, match="There is no file"):
        repository.read(repository.tip(), path)


@pytest.mark.parametrize("commit", ["main", "HEAD", "--output=/tmp/x", "abc123", "0" * 40, "A" * 40, ""])
def test_a_commit_is_named_by_its_full_hash_and_must_exist(repository: Repository, commit: str) -> None:
    for reading in (repository.files, repository.tree_of, lambda name: repository.diff(name, repository.tip())):
        with pytest.raises(RepositoryError):
            reading(commit)


def test_an_export_holds_the_regular_files_and_nothing_that_git_reads(repository: Repository, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "1"
    repository.export(repository.tip(), folder)
    written = {str(path.relative_to(folder)): path for path in folder.rglob("*") if not path.is_dir()}
    assert set(written) == {"model/block.py", "run.sh", "train.py", "weights.bin"}
    assert not any(path.is_symlink() for path in written.values())
    assert os.access(written["run.sh"], os.X_OK)
    assert not os.access(written["train.py"], os.X_OK)
    assert written["weights.bin"].read_bytes() == b"\x00\xff"


def test_an_export_goes_into_an_empty_folder_only(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "train.py").symlink_to("/etc/hostname")
    with pytest.raises(RepositoryError, match="not empty"):
        repository.export(repository.tip(), tmp_path)


def test_attributes_cannot_hide_a_diff(repository: Repository) -> None:
    base = repository.tip()
    change = repository.change_from_edits(base, [("train.py", "a = 1", "a = 666")], "Try", "agent")
    assert "-a = 1\n+a = 666\n" in change.diff
    assert (change.files[0].added, change.files[0].removed) == (1, 1)
    patch = repository.change_from_patch(base, change.diff, "Try", "agent")
    assert patch.diff == change.diff


def test_attributes_of_the_repository_itself_cannot_hide_a_diff_either(repository: Repository, tmp_path: Path) -> None:
    repository = copied(repository, tmp_path)
    (repository.path / "info").mkdir(exist_ok=True)
    (repository.path / "info" / "attributes").write_text("*.py diff=hidden\n")
    with (repository.path / "config").open("a") as config:
        config.write('[diff "hidden"]\n\ttextconv = echo nothing to see\n\tcommand = true\n')
    change = repository.change_from_edits(repository.tip(), [("train.py", "a = 1", "a = 2")], "Try", "agent")
    assert "-a = 1\n+a = 2\n" in change.diff


def test_bytes_that_are_no_text_show_as_escapes(repository: Repository, source: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(source), "clone")
    (tmp_path / "clone" / "weights.bin").write_bytes(b"\xfe")
    git(tmp_path / "clone", "commit", "-qam", "Other weights")
    newer = Repository.mirror(tmp_path / "newer.git", str(tmp_path / "clone"), "main")
    assert "+\\xfe" in newer.diff(repository.tip(), newer.tip())


def test_the_environment_of_the_caller_does_not_reach_git(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tip, before = repository.tip(), repository.texts(repository.tip(), ["**"])
    (tmp_path / "planted").mkdir()
    for name in ("GIT_DIR", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.setenv(name, str(tmp_path / "planted"))
    marker = tmp_path / "ran"
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", f"touch {marker}; true")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"touch {marker}")
    again = Repository(repository.path, "main")
    assert again.texts(again.tip(), ["**"]) == before
    assert again.tip() == tip
    change = again.change_from_edits(tip, [("train.py", "a = 1", "a = 2")], "Try", "agent")
    assert "+a = 2" in change.diff
    assert not marker.exists()
    assert not list((tmp_path / "planted").iterdir())


def test_many_threads_read_at_once_and_leave_no_process_behind(repository: Repository) -> None:
    tip, found = repository.tip(), []
    threads = [threading.Thread(target=lambda: found.append(repository.read(tip, "train.py"))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"a = 1\n"] * 12
    assert not [child for child in psutil.Process().children() if child.name() == "git"]


def test_a_folder_that_is_no_repository_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="no bare git repository"):
        Repository(tmp_path)


@pytest.mark.parametrize("branch", ["", "-x", "a..b", "a b", "x.lock", "/a", "a/", "a\nb", "@{1}", ".a", "a~1", "a^"])
def test_a_branch_name_that_git_would_misread_is_refused(repository: Repository, branch: str) -> None:
    with pytest.raises(RepositoryError, match="branch name"):
        Repository(repository.path, branch)
    with pytest.raises(RepositoryError, match="patch set name"):
        repository.keep(branch, repository.tip())


def test_creating_where_something_is_already_leaves_it_alone(repository: Repository) -> None:
    tip = repository.tip()
    with pytest.raises(RepositoryError, match="something at"):
        Repository.create(repository.path, "main", {"a.py": b""}, "Begin")
    assert repository.tip() == tip


def test_a_creation_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="means something to git"):
        Repository.create(tmp_path / "r.git", "main", {".git/config": b""}, "Begin")
    assert list(tmp_path.iterdir()) == []


def test_damage_is_found(repository: Repository, tmp_path: Path) -> None:
    repository = copied(repository, tmp_path)
    repository.fsck()
    change = repository.change_from_edits(repository.tip(), [("train.py", "a = 1", "a = 2")], "Try", "agent")
    repository.keep("candidates/1", change.commit)
    (repository.path / "objects" / change.tree[:2] / change.tree[2:]).unlink()
    with pytest.raises(RepositoryError, match="damaged"):
        repository.fsck()
