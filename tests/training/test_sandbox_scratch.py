"""What a run wrote is measured and removed, whatever it did to its folder; and the next run does not notice."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from tests.escape.runs import USING_UP, made
from tests.training_samples import Rig, small_corpus
from training.sandbox import Level
from training.sandbox.scratch import FILES_LIMIT, Use, remove, use_of
from training.spec import Outcome

MIB = 1 << 20


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("scratch")
    return Rig(folder, small_corpus(folder / "data"))


SLICE = ["fork without end", "write deleted files without end", "fill /dev/shm", "leave a daemon", "leave a closed folder"]


@pytest.mark.parametrize("name", SLICE)
def test_a_run_that_uses_things_up_is_ended_and_the_next_is_not_affected(rig: Rig, name: str) -> None:
    level = Level.basic if name == "write deleted files without end" else Level.strong
    assert made(rig, name, level) == ""
    assert rig.run_script("print('score: 1')", level=level).outcome is Outcome.completed


def test_every_way_to_use_things_up_has_words_or_an_outcome_to_tell_it_by() -> None:
    assert all(attempt.outcomes for attempt in USING_UP.values())


def test_the_size_counts_files_in_folders_and_links_only_as_links(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(os.urandom(2 * MIB))
    (tmp_path / "outside").symlink_to("/usr")
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 1 << 40)
    use = use_of(tmp_path, [])
    assert 2 * MIB <= use.size < 3 * MIB
    assert use.files == 5
    assert use.excess(3 * MIB) == ""
    assert "filled its folder" in use.excess(MIB)


def test_deleted_files_count_while_somebody_holds_them(tmp_path: Path) -> None:
    with (tmp_path / "open").open("wb") as file:
        file.write(bytes(4 * MIB))
        file.flush()
        (tmp_path / "open").unlink()
        assert use_of(tmp_path, [os.getpid()]).size >= 4 * MIB
    with (tmp_path / "mapped").open("w+b") as file:
        file.write(bytes(2 * MIB))
        file.flush()
        kept = mmap.mmap(file.fileno(), 2 * MIB)
    (tmp_path / "mapped").unlink()
    assert use_of(tmp_path, [os.getpid()]).size >= 2 * MIB
    kept.close()
    assert use_of(tmp_path, [os.getpid()]).size < MIB


def test_too_many_files_are_named() -> None:
    assert "made more than" in Use(files=FILES_LIMIT + 1).excess(1)


def test_a_deep_and_closed_folder_full_of_links_is_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("kept")
    folder = tmp_path / "scratch"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    fd = os.open(folder, os.O_RDONLY)
    for _ in range(1100):  # more than Python recurses, and longer than a path may be
        os.mkdir("deep", dir_fd=fd)
        below = os.open("deep", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    (folder / "closed").mkdir()
    (folder / "closed" / "file").touch()
    (folder / "closed").chmod(0)
    use = use_of(folder, [])
    assert "nobody can look into" in use.trouble
    remove(folder)
    assert not folder.exists()
    assert kept.read_text() == "kept"
