"""What compilers keep from one run to the next: written by runs of the baseline alone, read by every run from its own copy.

A run works on that copy, below its home, and nothing of a candidate's copy is ever read again: so no candidate can put anything
before another one, or before the baseline. What is kept lies beyond the reach of runs, one state after another, each never
changed once it is there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from research_app.evidence.digits import number
from training.sandbox.scratch import FOLDER, remove

LIMIT = 4 << 30  # bytes that are kept of one project on one machine
FILES = 20_000
CURRENT = "current"  # a link to the state that runs copy
PLACES = {"torchinductor": "TORCHINDUCTOR_CACHE_DIR"}
"""Folders whose programs look elsewhere than below the home unless a variable says so."""


class NotKept(Exception):
    """What a run left is not kept, and what was there stays; the message says why."""


@dataclass(frozen=True)
class CompileCache:
    """The folders of one project's project file, `names` such as "~/.triton", and where they are kept between runs."""

    kept: Path
    names: Sequence[str]
    limit: int = LIMIT
    files: int = FILES

    def lay_out(self, scratch: Path) -> bool:
        """Copy what is kept to its place below a run's home, where the run may write it; whether there was anything.

        Raises OSError.
        """
        for name in self.names:
            _own_folder(scratch, name[2:])
        with self._locked(fcntl.LOCK_SH):
            state = self.kept / CURRENT
            if not state.is_dir():
                return False
            for name in self.names:
                _copy(state / name[2:], scratch / name[2:])
        return any((state / name[2:]).is_dir() for name in self.names)

    def take_back(self, scratch: Path) -> int:
        """Keep what a run of the baseline has there now, in place of what was kept; its bytes. It must have ended.

        Links and whatever else is no plain file are left behind. Raises NotKept, OSError.
        """
        self.kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = self.kept / f"state-{uuid.uuid4().hex}"
        try:
            taken = self._take(scratch, state)
            with self._locked(fcntl.LOCK_EX):
                link = self.kept / f"{CURRENT}.{state.name}"
                link.symlink_to(state.name)
                link.replace(self.kept / CURRENT)
                self._sweep(state.name)
        except BaseException:
            shutil.rmtree(state, ignore_errors=True)
            raise
        return taken

    def _take(self, scratch: Path, state: Path) -> int:
        """Copy the plain files of a run's folders; their bytes. Raises NotKept, OSError."""
        size = count = 0
        state.mkdir()
        try:
            for name in self.names:
                for path, source in _plain_files(scratch, name[2:]):
                    status = os.fstat(source.fileno())
                    size, count = size + status.st_size, count + 1
                    if size > self.limit or count > self.files:
                        raise NotKept(
                            f"compile caches are kept up to {number(self.limit / 2**30)} GiB and {self.files:,} files"
                        )
                    target = state / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("xb") as copy:
                        shutil.copyfileobj(source, copy)
                    target.chmod(0o755 if status.st_mode & 0o100 else 0o644)
        except RecursionError:
            raise NotKept("the folders of its compile caches lie too deep in each other") from None
        return size

    def _sweep(self, current: str) -> None:
        """Remove the states before this one; nobody copies them now."""
        for old in self.kept.glob("state-*"):
            if old.name != current and (self.kept / CURRENT).is_symlink():
                shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        self.kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.kept / "lock").open("w") as lock:
            fcntl.flock(lock, how)
            yield


def variables_of(names: Sequence[str], home: Path) -> dict[str, str]:
    """The variables that lead programs to their folders below a run's home."""
    return {PLACES[Path(name).name]: str(home / name[2:]) for name in names if Path(name).name in PLACES}


def _plain_files(scratch: Path, name: str) -> Iterator[tuple[str, BinaryIO]]:
    """The plain files below a folder of a run, open, with their paths; no link is followed on any way."""
    with ExitStack() as opened:
        folder = _opened(opened, str(scratch), None)
        try:
            for part in Path(name).parts:
                folder = _opened(opened, part, folder)
        except OSError:
            return  # it is gone, or something else is in its place
        for here, _, files, fd in os.fwalk(".", dir_fd=folder, follow_symlinks=False):
            for file in files:
                if (source := _plain(file, fd)) is not None:
                    with source:
                        yield os.path.normpath(os.path.join(name, here, file)), source


def _opened(opened: ExitStack, name: str, below: int | None) -> int:
    folder = os.open(name, FOLDER, dir_fd=below)
    opened.callback(os.close, folder)
    return folder


def _plain(name: str, folder: int) -> BinaryIO | None:
    """A plain file with one name, open; None for anything else."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return os.fdopen(fd, "rb")
    os.close(fd)
    return None


def _own_folder(scratch: Path, name: str) -> None:
    """An empty folder at a place below a run's home, which whoever the run will be may write."""
    place = scratch
    for part in Path(name).parts:
        place /= part
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            place.unlink()
        place.mkdir(exist_ok=True)
        place.chmod(0o777)
    if any(place.iterdir()):
        remove(place)
        place.mkdir()
        place.chmod(0o777)


def _copy(source: Path, target: Path) -> None:
    """Copy a folder of plain files, each a file of its own; nothing where there is none."""
    for folder, folders, files in os.walk(source):
        here = target / Path(folder).relative_to(source)
        for name in folders:
            (here / name).mkdir(exist_ok=True)
            (here / name).chmod(0o777)
        for name in files:
            shutil.copyfile(Path(folder) / name, here / name)
            mode = os.stat(Path(folder) / name).st_mode
            (here / name).chmod(0o777 if mode & 0o100 else 0o666)
