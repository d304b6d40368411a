"""What of a repository runs will not have is said when it is brought: nothing vanishes unsaid."""

import io
import subprocess
from pathlib import Path

import pytest
from django.core.management import call_command

from research_app.loop.project.projects import create_project
from research_app.models import Event
from research_app.repository import Repository, left_out
from tests.small_project import FILE, TRAIN, git

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 123456789\n".format("0" * 64)


def brought(folder: Path) -> Path:
    """A repository with one of everything that runs will not have."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "baseline")
    (folder / "train.py").write_text(TRAIN)
    (folder / "latest").symlink_to("train.py")
    (folder / "weights.bin").write_text(POINTER)
    (folder / "almost.txt").write_text(POINTER.replace("version", "a version"))
    (folder / "what*ever.txt").write_text("x")
    (folder / "back\\slash.txt").write_text("x")
    (folder / ".gitignore").write_text("x")
    (folder / ".gitattributes").write_text("*.bin filter=lfs\n")
    git(folder, "-c", "filter.lfs.clean=cat", "add", "-A")
    name = subprocess.run(["git", "hash-object", "-w", "--stdin"], cwd=folder, input=b"x", capture_output=True, check=True)
    bad = b"100644 " + name.stdout.strip() + b"\tna\xffme.txt\0"
    subprocess.run(["git", "update-index", "-z", "--index-info"], cwd=folder, input=bad, check=True)
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},third_party/muon")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


def test_each_kind_is_named_with_what_to_do(tmp_path: Path) -> None:
    repository = Repository.mirror(tmp_path / "r.git", str(brought(tmp_path / "source")), "baseline")
    found = left_out(repository, repository.tip())
    assert found.links == ["latest"] and found.submodules == ["third_party/muon"] and found.pointers == ["weights.bin"]
    assert found.names == {
        "what*ever.txt": "holds the wildcard '*'",
        "back\\slash.txt": "holds a backslash; use '/' between folders",
        "na\\xffme.txt": "is not UTF-8",
    }
    links, submodules, names, pointers = found.sentences
    assert links == "1 symbolic link (latest): runs do not have them. Put a copy of the file in its place."
    assert "1 submodule (third_party/muon): not copied" in submodules and "[train] read" in submodules
    assert names.startswith(
        "3 files (back\\slash.txt, na\\xffme.txt, what*ever.txt) that runs do not have, because the name holds"
    )
    assert "1 file (weights.bin) of Git LFS: runs have the pointer, not the content" in pointers


def test_what_is_said_is_what_runs_have(tmp_path: Path) -> None:
    repository = Repository.mirror(tmp_path / "r.git", str(brought(tmp_path / "source")), "baseline")
    repository.export(repository.tip(), tmp_path / "tree")
    there = {str(path.relative_to(tmp_path / "tree")) for path in (tmp_path / "tree").rglob("*") if path.is_file()}
    assert there == {"train.py", "weights.bin", "almost.txt"}


def test_a_repository_that_has_nothing_of_the_kind_says_nothing(tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "r.git", "baseline", {"train.py": b"x", "a/b.txt": b"y" * 500}, "Begin")
    assert left_out(repository, repository.tip()).sentences == []


@pytest.mark.django_db
def test_it_is_said_and_kept_at_creation(tmp_path: Path) -> None:
    source = brought(tmp_path / "source")
    project = create_project("left", source=str(source), file=FILE)
    told = Event.objects.get(kind="project created", project=project).data
    assert len(told["left_out"]) == 4 and "symbolic link" in told["left_out"][0]  # type: ignore[arg-type]
    config = tmp_path / "p.toml"
    config.write_text('[edit]\neditable = ["train.py"]\nprotected = []\n[data]\ncorpus = "none"\n')
    errors = io.StringIO()
    call_command("project", "create", "left-too", "--repo", str(source), "--config", str(config), stderr=errors)
    assert "1 submodule (third_party/muon)" in errors.getvalue()
