"""The folder that untrusted code writes to: how much is in it, and how it is removed, whatever was done to it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FILES_LIMIT = 50_000  # files and folders; to look at that many takes some 0.1 s
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
BLOCK = 512  # bytes in the unit of st_blocks


@dataclass
class Use:
    """What a folder takes on the disk."""

    size: int = 0  # bytes
    files: int = 0
    trouble: str = ""  # why it cannot be measured

    def excess(self, size_limit: int) -> str:
        """What is too much, for a sentence that begins with "it"; "" when nothing is."""
        if self.trouble:
            return self.trouble
        if self.files > FILES_LIMIT:
            return f"made more than {FILES_LIMIT} files"
        if self.size > size_limit:
            return f"filled its folder with more than {size_limit / 2**20:,.0f} MiB"
        return ""


def use_of(folder: Path, processes: Iterable[int]) -> Use:
    """What is in `folder`, with the files in it that were deleted and that one of `processes` still holds."""
    use = Use()
    waiting = [str(folder)]
    while waiting and use.files <= FILES_LIMIT and not use.trouble:
        path = waiting.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    use.size += status.st_blocks * BLOCK
                    use.files += 1
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(entry.path)
                    if use.files > FILES_LIMIT:
                        break
        except (FileNotFoundError, NotADirectoryError):
            continue  # it was removed while we looked
        except OSError as error:
            use.trouble = f"made a folder that nobody can look into ({error.strerror})"
    device = os.stat(folder).st_dev
    deleted: dict[int, int] = {}
    for process in processes:
        for inode, size in (*_open_deleted(process, device), *_mapped_deleted(process, device)):
            deleted[inode] = max(size, deleted.get(inode, 0))
    use.size += sum(deleted.values())
    return use


def _open_deleted(process: int, device: int) -> list[tuple[int, int]]:
    """Number and size of the deleted files on a disk that a process has open."""
    files = []
    try:
        for fd in os.listdir(f"/proc/{process}/fd"):
            file = os.stat(f"/proc/{process}/fd/{fd}")
            if file.st_dev == device and file.st_nlink == 0 and stat.S_ISREG(file.st_mode):
                files.append((file.st_ino, file.st_blocks * BLOCK))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return files  # it ended, or it is bubblewrap itself
    return files


def _mapped_deleted(process: int, device: int) -> list[tuple[int, int]]:
    """Number and at least the mapped size of the deleted files on a disk that a process has in memory."""
    files = []
    try:
        lines = Path(f"/proc/{process}/maps").read_bytes().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []
    name = f"{os.major(device):02x}:{os.minor(device):02x}".encode()
    for line in lines:
        if line.endswith(b" (deleted)"):
            addresses, _, offset, where, inode = line.split(maxsplit=5)[:5]
            first, last = (int(address, 16) for address in addresses.split(b"-"))
            if where == name:
                files.append((int(inode), int(offset, 16) + last - first))
    return files


def remove(folder: Path) -> None:
    """Remove a folder that nothing writes to any more, however deep it goes and whatever in it was closed. Raises OSError.

    Goes from folder to folder by their names alone, so that neither a path nor a recursion grows long.
    """
    here = os.open(folder, FOLDER)
    try:
        entered: list[str] = []
        waiting = [_emptied(here)]  # names of folders still to be entered, from `folder` down to here
        while waiting:
            if waiting[-1]:
                entered.append(waiting[-1].pop())
                os.chmod(entered[-1], 0o700, dir_fd=here)
                here = _go(here, entered[-1])
                waiting.append(_emptied(here))
            else:
                waiting.pop()
                if entered:
                    here = _go(here, "..")
                    os.rmdir(entered.pop(), dir_fd=here)
    finally:
        os.close(here)
    os.rmdir(folder)


def _go(here: int, name: str) -> int:
    there = os.open(name, FOLDER, dir_fd=here)
    os.close(here)
    return there


def _emptied(folder: int) -> list[str]:
    """Delete the files of a folder; the names of the folders in it."""
    os.fchmod(folder, 0o700)
    folders = []
    for name in os.listdir(folder):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            folders.append(name)
        else:
            os.unlink(name, dir_fd=folder)
    return folders
