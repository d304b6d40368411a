"""Starting a project from a repository that somebody else made, and may have booby-trapped."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from research_app.repository import Repository, RepositoryError
from research_app.repository.mirror import shown_without_secrets


def git(folder: Path, *arguments: str) -> str:
    identity = {f"GIT_{who}_{what}": "ada@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    command = ["git", "-C", str(folder), "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(command, env=os.environ | identity, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "my source"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "train.py").write_text("a = 1\n")
    git(folder, "add", "train.py")
    git(folder, "commit", "-qm", "One")
    (folder / "train.py").write_text("a = 2\n")
    git(folder, "commit", "-qam", "Two")
    git(folder, "branch", "dev/next")
    return folder


def refusal(path: Path, source: str, branch: str = "main") -> str:
    before = sorted(path.parent.iterdir())
    with pytest.raises(RepositoryError) as refused:
        Repository.mirror(path, source, branch)
    assert sorted(path.parent.iterdir()) == before, "something was left behind"
    return str(refused.value)


def test_a_branch_is_copied_with_its_history_and_nothing_else(source: Path, tmp_path: Path) -> None:
    repository = Repository.mirror(tmp_path / "copy.git", str(source), "main")
    assert repository.tip() == git(source, "rev-parse", "main")
    assert [entry.subject for entry in repository.log(10)] == ["Two", "One"]
    assert git(repository.path, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    repository.fsck()


def test_what_was_merged_in_before_is_not_taken_for_a_landing(source: Path, tmp_path: Path) -> None:
    git(source, "checkout", "-q", "dev/next")
    git(source, "commit", "-q", "--allow-empty", "-m", "Side\n\nCandidate: demo/7")
    git(source, "checkout", "-q", "main")
    git(source, "merge", "-q", "--no-ff", "-m", "Merge", "dev/next")
    repository = Repository.mirror(tmp_path / "copy.git", str(source), "main")
    assert [entry.subject for entry in repository.log(10)] == ["Merge", "Two", "One"]
    assert repository.find_landed(repository.tip(), "Candidate", "demo/7") is None


def test_a_branch_with_a_slash_a_bare_source_and_a_file_address_work(source: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(source), "bare.git")
    tips = {
        Repository.mirror(tmp_path / "1.git", str(tmp_path / "bare.git"), "dev/next").tip(),
        Repository.mirror(tmp_path / "2.git", f"file://{tmp_path}/bare.git", "dev/next").tip(),
    }
    assert tips == {git(source, "rev-parse", "dev/next")}


def test_a_relative_folder_means_the_one_beneath_the_current_folder(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Repository.mirror(Path("copy.git"), source.name, "main").path == tmp_path / "copy.git"


def test_a_shallow_clone_is_enough(source: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{source}", "shallow")
    repository = Repository.mirror(tmp_path / "copy.git", str(tmp_path / "shallow"), "main")
    base = repository.tip()
    change = repository.change_from_edits(base, [("train.py", "a = 2", "a = 3")], "Try", "agent")
    repository.advance(base, change.commit)
    assert [entry.subject for entry in repository.log(10)] == ["Try", "Two"]
    repository.fsck()


def test_the_source_is_only_read(source: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    repository = Repository.mirror(tmp_path / "copy.git", str(source), "main")
    change = repository.change_from_edits(repository.tip(), [("train.py", "a = 2", "a = 3")], "Try", "agent")
    repository.advance(repository.tip(), change.commit)
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == before


def test_a_missing_branch_is_named_with_those_there_are(source: Path, tmp_path: Path) -> None:
    assert "has no branch baseline. It has: dev/next, main." in refusal(tmp_path / "copy.git", str(source), "baseline")


def test_an_empty_repository_is_named(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "empty")
    assert "is empty: commit something to its branch main" in refusal(tmp_path / "copy.git", str(tmp_path / "empty"))


def test_a_folder_without_a_repository_and_one_that_is_missing_are_named(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert "no git repository at" in refusal(tmp_path / "copy.git", str(tmp_path / "plain"))
    assert "There is no folder" in refusal(tmp_path / "copy.git", str(tmp_path / "missing"))


@pytest.mark.parametrize("address", ["ext::sh -c touch% ran", "-u./evil", "--upload-pack=touch ran", "", "a\nb", "fd::7"])
def test_an_address_that_would_run_something_is_refused(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refusal(tmp_path / "copy.git", address)
    assert not (tmp_path / "ran").exists()


def test_an_address_that_nobody_answers_at_is_named_without_its_password(tmp_path: Path) -> None:
    message = refusal(tmp_path / "copy.git", "http://ada:secret@127.0.0.1:9/r.git")
    assert "127.0.0.1:9/r.git cannot be reached" in message
    assert "secret" not in message
    assert shown_without_secrets("https://t0ken@host/x y https://a:b@c") == "https://host/x y https://c"


def test_nothing_planted_in_the_source_runs_or_comes_along(source: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    script = f"#!/bin/sh\ntouch '{marker}'\n"
    for hook in ("post-checkout", "pre-receive", "reference-transaction", "post-upload-pack", "post-merge", "update"):
        path = source / ".git" / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
    (tmp_path / "evil.sh").write_text(script)
    (tmp_path / "evil.sh").chmod(0o755)
    evil = str(tmp_path / "evil.sh")
    names = ("core.fsmonitor", "core.sshCommand", "core.alternateRefsCommand", "uploadpack.packObjectsHook", "core.pager")
    for name in (*names, "filter.planted.smudge", "filter.planted.clean", "diff.planted.command", "core.editor"):
        git(source, "config", name, evil)
    (source / ".git" / "info").mkdir(exist_ok=True)
    (source / ".git" / "info" / "attributes").write_text("* filter=planted diff=planted\n")
    repository = Repository.mirror(tmp_path / "copy.git", str(source), "main")
    change = repository.change_from_edits(repository.tip(), [("train.py", "a = 2", "a = 3")], "Try", "agent")
    repository.rebased(change.base, change.commit, change.base, "Try", "agent")
    repository.advance(change.base, change.commit)
    repository.export(change.commit, tmp_path / "run")
    repository.fsck()
    assert not marker.exists()
    assert evil not in (repository.path / "config").read_text()
    assert not (repository.path / "hooks").exists()
    assert not (repository.path / "info" / "attributes").exists()


def test_hooks_in_our_own_repository_do_not_run_either(source: Path, tmp_path: Path) -> None:
    repository = Repository.mirror(tmp_path / "copy.git", str(source), "main")
    (repository.path / "hooks").mkdir()
    hook = repository.path / "hooks" / "reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\nexit 1\n")
    hook.chmod(0o755)
    change = repository.change_from_edits(repository.tip(), [("train.py", "a = 2", "a = 3")], "Try", "agent")
    repository.advance(change.base, change.commit)
    assert repository.tip() == change.commit
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def malformed(source: Path) -> Path:
    """A source whose tree holds a folder named .git, which only a forged object can."""
    blob = git(source, "rev-parse", "main:train.py")
    tree = b"100644 config\0" + bytes.fromhex(blob)
    command = ["git", "-C", str(source), "hash-object", "-t", "tree", "-w", "--stdin", "--literally"]
    inner = subprocess.run(command, input=tree, capture_output=True, check=True).stdout.decode().strip()
    outer = subprocess.run(command, input=b"40000 .git\0" + bytes.fromhex(inner), capture_output=True, check=True)
    commit = git(source, "commit-tree", "-m", "Forged", outer.stdout.decode().strip())
    git(source, "update-ref", "refs/heads/forged", commit)
    return source


def test_a_forged_tree_does_not_come_in(malformed: Path, tmp_path: Path) -> None:
    message = refusal(tmp_path / "copy.git", str(malformed), "forged")
    assert re.search(r"could not be copied.*hasDotgit", message)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_source_of_another_user_is_refused_with_the_remedy(source: Path, tmp_path: Path) -> None:
    for path in (source, *source.rglob("*")):
        os.chown(path, 65534, 65534)
    assert "belongs to another user" in refusal(tmp_path / "copy.git", str(source))
