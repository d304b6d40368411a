"""Compile caches: the baseline's runs write them, every run reads a copy, and what a candidate writes reaches nobody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from research_app.loop.check import check
from research_app.loop.project.projects import create_project
from research_app.loop.train import train
from research_app.models import Device, Project, Purpose, Run
from research_app.project_file.project_file import ProjectFile, ProjectFileError, read_project_file
from tests.small_project import FILE, patch, source_repository
from tests.training_samples import Rig, small_corpus
from training.command import run_environment
from training.compile_cache import CompileCache, NotKept
from training.launch import Launch

CACHING = """
import os, pathlib

WIDTH = 1
place = pathlib.Path.home() / ".triton" / "cache"
place.mkdir(parents=True, exist_ok=True)
print("found", sorted(path.name + "=" + path.read_text() for path in place.iterdir()), flush=True)
(place / os.environ.get("WRITES", "kernel")).write_text(f"compiled by {os.environ['SIGNOFF_SEED']}")
for path in place.iterdir():
    path.write_text(path.read_text() + "!")  # a cache is written to, too
print("step=1 train_loss=1.0")
print("score=1.0")
"""


@pytest.fixture
def cache(tmp_path: Path) -> CompileCache:
    return CompileCache(tmp_path / "kept", ("~/.triton", "~/.cache/torchinductor"))


def scratch(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def write(folder: Path, name: str, text: str = "code") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.django_db
def test_a_candidates_writes_never_reach_anybody_else(tmp_path: Path) -> None:
    """Real runs, one after another, each a process in its sandbox."""
    config = {**FILE.model_dump(), "train": {**FILE.train.model_dump(), "cache": ["~/.triton"]}}
    source = source_repository(tmp_path / "source", text=CACHING)
    project: Project = create_project("caching", source=str(source), file=ProjectFile.model_validate(config))
    change = patch(("WIDTH = 1", "WIDTH = 2"), text=CACHING)
    candidate = check.submit(project, change, "It learns faster", category="optimiser", author="ada")
    check.check(candidate.pk, "here/1")
    candidate.refresh_from_db()
    assert candidate.patch_set is not None, candidate.needs_attention
    Run.objects.filter(project=project).delete()
    device = Device.report("here/cpu.0", "cpu", 0, sandbox_level="strong")
    found = {}
    for name, seed, patch_set in (
        ("cold", 1, None),
        ("candidate", 2, candidate.patch_set),
        ("after", 3, None),
        ("other", 4, candidate.patch_set),
    ):
        run = Run.objects.create(
            project=project, baseline=project.tip(), patch_set=patch_set, purpose=Purpose.SCREEN, priority=1, queue="train.cpu",
            commit=project.tip().commit, seed=1000 + seed,
        )  # fmt: skip
        assert train.train_next("train.cpu", device)
        run.refresh_from_db()
        assert run.outcome == "completed", run.reason
        found[name] = (run.log.text.splitlines()[0], run.facts["compile_cache_warm"])
    assert found["cold"] == ("found []", False)
    assert found["candidate"] == ("found ['kernel=compiled by 1001!']", True)
    assert found["after"] == ("found ['kernel=compiled by 1001!']", True), "the candidate's write reached the baseline"
    assert found["other"] == ("found ['kernel=compiled by 1003!']", True), "what the baseline wrote last, and nobody else"


def test_a_copy_is_a_file_of_its_own(cache: CompileCache, tmp_path: Path) -> None:
    first = scratch(tmp_path, "first")
    assert cache.lay_out(first) is False
    write(first, ".triton/cache/ab/kernel.so").chmod(0o755)
    assert cache.take_back(first) == 4
    second, third = scratch(tmp_path, "second"), scratch(tmp_path, "third")
    assert cache.lay_out(second) and cache.lay_out(third)
    mine = second / ".triton/cache/ab/kernel.so"
    assert os.access(mine, os.X_OK) and mine.stat().st_nlink == 1
    mine.write_text("poison")
    assert (third / ".triton/cache/ab/kernel.so").read_text() == "code"
    fourth = scratch(tmp_path, "fourth")
    cache.lay_out(fourth)
    assert (fourth / ".triton/cache/ab/kernel.so").read_text() == "code"


def test_links_pipes_and_second_names_are_left_behind(cache: CompileCache, tmp_path: Path) -> None:
    secret = write(tmp_path, "secret", "of the machine")
    run = scratch(tmp_path, "run")
    write(run, ".triton/good")
    (run / ".triton/link").symlink_to(secret)
    (run / ".triton/folder").symlink_to(tmp_path)
    os.link(secret, run / ".triton/second-name")
    os.mkfifo(run / ".triton/pipe")
    (run / ".cache").symlink_to(write(tmp_path, "outside/torchinductor/stolen").parent.parent)
    assert cache.take_back(run) == 4
    copied = scratch(tmp_path, "next")
    cache.lay_out(copied)
    assert sorted(path.name for path in copied.rglob("*") if path.is_file()) == ["good"]


def test_what_is_larger_than_the_bound_is_not_kept_and_what_was_there_stays(tmp_path: Path) -> None:
    small = CompileCache(tmp_path / "kept", ("~/.triton",), limit=100, files=3)
    run = scratch(tmp_path, "run")
    write(run, ".triton/a", "x" * 100)
    assert small.take_back(run) == 100
    write(run, ".triton/b", "y")
    with pytest.raises(NotKept, match="compile caches are kept up to"):
        small.take_back(run)
    many = scratch(tmp_path, "many")
    for number in range(4):
        write(many, f".triton/{number}", "")
    with pytest.raises(NotKept, match="and 3 files"):
        small.take_back(many)
    copied = scratch(tmp_path, "copied")
    assert small.lay_out(copied) and (copied / ".triton/a").read_text() == "x" * 100
    assert not (copied / ".triton/b").exists()
    assert len(list((tmp_path / "kept").glob("state-*"))) == 1, "nothing half copied is left"


def test_what_is_in_the_place_of_a_cache_is_put_out_of_the_way(cache: CompileCache, tmp_path: Path) -> None:
    run = scratch(tmp_path, "run")
    outside = write(tmp_path, "outside/file")
    (run / ".triton").symlink_to(outside.parent)
    write(run, ".cache", "a file")
    cache.lay_out(run)
    assert (run / ".triton").is_dir() and not (run / ".triton").is_symlink() and outside.exists()
    assert (run / ".cache/torchinductor").is_dir()


def test_inductor_is_told_where_its_folder_is(tmp_path: Path) -> None:
    rig = Rig(tmp_path, small_corpus(tmp_path / "data"))
    spec = rig.spec(tmp_path, launch=Launch(cache=("~/.triton", "~/.cache/torchinductor")))
    assert run_environment(spec)["TORCHINDUCTOR_CACHE_DIR"] == str(spec.scratch / ".cache/torchinductor")


@pytest.mark.parametrize(
    ("cache", "sentence"),
    [
        ('["/var/cache"]', "is no folder below the home of a run"),
        ('["~"]', "is no folder below the home of a run"),
        ('["~/../x"]', "is no folder below the home of a run"),
        ('["~/.cache", "~/.cache/torchinductor"]', "lie in each other"),
        ('["~/.cache/huggingface/x"]', "lie in each other"),
    ],
)
def test_what_cannot_be_a_cache_is_refused(cache: str, sentence: str) -> None:
    with pytest.raises(ProjectFileError, match=f"line 3: train.cache.*{sentence}"):
        read_project_file(f'[train]\nread = ["~/.cache/huggingface"]\ncache = {cache}\n')
